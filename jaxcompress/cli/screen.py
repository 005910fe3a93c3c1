"""Output of the command: tables and JSON on stdout, progress on stderr if it is a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from jaxcompress.oneshot.sources import Track, untracked
from jaxcompress.text import ascii_json, escaped, printable

T = TypeVar("T")

_PLAIN_WIDTH = 500  # without a terminal; a table takes only the width that it needs


class _Screen(Console):
    """Stdout that raises BrokenPipeError like any other code if its reader is gone."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(file=sys.stdout, highlight=False, width=width)

    def on_broken_pipe(self) -> None:
        """Leave the error to the command instead of ending the program."""
        raise BrokenPipeError


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Show a table, its first column to the left and the others to the right."""
    console = _Screen()
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(header):
        grid.add_column(
            name,
            justify="right" if index else "left",
            no_wrap=bool(index),
            overflow="fold",
            min_width=12 if not index else None,
        )
    for row in rows:
        grid.add_row(*(Text(escaped(cell)) for cell in row))
    width = max(console.width, 100) if console.is_terminal else _PLAIN_WIDTH
    _Screen(width).print(grid)


def line(text: str) -> None:
    """Show one line, as far to the right as its text begins."""
    margin = len(text) - len(text.lstrip(" "))
    sys.stdout.write(" " * margin + printable(text) + "\n")


def note(text: str) -> None:
    """Show one line on stderr, apart from the result."""
    sys.stderr.write(f"jaxcompress: {printable(text)}\n")


def as_json(value: Any) -> None:
    """Show a value as JSON in ASCII; NaN and infinity become null."""
    sys.stdout.write(ascii_json(value, indent=1) + "\n")


@contextlib.contextmanager
def progress() -> Iterator[Track]:
    """Give a `track(items, what, bytes_of)` that shows bars within the context."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield untracked
        return
    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[done]} of {task.fields[count]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:

        def track(items: Sequence[T], what: str, bytes_of: Callable[[T], int]) -> Iterator[T]:
            task = bars.add_task(what, total=sum(map(bytes_of, items)), done=0, count=len(items))
            for done, item in enumerate(items, start=1):
                yield item
                bars.update(task, advance=bytes_of(item), done=done)
            bars.remove_task(task)

        yield track
