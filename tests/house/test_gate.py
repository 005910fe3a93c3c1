"""The gate's checks run as the gate runs them."""

import os
import subprocess
import sys
from pathlib import Path

CHECKS = Path(__file__).parents[2] / ".ci" / "checks"


def test_checks_of_runs_import_pipelines(tmp_path):
    """The gate runs `runs.py` by its path, where only jaxcompress is installed."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import runs, pipelines.errors"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", program, str(CHECKS)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
