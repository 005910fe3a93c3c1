"""Step sizes between those that were measured."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from jaxcompress.planner._damage import undominated
from jaxcompress.planner._record import Choice, Tensor
from jaxcompress.planner._words import short

_APART = 0.02
"""Choices are so near that files of plans are apart by this part of their bytes."""

_FARTHEST = 2.01  # times a step size; what lies between others was dominated

_LEAST, _LEAST_BYTES = 1e-30, 1.0


def filled(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors with more choices of step sizes, the more the larger their part of a file.

    Where one tensor has most of the weights, the step sizes measured are files far apart: from one
    to the next it is a third of the bytes. Bytes, errors and damages of those between lie on curves
    through the measured ones, monotone cubic in the logarithms of all four.

    Args:
        tensors: of one network.

    Example:
        >>> near = Choice({"step_size": 0.5}, 600.0, 0.15, 0.001)
        >>> far = Choice({"step_size": 1.0}, 400.0, 0.30, 0.004)
        >>> (tensor,) = filled([Tensor("w", (40, 40), [far, near])])
        >>> [f"{c.settings['step_size']}: {c.size_bytes:.0f} bytes" for c in tensor.choices[::7]]
        ['1.0: 400 bytes', '0.7937: 458 bytes', '0.63: 524 bytes', '0.5: 600 bytes']

    Source: Fritsch and Butland 1984, A method for constructing local monotone piecewise cubic
    interpolants.
    """
    whole = sum(_largest(tensor) for tensor in tensors) or 1.0
    return [_filled(tensor, _largest(tensor) / whole) for tensor in tensors]


def _largest(tensor: Tensor) -> float:
    return max(choice.size_bytes for choice in tensor.choices)


def _filled(tensor: Tensor, share: float) -> Tensor:
    families: dict[str, list[Choice]] = {}
    for choice in tensor.choices:
        others = {name: value for name, value in choice.settings.items() if name != "step_size"}
        if "step_size" in choice.settings and choice.error:
            families.setdefault(json.dumps(others, sort_keys=True), []).append(choice)
    more = [choice for family in families.values() for choice in _between(family, share)]
    return tensor._replace(choices=undominated([*tensor.choices, *more])) if more else tensor


def _between(family: Sequence[Choice], share: float) -> Iterator[Choice]:
    """Yield choices between neighbours whose settings differ in the step size alone."""
    known = {choice.settings["step_size"]: choice for choice in family}
    if len(known) < 2:
        return
    steps = sorted(known)
    rows = [[known[s].size_bytes, known[s].error, known[s].damage] for s in steps]
    logarithms = np.log(np.maximum(rows, [_LEAST_BYTES, _LEAST, _LEAST]))
    curves = PchipInterpolator(np.log(steps), logarithms)
    for n, (low, high) in enumerate(itertools.pairwise(steps)):
        ratio = abs(logarithms[n, 0] - logarithms[n + 1, 0])
        count = math.ceil(ratio * share / _APART) if high / low <= _FARTHEST else 1
        places = np.linspace(math.log(low), math.log(high), count, endpoint=False)[1:]
        for place, row in zip(places, np.exp(curves(places)).tolist(), strict=True):
            size, error, damage = row
            settings = known[low].settings | {"step_size": short(math.exp(place))}
            yield Choice(settings, size, error, damage)
