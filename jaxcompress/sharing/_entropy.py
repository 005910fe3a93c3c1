"""Entropy-constrained quantization: values of a layer chosen by the cost of their codes."""

import math
from typing import Any

import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.leaves import Clustered
from jaxcompress.leaves.clustered import MOST_CODES
from jaxcompress.sharing._importance import Importance, checked, equal_importance
from jaxcompress.sharing._members import Members, share_leaves
from jaxcompress.sharing._weights import TooManyLevels, Weights
from jaxcompress.sharing.magnitudes import usual
from jaxcompress.trees import PyTree, Scope, kernels, named_leaves, plain_bytes

_FINEST, _COARSEST = 2.0**-12, 2.0**12  # step sizes tried for a size, per root mean square weight
_SAMPLE = 1 << 14  # weights of a leaf from which its usual magnitude is estimated
_PRECISION = 1.001  # relative, of the rate weight found for a size


def entropy_constrained(
    params: PyTree,
    rate_weight: float,
    *,
    mask: PyTree | None = None,
    scope: Scope = kernels,
    importance: Importance = equal_importance,
) -> PyTree:
    """Share the weights of every leaf in the scope so that squared error and bits cost least.

    Minimises `sum_i (w_i - value[code_i])^2 + rate_weight * bits` in every leaf, with
    `bits = sum_i -log2(frequency of code_i) + bits of the codebook`, as in
    `entropy_bound_bytes`. Code 0 stands for exact zero; its frequency counts the pruned weights,
    and other weights become zero where that costs less. The minimum is exact for leaves of up to
    5000 distinct weights, and for more if they spread over many cells. Above, it is exact over a
    grid of a sixteenth of `sqrt(6 * rate_weight / ln(2))`, and Lloyd's iteration refines it.

    Gathered to the host: one leaf in the scope at a time with its mask, 5 bytes for each weight
    of float32.

    Args:
        params: any pytree of concrete arrays.
        rate_weight: price of a bit in squared error, in the unit of the weights squared, the same
            for all leaves. `high_rate_weight` gives it for a step size, `rate_weight_for` for a
            size.
        mask: True where a weight is a member, as pruning gave it; default: the non-zero weights.
        scope: which leaves are shared.
        importance: `(path, leaf) -> number`, the weight of the squared error of a leaf.

    Returns:
        `params` with `Clustered` leaves in the scope. Entries of a codebook are the means of
        their members, in ascending order.

    Raises:
        ValueError: a `rate_weight` that is not above 0 or gives a leaf more than 65535 values,
            NaN or infinite weights, an empty scope, another mask tree.
        TypeError: `rate_weight` is not a number; called under `jit`; the scope chooses leaves of
            other numbers than floats.

    Example:
        >>> shared = entropy_constrained({"kernel": np.array([[0.1, 2.0], [2.2, -3.0]])}, 0.01)
        >>> shared["kernel"].codes.tolist(), shared["kernel"].codebook.round(3).tolist()
        ([[0, 2], [2, 1]], [-3.0, 2.1])

    Source: Chou, Lookabaugh and Gray 1989, IEEE Transactions on ASSP 37(1); the dynamic programming
    is that of Muresan and Effros 2008, IEEE Transactions on Information Theory 54(1).
    """
    rate_weight = _check_rate_weight(rate_weight)

    def share(members: Members) -> Clustered:
        return _share(members, rate_weight / checked(importance, members))

    return share_leaves("entropy_constrained", params, mask, scope, share)


def high_rate_weight(step_size: float) -> float:
    """Return the rate weight whose codebooks are about equal in fineness to a `step_size`.

    `rate_weight = step_size^2 * ln(2) / 6`: the slope of squared error over bits of a uniform
    quantizer at high rates.

    Args:
        step_size: distance of neighbouring values, in the unit of the weights.

    Raises:
        ValueError: it is not above 0.
        TypeError: it is not a number.

    Example:
        >>> round(high_rate_weight(0.1), 6)
        0.001155

    Source: Gish and Pierce 1968, IEEE Transactions on Information Theory 14(5).
    """
    step_size = check_positive(
        "step_size", step_size, "pass a fraction of the weights' standard deviation"
    )
    rate_weight = step_size * step_size * math.log(2) / 6
    if not 0 < rate_weight < math.inf:
        raise ValueError(
            f"step_size: its square must be a finite number above 0, got {step_size}; scale the "
            "weights to be near 1."
        )
    return rate_weight


def rate_weight_for(
    params: PyTree,
    size_bytes: float,
    *,
    mask: PyTree | None = None,
    scope: Scope = kernels,
    importance: Importance = equal_importance,
) -> float:
    """Return the rate weight at which `entropy_constrained` fits into a size.

    It is the least, within 0.1 %, for which `entropy_bound_bytes(entropy_constrained(params,
    rate_weight))` is at most `size_bytes`; leaves outside of the scope count with their full size.
    It is found by bisection; weights are sorted once.

    Args:
        params: any pytree of concrete arrays.
        size_bytes: largest entropy bound; a file is larger by its header.
        mask: True where a weight is a member, as pruning gave it; default: the non-zero weights.
        scope: which leaves are shared.
        importance: as for `entropy_constrained`.

    Raises:
        ValueError: a size that is not above that of the other leaves; and as `entropy_constrained`.
        TypeError: `size_bytes` is not a number; called under `jit`; the scope chooses leaves of
            other numbers than floats.

    Example:
        >>> params = {"kernel": np.random.default_rng(0).standard_normal((40, 50))}
        >>> shared = entropy_constrained(params, rate_weight_for(params, 600))
        >>> len(shared["kernel"].codebook)
        6
    """
    size_bytes = check_positive("size_bytes", size_bytes, "pass a number of bytes")
    leaves: list[Weights] = []
    importances: list[float] = []

    def keep(members: Members) -> None:
        importances.append(checked(importance, members))
        leaves.append(Weights(members))

    others = share_leaves("rate_weight_for", params, mask, scope, keep)
    left = size_bytes - sum(plain_bytes(leaf) for leaf in named_leaves(others).leaves)
    if left < 0:
        raise ValueError(
            f"size_bytes: must be at least the {size_bytes - left:,.0f} bytes of the leaves "
            f"outside of the scope, got {size_bytes:,.0f}; raise it, or take them into the scope."
        )
    scale = _usual_magnitude([leaf.ordered for leaf in leaves if leaf.ordered.size])

    def fits(rate_weight: float) -> bool:
        try:
            cells = [
                leaf.quantized(rate_weight / number)
                for leaf, number in zip(leaves, importances, strict=True)
            ]
        except TooManyLevels:
            return False
        sizes = [leaf.size_bytes(c) for leaf, c in zip(leaves, cells, strict=True)]
        return sum(sizes) <= left

    low, high = (high_rate_weight(scale * factor) for factor in (_FINEST, _COARSEST))
    while not fits(high):
        high *= _COARSEST
    if fits(low):
        return low
    while high > _PRECISION * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _usual_magnitude(leaves: list[np.ndarray]) -> float:
    """Return the root mean square of sorted weights, without extreme outliers."""
    if not leaves:
        return 1.0
    with np.errstate(over="ignore"):
        squares = [float(np.sum(np.square(leaf, dtype=np.float64))) for leaf in leaves]
    root = math.sqrt(sum(squares) / sum(leaf.size for leaf in leaves))
    sample = np.concatenate([leaf[:: -(-leaf.size // _SAMPLE)] for leaf in leaves])
    return usual(root, np.abs(sample))


def _check_rate_weight(rate_weight: Any) -> float:
    remedy = "pass high_rate_weight(step_size), or what rate_weight_for gives"
    return check_positive("rate_weight", rate_weight, remedy)


def _share(members: Members, rate_weight: float) -> Clustered:
    """Quantize one tensor."""
    weights = Weights(members)
    try:
        cells = weights.quantized(rate_weight)
    except TooManyLevels as many:
        raise ValueError(
            f"{members.path}: rate_weight must leave at most {MOST_CODES} values beside zero, "
            f"got {many} with {rate_weight:.3g}; pass a larger one."
        ) from None
    return weights.clustered(cells, weights.values(cells))
