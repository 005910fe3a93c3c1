"""Tensors by name, without any nesting: what files of safetensors and numpy hold."""

from pathlib import Path
from typing import Any

from jaxcompress.artifact.outline import Outline
from jaxcompress.cli.refusals import check_memory, check_storable
from jaxcompress.trees import plain_bytes


class FlatSource:
    """Tensors by name, in the order of their names; what loads them is with each format."""

    def channel_axis(self, index: int) -> int:
        """Return the last axis."""
        del index
        return -1

    def __init__(self, path: Path, specs: dict[str, Any]) -> None:
        """Take shape and dtype by name, and refuse what cannot be stored or held."""
        check_storable(path, specs.items())
        if specs:
            largest = max(specs, key=lambda name: plain_bytes(specs[name]))
            check_memory(path, largest, plain_bytes(specs[largest]))
        self.path = path
        self.paths = sorted(specs)
        self.leaves = [specs[name] for name in self.paths]
        self.outline: Outline = {"dict": [[name, index] for index, name in enumerate(self.paths)]}
