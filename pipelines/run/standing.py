"""The standing of a run, and its form in a checkpoint."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from pipelines.models.train import Position, TrainState, copied
from pipelines.run.folder import FolderError
from pipelines.run.row import Row
from pipelines.stages.stage import Stage, Work


class Standing(NamedTuple):
    """The standing of a run.

    Attributes:
        rows: of the finished stages.
        start: the work from which the stage in progress started.
        fit: the leaves of its training's state; None before it has trained.
        position: of its training.
        elapsed: seconds spent on the stage.
    """

    rows: Sequence[Row] = ()
    start: Work = Work({}, {})
    fit: Sequence[Any] | None = None
    position: Position = Position()
    elapsed: float = 0.0

    def packed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return it as arrays and notes."""
        work = {name: tree for name, tree in self.start._asdict().items() if tree}
        fit = {str(i): leaf for i, leaf in enumerate(self.fit or ())}
        notes = {
            "position": self.position,
            "elapsed": self.elapsed,
            "rows": [dataclasses.asdict(row) for row in self.rows],
        }
        return {"work": work, "fit": fit}, notes


def unpacked(arrays: dict[str, Any], notes: dict[str, Any], *, stages: Sequence[Stage]) -> Standing:
    """Return the standing that was `packed`.

    Raises:
        ValueError: it belongs to other stages.
        TypeError: rows have other fields.
        KeyError: something is missing.
    """
    rows = [Row(**row) for row in notes["rows"]]
    names = [row.name for row in rows]
    if names != [stage.name for stage in stages[: len(rows)]]:
        raise ValueError(f"it is of the stages {', '.join(names)}")
    fit = arrays.get("fit") or {}
    if fit and len(rows) == len(stages):
        raise ValueError("it trains when all stages are done")
    return Standing(
        rows,
        Work(**{"params": {}, "stats": {}} | copied(arrays.get("work", {}))),
        [fit[str(i)] for i in range(len(fit))] or None,
        Position(*notes["position"]),
        notes["elapsed"],
    )


def restored(state: TrainState, leaves: Sequence[Any], *, stage: str) -> TrainState:
    """Return a training's state with the leaves of a checkpoint.

    Raises:
        FolderError: the state has other leaves: libraries or program have changed.
    """
    here = jax.tree.leaves(state)
    kinds = [[(leaf.shape, leaf.dtype) for leaf in found] for found in (here, leaves)]
    if kinds[0] != kinds[1]:
        raise FolderError(
            f"{stage}: the checkpoint has another state of training than this version of the "
            "program; start again with another --out."
        )
    return copied(jax.tree.unflatten(jax.tree.structure(state), leaves))
