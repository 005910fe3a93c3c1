"""Exit statuses, and errors as one line: without tracebacks and raw terminal codes."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from jaxcompress.cli.flags import by_flags
from jaxcompress.cli.interruption import interruptible
from jaxcompress.errors import ArtifactError
from jaxcompress.text import printable

SAME, DIFFERS, REFUSED, DAMAGED, FAULT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 70, 130, 141

_TRACEBACK = "JAXCOMPRESS_TRACEBACK"

HELP = f"""\b
Exit status:
  0    done; nothing differs
  1    diff, verify: something differs
  2    refused: a wrong option, a missing file, weights that cannot be compressed
  3    a file is damaged, or not what it claims to be
  70   a fault of the program; {_TRACEBACK}=1 shows where
  130  interrupted; 143 by SIGTERM
"""


class Refused(ValueError):
    """A request that the command refuses: what, why, and what to do instead."""


class Program(click.Group):
    """A group of commands whose return value is the exit status."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run and leave with the exit status."""
        with interruptible() as stop:
            try:
                status = self._run(*args, **extra | {"standalone_mode": False})
            except (KeyboardInterrupt, click.Abort):
                status = INTERRUPTED
            # Some libraries turn the interruption into another error, or swallow it.
            if stop.number or status == INTERRUPTED:
                status = say("interrupted; files are as they were.", stop.status)
        sys.exit(status)

    def _run(self, *args: Any, **extra: Any) -> int:
        try:
            return super().main(*args, **extra) or SAME
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return REFUSED
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "jaxcompress"
            return say(f"{error.format_message()} See {command} --help.", REFUSED)
        except click.ClickException as error:
            return say(error.format_message(), REFUSED)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and turn an error into a line and an exit status."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):  # before click adds an empty line
            return INTERRUPTED
        except Exception as error:
            kinds = (kind for kind in _STATUSES if isinstance(error, kind))
            return _STATUSES[next(kinds)](error)
        return status


def _broken_pipe(error: Any) -> int:
    del error
    mute_stdout()
    return BROKEN_PIPE


def _of_system(error: Any) -> int:
    where = f"{error.filename}: " if error.filename is not None else ""
    return say(f"{where}{error.strerror or error}", REFUSED)


def _fault(error: Any) -> int:
    shown = os.environ.get(_TRACEBACK)
    if shown:
        traceback.print_exception(error)
    hint = "" if shown else f"; {_TRACEBACK}=1 shows where, please report it"
    return say(f"a fault of the program: {type(error).__name__}: {error}{hint}.", FAULT)


def _status(status: int, text: str = "") -> Callable[[Any], int]:
    return lambda error: say(text or str(error), status)


def _refused(error: Any) -> int:
    return say(by_flags(str(error)), REFUSED)


_STATUSES: dict[type[Exception], Callable[[Any], int]] = {
    BrokenPipeError: _broken_pipe,
    ArtifactError: _status(DAMAGED),
    MemoryError: _status(REFUSED, "out of memory; leave large tensors out with --scope."),
    RecursionError: _status(REFUSED, "containers are nested too deep to be followed; flatten them"),
    OSError: _of_system,
    ValueError: _refused,
    TypeError: _refused,
    ImportError: _status(REFUSED),
    Exception: _fault,
}
"""From kinds of errors to exit statuses; the first matching kind decides."""


def say(text: str, status: int) -> int:
    """Write one line to stderr and return the status."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"jaxcompress: {printable(text)}\n")
    return status


def mute_stdout() -> None:
    """Send the buffer of stdout to nowhere, so that the interpreter can flush it at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
