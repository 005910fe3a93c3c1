"""The how-to of several processes, followed word by word."""

import ast
import contextlib
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pages
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "many_hosts.md"


@pytest.mark.slow
def test_the_launch_commands_print_what_the_page_shows(tmp_path):
    text = PAGE.read_text()
    (block,) = pages.blocks_of("howto/many_hosts.md", text)
    first = next(node for node in ast.parse(block.code).body if isinstance(node, ast.Assign))
    (tmp_path / "train.py").write_text(ast.literal_eval(first.value))
    commands = re.search(r"```text\n(.*?)```", text.partition("## Launch it")[2], re.S)[1]
    port = re.search(r"localhost:(\d+)", commands)[1]
    if not _is_free(int(port)):
        pytest.skip(f"somebody listens at port {port}")
    ran = subprocess.Popen(
        ["bash", "-c", f"{commands}wait"],
        cwd=tmp_path,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed = ran.communicate(timeout=300)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ran.pid, signal.SIGKILL)
    left = iter(printed.splitlines())  # there are lines of others between
    assert all(line in left for line in block.shown.splitlines()), printed


def _is_free(port):
    with socket.socket() as tried:
        return tried.connect_ex(("localhost", port)) != 0
