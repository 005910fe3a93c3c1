"""The stages of a plan in a folder, so that a run that was stopped goes on."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxcompress.artifact import inspect, load_into, save
from jaxcompress.errors import ArtifactError
from jaxcompress.trees import PyTree, named_leaves


class Stages:
    """Trees of stages, each written once.

    Args:
        folder: to write; None to keep nothing.
        stamp: of the plan and the network; files of other ones are not read.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, stamp: str) -> None:
        self._folder = None if folder is None else Path(folder)
        self._stamp = stamp
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def tree(self, name: str, like: PyTree, make: Callable[[], PyTree]) -> PyTree:
        """Return the tree of a stage: that of its file, or a new one.

        Args:
            name: of the stage, a part of a file name.
            like: a tree of its structure.
            make: makes it.
        """
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.npz"
        if (kept := self._kept(path, like)) is not None:
            return kept
        tree = make()
        save(path, _arrays(tree), metadata={"stage": name, "plan": self._stamp})
        return tree

    def _kept(self, path: Path, like: PyTree) -> PyTree | None:
        """Return the tree of a file, None if there is no whole one of this plan."""
        try:
            if inspect(path)["metadata"].get("plan") != self._stamp:
                return None
            return load_into(path, like)
        except (ArtifactError, OSError):
            return None


def _arrays(tree: PyTree) -> PyTree:
    named = named_leaves(tree)
    return named.rebuild(list(map(np.asarray, named.leaves)))
