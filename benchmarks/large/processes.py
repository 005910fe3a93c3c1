"""Processes with all their children: time, memory, and how they die. Linux only."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_STARTS = 4  # for each kill, at most
_PAUSE = 0.05  # seconds between looks at the memory
_LOOKS = 10  # after so many, new processes are sought
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SESSION, _RESIDENT = 3, 21  # fields of /proc/PID/stat after the name of the program


class Usage(NamedTuple):
    """What a command took, children included.

    Attributes:
        seconds: on the wall.
        cpu_seconds: of all cores.
        peak_bytes: largest sum of the resident memory of all processes, looked at 20 times a
            second; pages that two of them share count twice.
        output: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def jaxcompress(*words: str | Path) -> list[str]:
    """Return the command line of the command."""
    return [sys.executable, "-m", "jaxcompress.cli", *map(str, words)]


def measured(command: Sequence[str]) -> Usage:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    started, peak, looks = time.perf_counter(), 0, 0
    pids: list[int] = []
    with _started(command) as process:
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if looks % _LOOKS == 0:
                pids = session_of(process.pid)
            looks, peak = looks + 1, max(peak, sum(map(resident_bytes, pids)))
            time.sleep(_PAUSE)
        _, status, used = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}: {output}")
    return Usage(seconds, used.ru_utime + used.ru_stime, peak, output)


def killed(command: Sequence[str], seconds: float) -> bool:
    """Run a command and kill it and its children after some seconds, unless it ended before.

    Raises:
        RuntimeError: it failed before.
    """
    with _started(command) as process:
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        output = process.stdout.read() if process.stdout else ""
    if status:
        raise RuntimeError(f"{' '.join(command)}: exit status {status}: {output}")
    return False


def kills(
    command: Sequence[str], count: int, moments: tuple[float, float], ended: Callable[[], None]
) -> None:
    """Kill a command at random moments until it died `count` times, starting it again each time.

    Args:
        command: that goes on where it was.
        count: of kills.
        moments: seconds after a start, least and most.
        ended: called after each run that came to its end before it was killed.

    Raises:
        RuntimeError: most runs end before they can be killed.
    """
    random_numbers, done = random.Random(0), 0  # noqa: S311
    for _ in range(_STARTS * count):
        if done == count:
            return
        if killed(command, random_numbers.uniform(*moments)):
            done += 1
        else:
            ended()
    raise RuntimeError(f"{done} of {count} kills: runs end before; take a larger checkpoint")


def session_of(leader: int) -> list[int]:
    """Return the processes of a session."""
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and _field(name, _SESSION) == leader
    ]


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 if it has ended."""
    return _field(pid, _RESIDENT) * _PAGE


def _field(pid: int | str, field: int) -> int:
    with contextlib.suppress(OSError):  # it may have ended in the meantime
        text = Path("/proc", str(pid), "stat").read_text()
        return int(text.rpartition(")")[2].split()[field])
    return 0


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a session of its own, so that its children can be found."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
