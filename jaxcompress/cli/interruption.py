"""Ctrl-C and SIGTERM: unfinished files are removed, and the program ends as interrupted."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether a signal has asked the program to end.

    Attributes:
        number: of the signal; None before one has come.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def status(self) -> int:
        """Exit status of a program that it ended."""
        return 128 + (self.number or signal.SIGINT)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the signal and raise an exception, which lets temporary files be removed."""
        del frame
        self.number = number
        raise KeyboardInterrupt

    def swallowed(self, unraisable: Any) -> None:
        """End the program if a callback has swallowed the exception."""
        if unraisable.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(unraisable)
            return
        with contextlib.suppress(OSError):
            os.write(2, b"jaxcompress: interrupted.\n")
        os._exit(self.status)


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handle signals within the context, where Python allows it; ignored signals remain ignored."""
    stop = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    taken = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    hook, sys.unraisablehook = sys.unraisablehook, stop.swallowed
    try:
        for number in taken:
            signal.signal(number, stop.handle)
        yield stop
    finally:
        sys.unraisablehook = hook
        for number in taken:
            signal.signal(number, before[number])
