"""Train a network, compress it, and prove that the file works: `python run.py --model cifar`.

Or name what is in pictures, with a file that it wrote: `--predict PICTURE... --weights FILE`.

The program itself is `pipelines/run/program.py`. Its libraries take seconds to import, and some of
them swallow an interruption or print a traceback of it. Nothing has been written by then, so that
a signal can end the program at once.
"""

import io
import signal
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from types import TracebackType

from jaxcompress_command import leave, take_signals

_leave = partial(leave, b"run.py: interrupted.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    from pipelines.run.program import main as run

    return run(argv)


def _show_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback; what it says of files can steer no terminal."""
    from jaxcompress.text import escaped

    lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
    sys.stderr.write("\n".join(map(escaped, lines)) + "\n")


def _start() -> int:
    sys.excepthook = _show_fault
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of few letters shows escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    take_signals(_leave)
    try:
        return main()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the status is settled


if __name__ == "__main__":
    sys.exit(_start())
