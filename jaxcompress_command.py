"""Where the command `jaxcompress` starts, before its libraries are there.

They take seconds to import, and some of them swallow an interruption or print a traceback of it.
Nothing has been written by then, so that a signal can end the program at once.
"""

import os
import signal
from types import FrameType

_LINE = b"jaxcompress: interrupted; files are as they were.\n"


def main() -> None:
    """Run the command line and leave with its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as of a job in the background
            signal.signal(number, _leave)
    from jaxcompress.cli.command import main as run

    run()


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    try:
        os.write(2, _LINE)
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()
