"""Exit statuses, and errors as one line: never a traceback, never a raw terminal code."""

import contextlib
import os
import sys
from typing import Any

import click

from jaxcompress.artifact.errors import ArtifactError
from jaxcompress.text import printable

SAME, DIFFERS, REFUSED, DAMAGED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141

HELP = """\b
Exit status:
  0    done; nothing differs
  1    diff, verify: something differs
  2    refused: a wrong option, a missing file, weights that cannot be compressed
  3    a file is damaged, or not what it claims to be
  130  interrupted
"""


class Refused(ValueError):
    """Something the command will not do: what, why, and what to do instead."""


class Program(click.Group):
    """A group of commands whose return value is the exit status."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run and leave with the exit status."""
        sys.exit(self._run(*args, **extra | {"standalone_mode": False}))

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
        except click.Abort:
            return say("interrupted; files are as they were.", INTERRUPTED)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and turn what it raises into a line and a status."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            mute_stdout()
            return BROKEN_PIPE
        except ArtifactError as error:
            return say(str(error), DAMAGED)
        except MemoryError:
            return say("out of memory; leave large tensors out with --scope.", REFUSED)
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            return say(f"{where}{error.strerror or error}", REFUSED)
        except (ValueError, TypeError, ImportError) as error:
            return say(str(error), REFUSED)
        return status


def say(text: str, status: int) -> int:
    """Write one line to stderr and return the status."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"jaxcompress: {printable(text)}\n")
    return status


def mute_stdout() -> None:
    """Let the interpreter flush its buffer into nothing when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
