"""Ways by which all weights of a network share values, for training that follows."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxcompress.bounds import check_clusters, check_positive
from jaxcompress.metrics import root_mean_square
from jaxcompress.placement import on_host
from jaxcompress.sharing import (
    Importance,
    entropy_constrained,
    high_rate_weight,
    kmeans,
    size_importance,
    uniform,
)
from jaxcompress.trees import PyTree, Scope, in_scope, kernels, named_leaves


class Weights(NamedTuple):
    """Statistics of all weights to be quantized, computed on demand.

    Attributes:
        root_mean_square: gives that of the non-zero weights, 1 if there are none.
        importance: gives how much errors count, for each tensor by its size.
    """

    root_mean_square: Callable[[], float]
    importance: Callable[[], Importance]

    def step_size(self, relative: float) -> float:
        """Return a step size in the unit of the weights from one in root mean squares.

        Raises:
            ValueError: it is not above 0.
            TypeError: it is not a number.
        """
        relative = check_positive("step_size", relative, "0.5 is fine, 1 is coarse")
        return relative * self.root_mean_square()


Technique = Callable[..., PyTree]
"""From a tree, and a `scope`, to the tree with compressed leaves."""


class Choice(NamedTuple):
    """A way to share or to round weights.

    Attributes:
        summary: one line for `--help`; it may name the option of the parameter.
        parameter: the option that sets the fineness: `clusters` a tensor, `step_size` in root mean
            squares of the non-zero weights, or `bits` of a weight.
        technique: from the value of that option and the weights to a technique for trees.
    """

    summary: str
    parameter: str
    technique: Callable[[Any, Weights], Technique]


def _kmeans(clusters: int, weights: Weights) -> Technique:
    del weights
    check_clusters(clusters)
    return functools.partial(kmeans, k=clusters)


def _uniform(relative: float, weights: Weights) -> Technique:
    step_size = weights.step_size(relative)
    return functools.partial(uniform, step_size=step_size, importance=weights.importance())


def _entropy(relative: float, weights: Weights) -> Technique:
    rate_weight = high_rate_weight(weights.step_size(relative))
    return functools.partial(
        entropy_constrained, rate_weight=rate_weight, importance=weights.importance()
    )


SHARING: dict[str, Choice] = {
    "kmeans": Choice("least squared error for --clusters values a layer", "clusters", _kmeans),
    "uniform": Choice("multiples of --step-size, finer in small layers", "step_size", _uniform),
    "entropy": Choice(
        "least squared error and bits together, as fine as --step-size", "step_size", _entropy
    ),
}
"""Choices by which weights share values; their techniques also take a `mask`."""


def weights_of(params: PyTree, *, scope: Scope = kernels) -> Weights:
    """Return the statistics of the weights of a tree.

    Example:
        >>> import numpy as np
        >>> weights_of({"kernel": np.array([[3.0, 0.0], [0.0, -3.0]])}).step_size(0.5)
        1.5
    """

    def root() -> float:
        named = named_leaves(params)
        chosen = zip(named.leaves, in_scope(named, scope), strict=True)
        return root_mean_square(on_host(leaf) for leaf, pick in chosen if pick)

    return Weights(root, lambda: size_importance(params, scope=scope))
