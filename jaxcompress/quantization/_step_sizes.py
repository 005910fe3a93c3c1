"""Step sizes by the damage to the outputs of a network, for files of layout `entropy`.

In such files the bits of a weight depend on how rare its integer is, not on the length of the grid.
So the only choice is the step size, and it may be any number.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.checks import check_concrete, check_floats, check_known, check_unique
from jaxcompress.leaves import Clustered, Quantized, dense
from jaxcompress.leaves.tree import is_coded
from jaxcompress.placement import on_host
from jaxcompress.products.moments import Moments
from jaxcompress.quantization._granularity import per_channel, per_tensor
from jaxcompress.quantization._quantize import rounded
from jaxcompress.quantization._rounding import fit_rounding
from jaxcompress.quantization._sensitivity import sensitivity
from jaxcompress.quantization.damages import Damage, relative_error
from jaxcompress.quantization.grids import Grid, make_grid
from jaxcompress.quantization.ranges import Range, Samples
from jaxcompress.trees import Array, PyTree, Scope, in_scope, kernels, named_leaves

_GRID = make_grid(8, symmetric=True)
_PROBE = 0.35  # of the root mean square: the step size at which damage is measured


class Probe(NamedTuple):
    """The damage of one tensor's rounding at a step size.

    Attributes:
        step_size: the tensor was rounded to its multiples.
        damage: to the network's outputs.
        weights: how many of it are not 0, and so take bits.
        largest: the largest magnitude among them.
    """

    step_size: float
    damage: float
    weights: int
    largest: float


def round_to_step_sizes(params: PyTree, step_sizes: Mapping[str, float | Array]) -> PyTree:
    """Round tensors to multiples of their step sizes, as `Quantized` leaves of 8 bits.

    `w = step_size * integer`, from -127 to 127. Where 127 step sizes do not reach the largest
    weight of a tensor, each index of its first axis has a step size of its own,
    `max(step_size, max |w| / 127)`: a transformer may have one weight that is a hundred times the
    others.

    Args:
        params: any pytree of concrete arrays; compressed leaves are taken as by `quantize`.
        step_sizes: above 0, by path: a number, or an array of as many axes as the tensor, each of
            length 1 or that of the tensor's, such as `[rows, 1]`; these are raised to
            `max |w| / 127` as well. Tensors that are not named are not rounded.

    Raises:
        ValueError: a path of no tensor or of two, a step size that is not above 0, an array of
            another shape or for shared values, NaN or infinite weights.
        TypeError: a step size that is not a number; called under `jit`.

    Example:
        >>> params = {"w": np.array([[0.26, -0.5], [0.0, 1.4]])}
        >>> leaf = round_to_step_sizes(params, {"w": 0.25})["w"]
        >>> leaf.values.tolist(), leaf.scale.tolist()
        ([[1, -2], [0, 6]], [[0.25]])
    """
    check_concrete("round_to_step_sizes", params)
    named = named_leaves(params, is_leaf=is_coded)
    check_unique(named.paths)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    known = [path for path, leaf in leaves.items() if 0 not in leaf.shape]
    check_known(step_sizes, known, "step sizes must be for tensors of the tree", "correct it")
    for path, step_size in step_sizes.items():
        _check_steps(path, step_size, leaves[path])
    return named.rebuild(
        [
            _rounded(path, leaf, step_sizes[path]) if path in step_sizes else leaf
            for path, leaf in leaves.items()
        ]
    )


def _check_steps(path: str, step_size: Any, leaf: Any) -> None:
    if not np.ndim(step_size):
        check_positive(path, step_size, "pass the distance of neighbouring values")
        return
    if isinstance(leaf, Clustered):
        raise ValueError(
            f"{path}: shared values have one step size, got {np.shape(step_size)} of them; pass a "
            "number, or the dense tree."
        )
    steps, shape = np.asarray(step_size), leaf.shape
    fits = steps.ndim == len(shape) and all(
        n in (1, most) for n, most in zip(steps.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{path}: step sizes must have axes of length 1 or those of {tuple(shape)}, got "
            f"{steps.shape}; pass [rows, 1] for a step size a row."
        )
    for end in (steps.min(), steps.max()):  # both are NaN where one is
        check_positive(path, end.item(), "pass the distances of neighbouring values")


def _rounded(path: str, leaf: Any, step_size: float | Array) -> Quantized:
    steps = np.asarray(step_size, np.float64)

    def reach(samples: Samples, grid: Grid) -> Range:
        most = np.maximum(np.abs(samples.values).max(axis=1), steps.ravel() * grid.highest)
        return Range(-most, most)

    if steps.ndim:
        return rounded(path, leaf, _GRID, lambda path, leaf: steps.shape, reach)
    within = np.abs(on_host(dense(leaf))).max() <= steps * _GRID.highest
    return rounded(path, leaf, _GRID, per_tensor if within else per_channel(0), reach)


def row_step_sizes(counts: Array, *, unseen: float = 0.3) -> np.ndarray:
    """Return step sizes of the rows of a table, relative to that of one for all.

    A row that is read `q` of the time does `q` times the damage of its error. At a number of bits
    all rows together do the least where each does as much: `step ~ q^(-1/2)`, whose geometric mean
    is 1 here. `q = (1 - unseen) count / sum(counts) + unseen / rows`, because other text has other
    words: a row that never occurred is at most `unseen^(-1/2)` times as coarse as the mean.
    Quarters of octaves, which take few bits in a file.

    Args:
        counts: `[rows]`, how often each is read; of much more text than moments need.
        unseen: the part of what is read that is spread over all rows alike, above 0 to 1.

    Returns:
        `[rows, 1]`, float64: times a number they are `step_sizes` of a table `[rows, width]`.

    Raises:
        ValueError: counts that are not one number of at least 0 a row, or all 0; `unseen` out of
            its range.

    Example:
        >>> row_step_sizes(np.array([96, 2, 1, 1])).ravel().round(3).tolist()
        [0.42, 1.189, 1.414, 1.414]

    Source: bits by the logarithm of what they save, as in transform coding; Huang and Schultheiss
    1963, doi:10.1109/TCOM.1963.1088759.
    """
    numbers = np.asarray(counts, np.float64)
    if numbers.ndim != 1 or not numbers.size or not (numbers >= 0).all() or not numbers.sum() > 0:
        raise ValueError(
            f"counts: must be [rows] numbers of at least 0, not all 0, got shape {numbers.shape}; "
            "count the rows that some text reads."
        )
    if not 0 < unseen <= 1:
        raise ValueError(f"unseen: must be above 0 and at most 1, got {unseen}; 0.3 is usual.")
    share = (1 - unseen) * numbers / numbers.sum() + unseen / numbers.size
    return equal_damage(share)[:, None]


def equal_damage(importance: np.ndarray) -> np.ndarray:
    """Return steps `importance^(-1/2)` of geometric mean 1, in quarters of octaves.

    Example:
        >>> equal_damage(np.array([1.0, 16.0])).tolist()
        [2.0, 0.5]
    """
    octaves = -np.log2(importance) / 2
    return 2.0 ** (np.rint(4 * (octaves - octaves.mean())) / 4)


def step_size_sensitivity(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Iterable[PyTree],
    *,
    damage: Damage = relative_error,
    moments: Moments | None = None,
    relative: Mapping[str, Array] | None = None,
    scope: Scope = kernels,
    descents: int = 4,
) -> dict[str, Probe]:
    """Return the damage by each tensor, rounded to multiples of 0.35 of its root mean square.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays; compressed leaves are made dense.
        batches: of training data, each an input or a tuple of inputs.
        damage: as in `sensitivity`.
        moments: from `input_moments`, to measure fitted rounding; use `fit_rounding` in the end as
            well then.
        relative: arrays by path, as for `round_to_step_sizes`, that the step size of a tensor is
            multiplied by, such as `row_step_sizes`; multiply by them in the end as well then.
        scope: which tensors; those that are all zero are left out.
        descents: of fitted rounding, as in `fit_rounding`; pass the same in the end.

    Raises:
        ValueError: as `sensitivity`; NaN or infinite weights; only zeros in the scope.
        TypeError: as `sensitivity`; leaves in the scope that are not floating point.

    Example:
        >>> apply, params = lambda p, x: x @ p["w"], {"w": np.array([[2], [1]], np.float32)}
        >>> probe = step_size_sensitivity(apply, params, [np.ones((1, 2), np.float32)])["w"]
        >>> round(probe.step_size, 3), round(probe.damage, 3), probe.weights, probe.largest
        (0.553, 0.011, 2, 2.0)
    """
    params, shares = dense(params), relative or {}
    named = named_leaves(params)
    check_unique(named.paths)
    tensors = {
        path: np.asarray(check_floats(path, leaf), np.float64)
        for path, leaf, pick in zip(named.paths, named.leaves, in_scope(named, scope), strict=True)
        if pick and np.any(on_host(leaf))
    }
    if not tensors:
        raise ValueError("scope: must have a tensor that is not all zero, got none; widen it.")
    step_sizes = {
        path: _PROBE * float(np.sqrt(np.mean(np.square(w)))) for path, w in tensors.items()
    }

    check_known(
        shares, tensors, "relative step sizes must be for tensors in the scope", "correct it"
    )
    by_row = {path: step * shares.get(path, 1.0) for path, step in step_sizes.items()}

    def quantizer(params: PyTree, bits: int) -> PyTree:
        del bits  # those of the only grid
        result = round_to_step_sizes(params, by_row)
        if moments is None or moments.layers.keys().isdisjoint(tensors):
            return result
        return fit_rounding(params, result, moments, descents=descents)

    table = sensitivity(
        apply, params, batches, bits=(_GRID.bits,), damage=damage, quantizer=quantizer
    )
    return {
        path: Probe(
            step_sizes[path],
            prices[_GRID.bits].damage,
            int(np.count_nonzero(w)),
            float(np.abs(w).max()),
        )
        for (path, w), prices in zip(tensors.items(), table.prices.values(), strict=True)
    }


def step_sizes_for_damage(probes: Mapping[str, Probe], *, damage: float) -> dict[str, float]:
    """Return the step sizes of the fewest bits at which the damages sum up to `damage`.

    `step_size = probe.step_size * sqrt(damage * n / (N * probe.damage))` for `n` of all `N`
    weights that are not 0. Damage grows with the square of the step size, and each halving costs
    one bit for each of them. So in the optimum they do equal damage. No step size exceeds the
    largest weight of its tensor. That damages are squares and add up is only roughly true: measure
    the result.

    Args:
        probes: from `step_size_sensitivity`.
        damage: of all tensors together.

    Raises:
        ValueError: a damage that is not above 0, no probes.
        TypeError: a damage that is not a number.

    Example:
        >>> a, b = Probe(0.5, 0.04, 100, 9.0), Probe(0.5, 0.01, 100, 9.0)
        >>> step_sizes_for_damage({"a": a, "b": b}, damage=0.02)
        {'a': 0.25, 'b': 0.5}

    Source: bits by the logarithm of what they save, as in transform coding; Huang and Schultheiss
    1963, doi:10.1109/TCOM.1963.1088759.
    """
    check_positive("damage", damage, "pass what all tensors together may do")
    if not probes:
        raise ValueError(
            "probes: must hold a tensor at least, got none; see step_size_sensitivity."
        )
    each = damage / sum(probe.weights for probe in probes.values())
    return {
        path: min(
            probe.step_size * float(np.sqrt(each * probe.weights / probe.damage)), probe.largest
        )
        if probe.damage > 0  # else no step size is known to do damage
        else probe.largest
        for path, probe in probes.items()
    }
