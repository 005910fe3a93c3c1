"""Numbers while a run goes on, a line of JSON each, for any program that plots."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcompress.artifact import check_target, write_atomically
from pipelines.run.boards import Board

METRICS = "metrics.jsonl"


class Metrics:
    """The file `metrics.jsonl`; a run that goes on leaves the lines of one that never stopped.

    Args:
        path: of the file.
        board: is told the same; None for none.
    """

    def __init__(self, path: Path, board: Board | None = None) -> None:
        self._path, self._board = path, board

    def start(self, done: Sequence[str], stage: str, epoch: int) -> None:
        """Drop the lines of what will run again.

        Args:
            done: stages that are finished.
            stage: the one that begins.
            epoch: of its training up to which it goes on, 0 for none.
        """
        kept = []
        for line in self._lines():
            told = _told(line)
            is_known = told.get("stage") == stage and 0 < told.get("epoch", 0) <= epoch
            if told.get("stage") not in done and not is_known:
                break
            kept.append(line)
        write_atomically(self._path, "".join(kept).encode())
        if self._board:
            self._board.start([_told(line) for line in kept])

    def add(self, **fields: Any) -> None:
        """Add a line."""
        check_target(self._path)
        with self._path.open("a") as file:
            file.write(json.dumps(fields, allow_nan=False) + "\n")
        if self._board:
            self._board.add(fields)

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        check_target(self._path)
        text = self._path.read_text(errors="replace")
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _told(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    is_line = isinstance(told, dict) and isinstance(told.get("epoch", 0), int)
    return told if is_line else {}
