"""Where the command `jaxcompress` starts, before its libraries are there.

They take seconds to import, and some of them swallow an interruption or print a traceback of it.
Nothing has been written by then, so that a signal can end the program at once.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType


def main() -> None:
    """Run the command line and leave with its exit status."""
    take_signals(partial(leave, b"jaxcompress: interrupted; files are as they were.\n"))
    from jaxcompress.cli.command import main as run

    run()


def take_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let a handler take Ctrl-C and SIGTERM; what is ignored stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as of a job in the background
            signal.signal(number, handler)


def leave(line: bytes, number: int, frame: FrameType | None) -> None:
    """End the program at once, with one line and the status of the signal."""
    del frame
    try:
        os.write(2, line)
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()
