"""Students: smaller networks of the same family."""

import dataclasses
import math
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import jax
from flax import nnx

from nets.families import FAMILIES

TOLERANCE = 0.05
"""The largest gap of parameters below the target, as a fraction."""

_CLOSE = 0.01
"""The search ends at this gap below the target, as a fraction."""

_MOST_RAISED = 8
"""Most raises of single widths: more of them would change the proportions of a network."""

_RAISE = 16
"""A width is raised by one unit, or by 1 / 16 of it."""

_DEPTH_POWER = 1 / 3
"""Parameters grow with depth times squared width: both shrink by the same factor."""


def parameters_in(params: Any) -> int:
    """Return the number of parameters of a tree of arrays, or of their shapes.

    Example:
        >>> parameters_in({"kernel": jax.numpy.ones((2, 3)), "bias": jax.numpy.ones(3)})
        9
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


_COUNTS: dict[str, int] = {}  # a student is looked for by dozens of counts


def parameter_count(config: Any) -> int:
    """Return the number of parameters of the network of a configuration; nothing is computed.

    Example:
        >>> from nets.lenet import LeNet300Config
        >>> parameter_count(LeNet300Config())
        266610
    """
    name = repr(config)  # sizes in a dict have no hash
    if name not in _COUNTS:
        module = FAMILIES[type(config)].module
        made = nnx.eval_shape(lambda key: module(config, rngs=nnx.Rngs(key)), jax.random.key(0))
        _COUNTS[name] = parameters_in(nnx.state(made, nnx.Param))
    return _COUNTS[name]


def student_for(config: Any, target_params: int) -> Any:
    """Return a smaller configuration with at most a number of parameters, and at most 5 % fewer.

    Blocks and heads are rounded to integers, the depth to `depth * (target / parameters)^(1/3)`.
    Then all widths are scaled by one factor, to whole units and to multiples of the heads, and
    single widths are raised to use the rest. No size becomes larger than in `config`.

    Args:
        config: of a network in `FAMILIES`.
        target_params: the budget.

    Raises:
        ValueError: more parameters than the network has, or fewer than its smallest student has; or
            no configuration of about the same proportions lies within 5 %, since a change of one
            size changes the parameters too much: the error names the nearest.
        TypeError: the target is not an integer.

    Example:
        >>> from nets.lenet import LeNet300Config
        >>> student_for(LeNet300Config(), 26661)
        LeNet300Config(classes=10, widths=(33, 11))
    """
    if isinstance(target_params, bool) or not isinstance(target_params, Integral):
        raise TypeError(f"target_params: must be a whole number, got {target_params!r}.")
    full = parameter_count(config)
    if target_params > full:
        raise ValueError(
            f"target_params: must be at most the {full:,} of the network, got {target_params:,}."
        )
    smallest = parameter_count(_scaled(_coarse(config, 0.0), config, 0.0))
    if target_params < smallest:
        raise ValueError(
            f"target_params: must be at least {smallest:,}, of the smallest network of this kind, "
            f"got {target_params:,}."
        )
    coarse = _coarse(config, target_params / full)
    found, count = _filled(*_searched(coarse, config, target_params), config, target_params)
    if not (1 - TOLERANCE) * target_params <= count <= target_params:
        raise ValueError(
            f"target_params: found no network of about these proportions within {TOLERANCE:.0%} "
            f"of {target_params:,}; the nearest has {count:,}."
        )
    return found


def _coarse(config: Any, fraction: float) -> Any:
    """Return a configuration with fewer blocks and heads, for a fraction of the parameters."""
    family = FAMILIES[type(config)]
    depth = fraction**_DEPTH_POWER
    width = math.sqrt(fraction / depth) if family.depths and fraction else math.sqrt(fraction)
    factors = {name: depth for name in family.depths} | {name: width for name in family.heads}
    changes = {name: max(round(getattr(config, name) * f), 1) for name, f in factors.items()}
    return dataclasses.replace(config, **changes)


def _scaled(coarse: Any, config: Any, factor: float) -> Any:
    """Return `coarse` with all widths of `config` times `factor`."""
    family, changes = FAMILIES[type(config)], {}
    for name in family.widths:
        multiple, most = _multiple(coarse, name), getattr(config, name)
        units = tuple(
            min(max(round(width * factor / multiple), 1) * multiple, width // multiple * multiple)
            for width in _as_tuple(most)
        )
        changes[name] = units if isinstance(most, tuple) else units[0]
    return dataclasses.replace(coarse, **changes)


def _searched(coarse: Any, config: Any, target: int) -> tuple[Any, int]:
    """Return the widest evenly scaled configuration within the target, and its count."""
    low, high = 0.0, 1.0
    found, over = (_scaled(coarse, config, factor) for factor in (low, high))
    count, above = parameter_count(found), parameter_count(over)
    if above <= target:
        return over, above
    for attempt in range(30):
        if count >= (1 - _CLOSE) * target:
            break
        # Counts grow about as the square: such a guess comes close soon, from one side; the
        # middle moves the other side.
        roots = [math.sqrt(number) for number in (count, target, above)]
        fraction = 0.5 if attempt % 2 else (roots[1] - roots[0]) / (roots[2] - roots[0])
        factor = low + (high - low) * fraction
        tried = _scaled(coarse, config, factor)
        known = count if tried == found else above if tried == over else parameter_count(tried)
        if known <= target:
            low, found, count = factor, tried, known
        else:
            high, over, above = factor, tried, known
    return found, count


def _filled(found: Any, count: int, config: Any, target: int) -> tuple[Any, int]:
    """Return a configuration with a few single widths raised, to within 5 % of the target."""
    for _ in range(_MOST_RAISED):
        if count >= (1 - TOLERANCE) * target:
            break
        wider = [(parameter_count(one), one) for one in _one_wider(found, config)]
        fitting = [pair for pair in wider if count < pair[0] <= target]
        if not fitting:
            break
        count, found = max(fitting, key=lambda pair: pair[0])
    return found, count


def _one_wider(found: Any, config: Any) -> Iterator[Any]:
    """Yield configurations with one width a little wider, none wider than in `config`."""
    family = FAMILIES[type(config)]
    for name in family.widths:
        multiple = _multiple(found, name)
        now, most = (_as_tuple(getattr(c, name)) for c in (found, config))
        for place, width in enumerate(now):
            for raised in {width + multiple, width + width // _RAISE // multiple * multiple} - {
                width
            }:
                if raised > most[place]:
                    continue
                more = (*now[:place], raised, *now[place + 1 :])
                value = more if isinstance(getattr(found, name), tuple) else more[0]
                yield dataclasses.replace(found, **{name: value})


def _multiple(config: Any, width: str) -> int:
    """Return the number of which a width must be a multiple."""
    multiples = FAMILIES[type(config)].multiples
    return getattr(config, multiples[width]) if width in multiples else 1


def _as_tuple(width: int | tuple[int, ...]) -> tuple[int, ...]:
    return width if isinstance(width, tuple) else (width,)
