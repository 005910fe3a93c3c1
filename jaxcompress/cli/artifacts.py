"""Reading compressed files for the command: tensors by name, and what each of them takes."""

import inspect
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress import codec
from jaxcompress.cli.status import Refused
from jaxcompress.leaves import is_compressed
from jaxcompress.trees import PyTree, named_leaves


class Artifact(NamedTuple):
    """A file that has been read and checked, its leaves still compressed.

    Attributes:
        tree: as `load_compressed` gives it.
        leaves: leaf by path, in the order of the file.
    """

    tree: PyTree
    leaves: dict[str, Any]

    def tensor(self, path: str) -> np.ndarray:
        """Return one tensor, made dense."""
        leaf = self.leaves[path]
        return np.asarray(leaf.dense() if is_compressed(leaf) else leaf)


def read(path: Path, max_bytes: int | None = None) -> Artifact:
    """Read a whole file.

    Args:
        path: file to read.
        max_bytes: most bytes that its tensors may take.

    Raises:
        ArtifactError: it is damaged.
        Refused: two tensors have one path.
        OSError: it cannot be read.
    """
    limit = {"max_bytes": max_bytes} if _knows_limits() else {}
    tree = codec.load_compressed(path, **limit)
    named = named_leaves(tree, is_leaf=is_compressed)
    check_unique(path, named.paths)
    return Artifact(tree, dict(zip(named.paths, named.leaves, strict=True)))


def check_unique(path: Path, names: list[str]) -> None:
    """Refuse a tree of which two tensors have one path.

    Raises:
        Refused: naming it.
    """
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise Refused(
            f"{path}: {twice[0]}: a name must mean one tensor, got several; rename keys that hold "
            "a slash."
        )


def describe(path: Path) -> Any:
    """Return what each tensor of a file takes, without reading its values.

    Raises:
        ArtifactError: the file is damaged.
        Refused: the codec cannot tell.
    """
    describe = getattr(codec, "describe", None)
    if describe is None:
        raise Refused(f"{path}: this version cannot describe files; upgrade jaxcompress.")
    return describe(path)


def _knows_limits() -> bool:
    return "max_bytes" in inspect.signature(codec.load_compressed).parameters
