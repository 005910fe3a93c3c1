"""Quantizers by name: how a stage chooses the values that weights share."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import jaxcompress as jc
from jaxcompress.metrics import root_mean_square
from jaxcompress.scopes import in_scope, kernels, named_leaves
from jaxcompress.typing import PyTree


class Quantizer(NamedTuple):
    """A way to share weights.

    Attributes:
        summary: one line for `--help`.
        parameter: the setting that says how finely, and its flag.
        share: `share(params, value of that setting, mask) -> shared`.
    """

    summary: str
    parameter: str
    share: Callable[[PyTree, float, PyTree | None], PyTree]


def step_in_weights(params: PyTree, step: float) -> float:
    """Return a step, given in root mean squares of the non-zero weights, in the weights' unit.

    Example:
        >>> step_in_weights({"kernel": np.array([[3.0, 0.0], [0.0, -3.0]])}, 0.5)
        1.5
    """
    named = named_leaves(params)
    chosen = zip(named.leaves, in_scope(named, kernels), strict=True)
    return step * root_mean_square(np.asarray(leaf) for leaf, pick in chosen if pick)


def _kmeans(params: PyTree, clusters: float, mask: PyTree | None) -> PyTree:
    return jc.kmeans(params, int(clusters), mask=mask)


def _uniform(params: PyTree, step: float, mask: PyTree | None) -> PyTree:
    importance = jc.sharing.size_importance(params)
    return jc.uniform(params, step_in_weights(params, step), mask=mask, importance=importance)


def _entropy(params: PyTree, step: float, mask: PyTree | None) -> PyTree:
    rate_weight = jc.sharing.high_rate_weight(step_in_weights(params, step))
    importance = jc.sharing.size_importance(params)
    return jc.entropy_constrained(params, rate_weight, mask=mask, importance=importance)


QUANTIZERS: dict[str, Quantizer] = {
    "kmeans": Quantizer("least squared error for --clusters values a layer", "clusters", _kmeans),
    "uniform": Quantizer("multiples of --step, finer in small layers", "step", _uniform),
    "entropy": Quantizer(
        "least squared error and bits together, as fine as --step", "step", _entropy
    ),
}
