"""Steps as fine as the outputs of a network need, for files of layout `entropy`.

There a weight takes as many bits as its integer is rare, so that grids need not be short: the only
choice is the step size, and it may be any number.
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
from jaxcompress.quantization._sensitivity import Damage, relative_error, sensitivity
from jaxcompress.quantization.grids import Grid, make_grid
from jaxcompress.quantization.ranges import Range, Samples
from jaxcompress.trees import PyTree, Scope, in_scope, kernels, named_leaves

_GRID = make_grid(8, symmetric=True)
_PROBE = 0.35  # of the root mean square: the step at which damage is measured


class Probe(NamedTuple):
    """What one tensor's rounding did.

    Attributes:
        step_size: it was rounded to multiples of this.
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

    `w = step_size * integer`, from -127 to 127. Where these do not reach the largest weight of a
    tensor, each index of its first axis has one of its own, `max(step_size, max |w| / 127)`: a
    transformer may have one weight that is a hundred times the others.

    Args:
        params: any pytree of concrete arrays; compressed leaves are taken as by `quantize`.
        step_sizes: above 0, by path; tensors that are not named stay as they are.

    Raises:
        ValueError: a path of no tensor, a step size that is not above 0, NaN or infinite weights.
        TypeError: a step size that is no number, called under `jit`.

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
    for path, step in step_sizes.items():
        check_positive(path, step, "pass the distance of neighbouring values")
    return named.rebuild(
        [
            _on_steps(path, leaf, step_sizes[path]) if path in step_sizes else leaf
            for path, leaf in leaves.items()
        ]
    )


def _on_steps(path: str, leaf: Any, step: float) -> Quantized:
    def reach(samples: Samples, grid: Grid) -> Range:
        most = np.maximum(np.abs(samples.values).max(axis=1), step * grid.highest)
        return Range(-most, most)

    within = np.abs(dense(leaf)).max() <= step * _GRID.highest
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
        moments: from `input_moments`, if rounding is to be fitted to them, as it then has to be in
            the end.
        scope: which tensors; those that are all zero are left out.

    Raises:
        ValueError: as `sensitivity`; NaN or infinite weights, none that is not zero in the scope.
        TypeError: as `sensitivity`; leaves in the scope not of floating-point numbers.

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
    steps = {path: _PROBE * float(np.sqrt(np.mean(np.square(w)))) for path, w in tensors.items()}

    def on_steps(params: PyTree, bits: int) -> PyTree:
        del bits  # those of the only grid
        result = round_to_step_sizes(params, steps)
        return result if moments is None else fit_rounding(params, result, moments)

    table = sensitivity(
        apply, params, batches, bits=(_GRID.bits,), damage=damage, quantizer=on_steps
    )
    return {
        path: Probe(steps[path], prices[_GRID.bits].damage, w.size, float(np.abs(w).max()))
        for (path, w), prices in zip(tensors.items(), table.prices.values(), strict=True)
    }


def step_sizes_for_damage(probes: Mapping[str, Probe], *, damage: float) -> dict[str, float]:
    """Return the step sizes of the fewest bits at which the damages sum up to `damage`.

    `step_size = probe.step_size * sqrt(damage * n / (N * probe.damage))` for `n` of all `N`
    weights: damage grows with the square of the step size, and each halving costs a bit a weight,
    so in the optimum every weight does as much damage as any other. None is larger than the largest
    weight. That damages are squares and add up holds roughly; measure what comes out.

    Args:
        probes: from `step_size_sensitivity`.
        damage: of all tensors together.

    Raises:
        ValueError: a damage that is not above 0, no probes.
        TypeError: a damage that is no number.

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
    share = damage / sum(probe.weights for probe in probes.values())
    return {
        path: min(
            probe.step_size * float(np.sqrt(share * probe.weights / probe.damage)), probe.largest
        )
        if probe.damage > 0  # else no step is known to do any
        else probe.largest
        for path, probe in probes.items()
    }
