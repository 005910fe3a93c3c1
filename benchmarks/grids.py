"""Grids whose steps are as fine as the output of a network needs, for files of layout `entropy`.

A grid has steps enough for every weight; few of them occur often, and the file's code takes no
more bits than they are worth. So the step is the only choice, and it can be any number.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

import jaxcompress as jc
from jaxcompress.quantization.grids import Grid
from jaxcompress.quantization.ranges import Range, Samples
from jaxcompress.trees import PyTree, named_leaves

WEIGHTS = jc.matching(r"(^|/)(kernel|embedding)$")
"""Kernels and embeddings; biases of attention are of rank 2 too."""

_PROBE = 0.35  # of the standard deviation: the step at which damage is measured


def on_grids(params: PyTree, steps: Mapping[str, float]) -> PyTree:
    """Round each tensor to multiples of its step, from -127 to 127 of them.

    Where these do not reach, rows have steps of their own: a transformer may have a weight that is
    a hundred times the others.
    """
    for path, step in steps.items():

        def reach(samples: Samples, grid: Grid, step: float = step) -> Range:
            most = np.maximum(np.abs(samples.values).max(axis=1), step * grid.highest)
            return Range(-most, most)

        def rows(path: str, leaf: Any, step: float = step) -> tuple[int, ...]:
            within = np.abs(leaf).max() <= 127 * step
            return (jc.per_tensor if within else jc.per_channel(0))(path, leaf)

        params = jc.quantize(
            params, granularity=rows, estimate=reach, scope=lambda p, leaf, path=path: p == path
        )
    return params


def probes(params: PyTree) -> dict[str, float]:
    """Return the steps at which damage is measured."""
    named = named_leaves(params)
    return {
        path: _PROBE * float(np.std(leaf))
        for path, leaf in zip(named.paths, named.leaves, strict=True)
        if WEIGHTS(path, leaf)
    }


def steps_for(
    params: PyTree, probed: Mapping[str, float], damages: Mapping[str, float], damage: float
) -> dict[str, float]:
    """Return the steps of the fewest bits at which the damages of all tensors sum up to `damage`.

    Damage grows with the square of the step, and each halving costs a bit a weight; so in the
    optimum every weight does as much damage as any other.

    Args:
        params: the weights.
        probed: steps at which damages were measured.
        damages: by path, of one tensor at a time.
        damage: of all together.
    """
    named = named_leaves(params)
    sizes = {path: np.size(leaf) for path, leaf in zip(named.paths, named.leaves, strict=True)}
    total = sum(sizes[path] for path in probed)
    return {
        path: step * float(np.sqrt(damage * sizes[path] / (total * damages[path])))
        for path, step in probed.items()
    }
