"""How the weights of a tensor come to take few values: by name, as the command offers it."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.checks import check_clusters, check_positive
from jaxcompress.leaves import LowRank
from jaxcompress.lowrank import by_ratio, low_rank
from jaxcompress.metrics import root_mean_square
from jaxcompress.oneshot.sources import Track, untracked
from jaxcompress.oneshot.stream import Pruning, Quantizer, by_technique
from jaxcompress.quantization import quantize
from jaxcompress.quantization.grids import make_grid
from jaxcompress.sharing import (
    entropy_constrained,
    high_rate_weight,
    kmeans,
    size_importance,
    uniform,
)
from jaxcompress.trees import everything


class Choice(NamedTuple):
    """A way to share or to round weights.

    Attributes:
        parameter: the option that says how finely.
        make: from a pruning, the value of that option and a progress bar to the quantizer.
    """

    parameter: str
    make: Callable[[Pruning, Any, Track], Quantizer]


def _kmeans(pruning: Pruning, clusters: int, track: Track) -> Quantizer:
    del pruning, track
    check_clusters(clusters)
    return by_technique(functools.partial(kmeans, k=clusters))


def _uniform(pruning: Pruning, step: float, track: Track) -> Quantizer:
    step = step_in_weights(pruning, step, track=track)
    return by_technique(functools.partial(uniform, step_size=step, importance=importance(pruning)))


def _entropy(pruning: Pruning, step: float, track: Track) -> Quantizer:
    weight = high_rate_weight(step_in_weights(pruning, step, track=track))
    return by_technique(
        functools.partial(entropy_constrained, rate_weight=weight, importance=importance(pruning))
    )


def _grid(pruning: Pruning, bits: int, track: Track) -> Quantizer:
    del pruning, track
    make_grid(bits)
    return by_technique(functools.partial(quantize, bits=bits))


QUANTIZERS: dict[str, Choice] = {
    "kmeans": Choice("clusters", _kmeans),
    "uniform": Choice("step", _uniform),
    "entropy": Choice("step", _entropy),
    "grid": Choice("bits", _grid),
}


def in_factors(quantizer: Quantizer, ratio: float) -> Quantizer:
    """Return the quantizer that makes a tensor a product, where that pays, and rounds its factors.

    Args:
        quantizer: of the factors, and of tensors that stay whole.
        ratio: share of the parameters to keep, as for `low_rank`.

    Raises:
        TypeError: the ratio is no number.
        ValueError: it is not in (0, 1].
    """
    rule = by_ratio(keep=ratio)

    def quantized(path: str, tensor: np.ndarray) -> Any:
        leaf = low_rank({path: tensor}, ranks=rule, scope=everything)[path]
        if not isinstance(leaf, LowRank):
            return quantizer(path, tensor)
        factors = tuple(quantizer(path, np.asarray(factor)) for factor in leaf.factors)
        return LowRank(factors=factors, equation=leaf.equation)

    return quantized


def step_in_weights(pruning: Pruning, step: float, *, track: Track = untracked) -> float:
    """Return a step, given in root mean squares of the non-zero weights, in the weights' unit.

    Raises:
        ValueError: it is not above 0.
        TypeError: it is no number.
    """
    step = check_positive("step", step, "0.5 is fine, 1 is coarse")
    return step * root_mean_square(tensor for _, tensor in pruning.leaves(track=track))


def importance(pruning: Pruning) -> Callable[[str, Any], float]:
    """Return the importance by size among the tensors that are shared."""
    leaves = pruning.source.leaves
    shared = {str(index): leaves[index] for index, pick in enumerate(pruning.chosen) if pick}
    return size_importance(shared, scope=everything)
