"""The numbers of `metrics.jsonl` for TensorBoard, with the extra `tensorboard`."""

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.errors import SettingsError

FOLDER = "tensorboard"
_EVENTS = "events.out.tfevents.*"


def check_board() -> None:
    """Refuse to go on without the library.

    Raises:
        SettingsError: it is missing.
    """
    if find_spec("tensorboardX") is None:
        raise SettingsError(
            "--tensorboard: needs tensorboardX, which is not installed; pip install -e "
            "'.[run,tensorboard]'."
        )


class Board:
    """Events in a folder: a loss by its step of a stage, the results of stages by their numbers.

    A run that goes on writes all of them anew, from the lines of `metrics.jsonl` that hold.

    Args:
        folder: of the events; others in it are left alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._stages = 0

    def start(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write what is known already, once."""
        if self._writer is not None:
            return
        for path in self._folder.glob(_EVENTS):
            path.unlink()
        self._writer = import_module("tensorboardX").SummaryWriter(str(self._folder))
        for line in lines:
            self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """Write the numbers of a line."""
        is_end = "step" not in line
        self._stages += is_end
        for name, value in line.items():
            if name not in ("stage", "step") and isinstance(value, int | float):
                tag = name if is_end else f"{name}/{line['stage']}"
                step = self._stages if is_end else line["step"]
                self._writer.add_scalar(tag_of(tag), value, step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def tag_of(name: str) -> str:
    """Return a name of which TensorBoard changes nothing.

    Example:
        >>> tag_of("loss/shared + tuned")
        'loss/shared___tuned'
    """
    return re.sub(r"[^\w./-]", "_", name)
