"""Whether the memory of a long training grows: `python -m tests.faults.soak MINUTES`."""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.helpers.forks import Forks

WORDS = "--model lenet-300-100 --data digits --limit 640 --epochs 1000000 --no-program".split()
_INTERVAL_S = 0.5


class Soaked(NamedTuple):
    """What was seen of a process.

    Attributes:
        steps: that it trained.
        checkpoints: that it wrote.
        mib: it held in the end.
        mib_an_hour: the slope of what it held in the second half.
        mib_a_million_steps: the same slope by steps.
    """

    steps: int
    checkpoints: int
    mib: float
    mib_an_hour: float
    mib_a_million_steps: float


def soak(minutes, folder):
    """Train so long, with a checkpoint after every epoch, and look at the memory from outside."""
    out = Path(folder) / "run"
    with Forks() as forks:
        process = forks.start([*WORDS, "--out", out], Path(folder) / "said")
        while not list(out.glob("checkpoints/*.json")):
            time.sleep(_INTERVAL_S)
        seen, began = [], time.monotonic()
        while (now := time.monotonic() - began) < 60 * minutes:
            seen.append((now, resident_mib(process), *progress(out)))
            time.sleep(_INTERVAL_S)
        os.kill(process, signal.SIGTERM)
        assert forks.wait(process) == 143
    seconds, held, steps, checkpoints = np.array(seen[len(seen) // 2 :]).T
    return Soaked(
        int(steps[-1]),
        int(checkpoints[-1]),
        held[-1],
        3600 * np.polyfit(seconds, held, 1)[0],
        1e6 * np.polyfit(steps, held, 1)[0],
    )


def resident_mib(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def progress(out):
    """Steps that were trained, and checkpoints that were written, up to now."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    steps = json.loads(lines[-1])["step"] if lines and lines[-1].endswith("}") else 0
    return steps, max((int(path.stem) for path in out.glob("checkpoints/*.json")), default=0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(f"{soak(float(sys.argv[1]), place)}\n")
