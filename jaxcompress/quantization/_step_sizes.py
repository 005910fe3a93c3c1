"""Step sizes by the damage to the outputs of a network, for files of layout `entropy`.

In such files the bits of a weight depend on how rare its integer is, not on the length of the grid.
So the only choice is the step size, and it may be any number.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.checks import check_concrete, check_floats, check_known
from jaxcompress.leaves import Quantized, dense
from jaxcompress.leaves.tree import is_coded
from jaxcompress.products.moments import Moments
from jaxcompress.quantization._granularity import per_channel, per_tensor
from jaxcompress.quantization._quantize import rounded
from jaxcompress.quantization._rounding import fit_rounding
from jaxcompress.quantization._sensitivity import sensitivity
from jaxcompress.quantization.damages import Damage, relative_error
from jaxcompress.quantization.grids import Grid, make_grid
from jaxcompress.quantization.ranges import Range, Samples
from jaxcompress.trees import PyTree, Scope, in_scope, kernels, named_leaves

_GRID = make_grid(8, symmetric=True)
_PROBE = 0.35  # of the root mean square: the step size at which damage is measured


class Probe(NamedTuple):
    """The damage of one tensor's rounding at a step size.

    Attributes:
        step_size: the tensor was rounded to its multiples.
        damage: to the network's outputs.
        weights: how many it has.
        largest: the largest magnitude among them.
    """

    step_size: float
    damage: float
    weights: int
    largest: float


def round_to_step_sizes(params: PyTree, step_sizes: Mapping[str, float]) -> PyTree:
    """Round tensors to multiples of their step sizes, as `Quantized` leaves of 8 bits.

    `w = step_size * integer`, from -127 to 127. Where 127 step sizes do not reach the largest
    weight of a tensor, each index of its first axis has a step size of its own,
    `max(step_size, max |w| / 127)`: a transformer may have one weight that is a hundred times the
    others.

    Args:
        params: any pytree of concrete arrays; compressed leaves are taken as by `quantize`.
        step_sizes: above 0, by path; tensors that are not named are not rounded.

    Raises:
        ValueError: a path of no tensor, a step size that is not above 0, NaN or infinite weights.
        TypeError: a step size that is not a number; called under `jit`.

    Example:
        >>> params = {"w": np.array([[0.26, -0.5], [0.0, 1.4]])}
        >>> leaf = round_to_step_sizes(params, {"w": 0.25})["w"]
        >>> leaf.values.tolist(), leaf.scale.tolist()
        ([[1, -2], [0, 6]], [[0.25]])
    """
    check_concrete("round_to_step_sizes", params)
    named = named_leaves(params, is_leaf=is_coded)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    known = [path for path, leaf in leaves.items() if 0 not in leaf.shape]
    check_known(step_sizes, known, "step sizes must be for tensors of the tree", "correct it")
    for path, step_size in step_sizes.items():
        check_positive(path, step_size, "pass the distance of neighbouring values")
    return named.rebuild(
        [
            _rounded(path, leaf, step_sizes[path]) if path in step_sizes else leaf
            for path, leaf in leaves.items()
        ]
    )


def _rounded(path: str, leaf: Any, step_size: float) -> Quantized:
    def reach(samples: Samples, grid: Grid) -> Range:
        most = np.maximum(np.abs(samples.values).max(axis=1), step_size * grid.highest)
        return Range(-most, most)

    within = np.abs(dense(leaf)).max() <= step_size * _GRID.highest
    return rounded(path, leaf, _GRID, per_tensor if within else per_channel(0), reach)


def step_size_sensitivity(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Iterable[PyTree],
    *,
    damage: Damage = relative_error,
    moments: Moments | None = None,
    scope: Scope = kernels,
) -> dict[str, Probe]:
    """Return the damage by each tensor, rounded to multiples of 0.35 of its root mean square.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays; compressed leaves are made dense.
        batches: of training data, each an input or a tuple of inputs.
        damage: as in `sensitivity`.
        moments: from `input_moments`, to measure fitted rounding; use `fit_rounding` in the end as
            well then.
        scope: which tensors; those that are all zero are left out.

    Raises:
        ValueError: as `sensitivity`; NaN or infinite weights; only zeros in the scope.
        TypeError: as `sensitivity`; leaves in the scope that are not floating point.

    Example:
        >>> apply, params = lambda p, x: x @ p["w"], {"w": np.array([[2], [1]], np.float32)}
        >>> probe = step_size_sensitivity(apply, params, [np.ones((1, 2), np.float32)])["w"]
        >>> round(probe.step_size, 3), round(probe.damage, 3), probe.weights, probe.largest
        (0.553, 0.011, 2, 2.0)
    """
    params = dense(params)
    named = named_leaves(params)
    tensors = {
        path: np.asarray(check_floats(path, leaf), np.float64)
        for path, leaf, pick in zip(named.paths, named.leaves, in_scope(named, scope), strict=True)
        if pick and np.any(leaf)
    }
    if not tensors:
        raise ValueError("scope: must have a tensor that is not all zero, got none; widen it.")
    step_sizes = {
        path: _PROBE * float(np.sqrt(np.mean(np.square(w)))) for path, w in tensors.items()
    }

    def quantizer(params: PyTree, bits: int) -> PyTree:
        del bits  # those of the only grid
        result = round_to_step_sizes(params, step_sizes)
        return result if moments is None else fit_rounding(params, result, moments)

    table = sensitivity(
        apply, params, batches, bits=(_GRID.bits,), damage=damage, quantizer=quantizer
    )
    return {
        path: Probe(step_sizes[path], prices[_GRID.bits].damage, w.size, float(np.abs(w).max()))
        for (path, w), prices in zip(tensors.items(), table.prices.values(), strict=True)
    }


def step_sizes_for_damage(probes: Mapping[str, Probe], *, damage: float) -> dict[str, float]:
    """Return the step sizes of the fewest bits at which the damages sum up to `damage`.

    `step_size = probe.step_size * sqrt(damage * n / (N * probe.damage))` for `n` of all `N`
    weights. Damage grows with the square of the step size, and each halving costs one bit for each
    weight. So in the optimum all weights do equal damage. No step size exceeds the largest weight
    of its tensor. That damages are squares and add up is only roughly true: measure the result.

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
