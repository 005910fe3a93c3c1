"""Weights rounded so that the outputs of their layers change little on an example."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from jaxcompress.leaves import Clustered, Quantized
from jaxcompress.planner._rows import inputs_of, rows_of
from jaxcompress.planner._task import Task
from jaxcompress.products.moments import Moments, input_moments
from jaxcompress.products.shrinkage import towards_diagonal
from jaxcompress.quantization import fit_rounding
from jaxcompress.trees import PyTree, named_leaves

_RATE_WEIGHT, _DESCENTS = 0.5, 0
"""Files are a tenth smaller at the same loss; descents gain nothing that can be measured."""


class Refine(Protocol):
    """From the path of a tensor and its leaf to a leaf of the same grids or shared values."""

    def __call__(self, path: str, leaf: Any, *, is_pruned: bool = False) -> Any:
        """Return it; with `is_pruned` zeros stay zeros."""
        ...


Inputs = tuple[PyTree, ...]


def unrefined(path: str, leaf: Any, *, is_pruned: bool = False) -> Any:
    """Return the leaf as it is."""
    del path, is_pruned
    return leaf


class Refining(NamedTuple):
    """How weights are rounded anew.

    Attributes:
        full: for files, on all rows of the example.
        compared: for comparing settings, on every other row.
        judged: the inputs on which damages are measured: the rows between, since rounding that was
            fitted to some rows changes the outputs of these least.
    """

    full: Refine
    compared: Refine
    judged: Inputs


def refining(task: Task, apply: Callable[..., PyTree] | None, params: PyTree) -> Refining:
    """Return what rounds the weights of a network anew on the example of a task.

    Where weights are trained after rounding, and where the network cannot be run, they are rounded
    to the nearest. Batches of the task without a loss are for this alone, beside the example.

    Args:
        task: with an example.
        apply: of the network.
        params: of it, dense.
    """
    example = tuple(task.example)
    if apply is None or not task.is_run or task.is_trained or not task.fits_rounding:
        return Refining(unrefined, unrefined, example)
    count = rows_of(apply, params, example) or 1
    if batches := _unlabelled(task):
        rows = sum(rows_of(apply, params, batch) or 1 for batch in batches)
        fitted = _on_inputs(apply, params, batches, rows)
        return Refining(fitted, fitted, example)
    if count == 1:
        whole = _on_inputs(apply, params, [example], 1)
        return Refining(whole, whole, example)
    even, odd = (_every(example, slice(start, None, 2)) for start in (0, 1))
    rows = (count + 1) // 2
    compared = _on_inputs(apply, params, [even], rows)
    # As strong a shrinkage with twice the rows: files have the sizes that were compared.
    return Refining(_on_inputs(apply, params, [example], rows), compared, odd)


def _unlabelled(task: Task) -> list[Inputs]:
    """Return the inputs of batches that are not for training.

    Raises:
        ValueError: batches that do not begin with inputs as those of the example.
    """
    if task.train is None:
        return []
    found = [inputs_of(task, batch) for batch in task.train]
    if None in found:
        raise ValueError(
            "train: must hold batches that begin with inputs as those of the example, got others; "
            "pass tuples of these, or a loss to train with."
        )
    return [batch for batch in found if batch is not None]


def _every(example: Inputs, rows: slice) -> Inputs:
    return jax.tree.map(lambda leaf: leaf[rows], example)


def _on_inputs(
    apply: Callable[..., PyTree], params: PyTree, batches: Sequence[Inputs], samples: int
) -> Callable[..., Any]:
    @functools.cache
    def moments() -> Moments:
        return towards_diagonal(input_moments(apply, params, batches), samples)

    named = named_leaves(params)
    tensors = dict(zip(named.paths, named.leaves, strict=True))

    def refine(path: str, leaf: Any, *, is_pruned: bool = False) -> Any:
        if not isinstance(leaf, (Quantized, Clustered)) or path not in moments().layers:
            return leaf
        weights = np.asarray(tensors[path])
        if is_pruned:
            weights = np.where(np.asarray(leaf.dense()) == 0, 0, weights)
        return fit_rounding(
            {path: weights}, {path: leaf}, moments(), rate_weight=_RATE_WEIGHT, descents=_DESCENTS
        )[path]

    return refine
