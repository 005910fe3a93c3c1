"""Ways to give the weights of a tensor few values, by name: one table for all callers."""

import functools
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.bounds import check_clusters, check_fraction, check_positive
from jaxcompress.leaves import LowRank
from jaxcompress.lowrank import by_ratio, low_rank
from jaxcompress.metrics import root_mean_square
from jaxcompress.oneshot.sources import Track, untracked
from jaxcompress.oneshot.stream import Pruning, Quantizer
from jaxcompress.quantization import quantize
from jaxcompress.quantization.grids import make_grid
from jaxcompress.sharing import (
    Importance,
    entropy_constrained,
    high_rate_weight,
    kmeans,
    size_importance,
    uniform,
)
from jaxcompress.trees import PyTree, Scope, everything, in_scope, kernels, named_leaves


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


def _grid(bits: int, weights: Weights) -> Technique:
    del weights
    make_grid(bits)
    return functools.partial(quantize, bits=bits)


SHARING: dict[str, Choice] = {
    "kmeans": Choice("least squared error for --clusters values a layer", "clusters", _kmeans),
    "uniform": Choice("multiples of --step-size, finer in small layers", "step_size", _uniform),
    "entropy": Choice(
        "least squared error and bits together, as fine as --step-size", "step_size", _entropy
    ),
}
"""Choices by which weights share values; their techniques also take a `mask`."""

QUANTIZERS: dict[str, Choice] = {
    **SHARING,
    "grid": Choice("a grid of --bits for each channel", "bits", _grid),
}
"""All choices by name: those of `SHARING`, and grids of integers."""


def weights_of(params: PyTree, *, scope: Scope = kernels) -> Weights:
    """Return the statistics of the weights of a tree.

    Example:
        >>> weights_of({"kernel": np.array([[3.0, 0.0], [0.0, -3.0]])}).step_size(0.5)
        1.5
    """

    def root() -> float:
        named = named_leaves(params)
        chosen = zip(named.leaves, in_scope(named, scope), strict=True)
        return root_mean_square(np.asarray(leaf) for leaf, pick in chosen if pick)

    return Weights(root, lambda: size_importance(params, scope=scope))


def weights_left(pruning: Pruning, *, track: Track = untracked) -> Weights:
    """Return the statistics of the weights that a pruning keeps."""

    def importance() -> Importance:
        leaves = pruning.source.leaves
        shared = {str(index): leaves[index] for index, pick in enumerate(pruning.chosen) if pick}
        return size_importance(shared, scope=everything)

    return Weights(
        # By `map`, which holds no tensor while the next is loaded.
        lambda: root_mean_square(map(itemgetter(1), pruning.leaves(track=track))),
        importance,
    )


def in_factors(quantizer: Quantizer, *, keep: float) -> Quantizer:
    """Return the quantizer that splits a tensor into factors where that saves, and rounds them.

    It can be pickled if the other can.

    Args:
        quantizer: of the factors, and of tensors that are kept whole.
        keep: fraction of the parameters that is kept, as for `low_rank`.

    Raises:
        TypeError: the fraction is not a number.
        ValueError: it is not in (0, 1].
    """
    return functools.partial(_factored, quantizer, check_fraction("keep", keep))


def _factored(quantizer: Quantizer, keep: float, path: str, tensor: np.ndarray) -> Any:
    leaf = low_rank({path: tensor}, ranks=by_ratio(keep=keep), scope=everything)[path]
    if not isinstance(leaf, LowRank):
        return quantizer(path, tensor)
    factors = tuple(quantizer(path, np.asarray(factor)) for factor in leaf.factors)
    return LowRank(factors=factors, equation=leaf.equation)
