"""Weights rounded so that the outputs of their layers change little on an example."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcompress.leaves import Quantized
from jaxcompress.planner._task import Task
from jaxcompress.products.moments import input_moments
from jaxcompress.quantization import fit_rounding
from jaxcompress.trees import PyTree, named_leaves

Refine = Callable[[str, Any], Any]
"""From the path of a tensor and its leaf to a leaf of the same grids."""


def unrefined(path: str, leaf: Any) -> Any:
    """Return the leaf as it is."""
    del path
    return leaf


def refining(task: Task, apply: Callable[..., PyTree] | None, params: PyTree) -> Refine:
    """Return what rounds the weights of a network anew on the example of a task.

    Where weights are trained after rounding, and where the network cannot be run, they are rounded
    to the nearest.

    Args:
        task: with an example.
        apply: of the network.
        params: of it, dense.
    """
    if apply is None or not task.is_run or task.is_trained or not task.fits_rounding:
        return unrefined
    return _on_inputs(apply, params, tuple(task.example))


def _on_inputs(apply: Callable[..., PyTree], params: PyTree, inputs: Sequence[PyTree]) -> Refine:
    moments = input_moments(apply, params, [tuple(inputs)])
    named = named_leaves(params)
    tensors = dict(zip(named.paths, named.leaves, strict=True))

    def refine(path: str, leaf: Any) -> Any:
        if not isinstance(leaf, Quantized) or path not in moments.layers:
            return leaf
        return fit_rounding({path: np.asarray(tensors[path])}, {path: leaf}, moments)[path]

    return refine
