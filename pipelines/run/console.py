"""Messages of a run: bars on a terminal, one line in a notebook, plain lines, and a log file.

Names of files and classes, and texts in files, may hold anything: they are never shown raw.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from jaxcompress.text import printable

Update = Callable[[int, Callable[[], str]], None]
"""`update(steps done, note)`; `note()` is called only when it is shown."""

_PLAIN_WIDTH = 120
_BAR_INTERVAL_S, _PLAIN_INTERVAL_S = 0.2, 10.0


class Console:
    """Writes to the terminal, and once `log_to` was called, to the log as well."""

    def __init__(self, stream: TextIO | None = None) -> None:
        file = stream or sys.stdout
        # In a notebook rich would make each line an element of HTML.
        self._rich = RichConsole(file=file, highlight=False, emoji=False, force_jupyter=False)
        self._log: TextIO | None = None

    @contextlib.contextmanager
    def log_to(self, path: Path) -> Iterator[None]:
        """Also append every line to the file while the context lasts."""
        with path.open("a", encoding="utf-8") as self._log:
            try:
                yield
            finally:
                self._log, log = None, self._log
                log.flush()

    def line(self, text: str, *, style: str = "") -> None:
        """Write one line."""
        text = printable(text)
        self._rich.print(text, style=style or None, soft_wrap=True, markup=False)
        self._write(text)

    def loud(self, text: str) -> None:
        """Write one line that must not be overlooked."""
        self.line(f"*** {text}", style="bold yellow")

    def table(self, table: Table) -> None:
        """Show a table completely, also on a narrow terminal."""
        width = max(self._rich.width, _PLAIN_WIDTH)
        for file in (self._rich.file, self._log):
            if file is not None:
                RichConsole(file=file, width=width, emoji=False).print(table)
                file.flush()

    @contextlib.contextmanager
    def progress(self, label: str, total: int, done: int = 0) -> Iterator[Update]:
        """Show the progress of a task; yield the function that updates it."""
        if in_notebook():
            with self._one_line(label, total, done) as show:
                yield self._every(_BAR_INTERVAL_S, show)
            return
        if not self._rich.is_terminal:
            yield self._every(_PLAIN_INTERVAL_S, self._plain(label, total, done))
            return
        columns = (
            TextColumn("{task.description:16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._rich, transient=True) as bar:
            task = bar.add_task(label, total=total, completed=done, note="")
            yield self._every(
                _BAR_INTERVAL_S,
                lambda step, note: bar.update(task, completed=step, note=note()),
            )

    @contextlib.contextmanager
    def watch(self) -> Iterator[Callable[[str, int, int], None]]:
        """Show long tasks one after the other; yield `progress(label, done, total)`."""
        with contextlib.ExitStack() as stack:
            shown: dict[str, Update] = {}

            def progress(label: str, done: int, total: int) -> None:
                if label not in shown:
                    stack.close()  # one bar at a time
                    shown[label] = stack.enter_context(self.progress(label, total))
                shown[label](done, lambda: "")

            yield progress

    def _plain(self, label: str, total: int, done: int) -> Update:
        said = _in_words(label, total, done)
        return lambda step, note: self.line(said(step, note))

    @contextlib.contextmanager
    def _one_line(self, label: str, total: int, done: int) -> Iterator[Update]:
        """Show progress in one line that is written over, and is gone afterwards."""
        said, width, file = _in_words(label, total, done), 0, self._rich.file

        def update(step: int, note: Callable[[], str]) -> None:
            nonlocal width
            text = printable(said(step, note))
            file.write(f"\r{text:{width}}")
            file.flush()
            width = len(text)

        try:
            yield update
        finally:
            if width:
                file.write(f"\r{'':{width}}\r")
                file.flush()

    def _every(self, interval_s: float, show: Update) -> Update:
        """Let through at most one update in `interval_s` seconds."""
        said = time.monotonic()

        def update(step: int, note: Callable[[], str]) -> None:
            nonlocal said
            if time.monotonic() - said >= interval_s:
                show(step, note)
                said = time.monotonic()

        return update

    def _write(self, text: str) -> None:
        if self._log:
            try:
                self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
                self._log.flush()
            except OSError as error:  # a full disk names no file
                error.filename = self._log.name
                raise


def _in_words(label: str, total: int, done: int) -> Callable[[int, Callable[[], str]], str]:
    """Return a function that says how far a task is, and how long it takes still."""
    started = time.monotonic()

    def said(step: int, note: Callable[[], str]) -> str:
        left_s = (time.monotonic() - started) * (total - step) / max(step - done, 1)
        what = " ".join(filter(None, [f"{step}/{total}", note()]))
        return f"{label}: {what}, about {left_s:.0f} s left"

    return said


def in_notebook() -> bool:
    """Return whether a kernel of IPython runs this program; IPython is not imported for it."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
