"""Stopping on signals: Ctrl-C and SIGTERM make a run stop at the next step."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType


class Stop:
    """Whether a signal asked to stop, and which one."""

    signal_number: int | None = None

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self.signal_number is not None

    @property
    def exit_status(self) -> int:
        """The exit status of a process that stopped on a signal: 130 or 143."""
        return 128 + (self.signal_number or 0)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Yield a `Stop` that SIGINT and SIGTERM set; a second signal interrupts at once."""
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if stop():
            raise KeyboardInterrupt
        stop.signal_number = number
        sys.stderr.write("stopping at the next step; once more to stop at once\n")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
