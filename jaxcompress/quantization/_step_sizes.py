"""Steps as fine as the outputs of a network need, for files of layout `entropy`.

There a weight takes as many bits as its integer is rare, so that grids need not be short: the only
choice is the step, and it may be any number.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.checks import check_concrete, check_floats, check_known, check_positive
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
        step: it was rounded to multiples of this.
        damage: to the network's outputs.
        weights: how many it has.
        largest: the largest magnitude among them.
    """

    step: float
    damage: float
    weights: int
    largest: float


def round_to_steps(params: PyTree, steps: Mapping[str, float]) -> PyTree:
    """Round tensors to multiples of their steps, as `Quantized` leaves of 8 bits.

    `w = step * integer`, from -127 to 127. Where these do not reach the largest weight of a tensor,
    each index of its first axis has a step of its own, `max(step, max |w| / 127)`: a transformer
    may have one weight that is a hundred times the others.

    Args:
        params: any pytree of concrete arrays; compressed leaves are taken as by `quantize`.
        steps: above 0, by path; tensors that are not named stay as they are.

    Raises:
        ValueError: a path of no tensor, a step that is not above 0, NaN or infinite weights.
        TypeError: a step that is no number, called under `jit`.

    Example:
        >>> leaf = round_to_steps({"w": np.array([[0.26, -0.5], [0.0, 1.4]])}, {"w": 0.25})["w"]
        >>> leaf.values.tolist(), leaf.scale.tolist()
        ([[1, -2], [0, 6]], [[0.25]])
    """
    check_concrete("round_to_steps", params)
    named = named_leaves(params, is_leaf=is_coded)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    known = [path for path, leaf in leaves.items() if 0 not in leaf.shape]
    check_known(steps, known, "steps must be for tensors of the tree", "correct it")
    for path, step in steps.items():
        check_positive(path, step, "pass the distance of neighbouring values")
    return named.rebuild(
        [
            _on_steps(path, leaf, steps[path]) if path in steps else leaf
            for path, leaf in leaves.items()
        ]
    )


def _on_steps(path: str, leaf: Any, step: float) -> Quantized:
    def reach(samples: Samples, grid: Grid) -> Range:
        most = np.maximum(np.abs(samples.values).max(axis=1), step * grid.highest)
        return Range(-most, most)

    within = np.abs(dense(leaf)).max() <= step * _GRID.highest
    return rounded(path, leaf, _GRID, per_tensor if within else per_channel(0), reach)


def step_sensitivity(
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
        >>> probe = step_sensitivity(apply, params, [np.ones((1, 2), np.float32)])["w"]
        >>> round(probe.step, 3), round(probe.damage, 3), probe.weights, probe.largest
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
        result = round_to_steps(params, steps)
        return result if moments is None else fit_rounding(result, params, moments)

    table = sensitivity(
        apply, params, batches, bits=(_GRID.bits,), damage=damage, quantizer=on_steps
    )
    return {
        path: Probe(steps[path], prices[_GRID.bits].damage, w.size, float(np.abs(w).max()))
        for (path, w), prices in zip(tensors.items(), table.prices.values(), strict=True)
    }


def steps_for_damage(probes: Mapping[str, Probe], damage: float) -> dict[str, float]:
    """Return the steps of the fewest bits at which the damages of all tensors sum up to `damage`.

    `step = probe.step * sqrt(damage * n / (N * probe.damage))` for `n` of all `N` weights: damage
    grows with the square of the step, and each halving costs a bit a weight, so in the optimum
    every weight does as much damage as any other. No step is larger than the largest weight. That
    damages are squares and add up holds roughly; measure what comes out.

    Args:
        probes: from `step_sensitivity`.
        damage: of all tensors together.

    Raises:
        ValueError: a damage that is not above 0, no probes.
        TypeError: a damage that is no number.

    Example:
        >>> a, b = Probe(0.5, 0.04, 100, 9.0), Probe(0.5, 0.01, 100, 9.0)
        >>> steps_for_damage({"a": a, "b": b}, 0.02)
        {'a': 0.25, 'b': 0.5}

    Source: bits by the logarithm of what they save, as in transform coding; Huang and Schultheiss
    1963, doi:10.1109/TCOM.1963.1088759.
    """
    check_positive("damage", damage, "pass what all tensors together may do")
    if not probes:
        raise ValueError("probes: must hold a tensor at least, got none; see step_sensitivity.")
    share = damage / sum(probe.weights for probe in probes.values())
    return {
        path: min(probe.step * float(np.sqrt(share * probe.weights / probe.damage)), probe.largest)
        if probe.damage > 0  # else no step is known to do any
        else probe.largest
        for path, probe in probes.items()
    }
