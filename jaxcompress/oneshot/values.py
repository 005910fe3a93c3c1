"""Values that a user asks for: which go together, and in what range."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxcompress.artifact.coding import check_layout
from jaxcompress.bounds import (
    check_clusters,
    check_fraction,
    check_positive,
    check_sparsity,
    is_integer,
)
from jaxcompress.oneshot.rules import Rule, Treatments
from jaxcompress.oneshot.ways import AXES, NAMED, WAYS, Treatment
from jaxcompress.quantization import MOST_BITS

Values = dict[str, Any]
"""Values of `bits`, `clusters` and `step_size`, None where none is given."""

_VALUES = ("bits", "clusters", "step_size")

FLAGS = "--"
"""Where values come from if options of a command gave them; else a prefix of their names."""


def usual_way(values: Values, *, aims: bool) -> str:
    """Return the way that values ask for, with a wanted size (`aims`) or without."""
    if aims:
        return "relative" if values["bits"] is None else "mixed"
    if values["bits"] is not None:
        return "grid"
    return "kmeans" if values["clusters"] is not None else "relative"


def asked(
    where: str,
    values: Values,
    *,
    name: str | None = None,
    aims: bool = False,
    axis: str = "auto",
    block: int | None = None,
    symmetric: bool = False,
    keep_low_rank: float | None = None,
) -> Treatment:
    """Return the treatment that values ask for.

    Args:
        where: they come from, `FLAGS` or a prefix.
        values: of `bits`, `clusters` and `step_size`.
        name: of the way, if it is asked for.
        aims: whether a wanted size chooses the step size.
        axis: a key of `AXES`.
        block: weights that share a grid.
        symmetric: whether grids of blocks have no zero point.
        keep_low_rank: fraction of the parameters that factors have.

    Raises:
        ValueError: values that do not go together, or out of range.
    """
    name = name or usual_way(values, aims=aims)
    way = WAYS[name]
    if aims and (way.parameter != "step_size" or values["step_size"] is not None):
        size = "--target-size" if where == FLAGS else "target_bytes"
        found = name if way.parameter != "step_size" else f"{_named(where, 'step_size')} too"
        raise ValueError(
            f"{size}: chooses the step size of {', '.join(ways_with('step_size'))} itself, got "
            f"{found}; leave one of them out."
        )
    check_values(where, name, values | {"bits": None} if name == "mixed" else values, aims=aims)
    _check_channels(where, name, block=bool(block), channel_axis=axis != "auto")
    bits = values["bits"]
    return Treatment(
        way=name,
        value=1.0 if aims else _checked_value(where, name, values[way.parameter]),
        axis=checked_axis(_named(where, "channel_axis"), axis),
        block=checked_block(_named(where, "block"), block),
        keep_low_rank=keep_low_rank,
        most_bits=MOST_BITS if bits is None else checked_bits(_named(where, "bits"), bits),
        symmetric=symmetric,
    )


def asked_rule(where: str, pattern: str, settings: Mapping[str, Any]) -> Rule:
    """Return the rule of a pattern.

    Args:
        where: it comes from, a prefix of the names of settings.
        pattern: of paths.
        settings: names and values: `{"bits": 8, "block": 64}`, `{"keep": True}`.

    Raises:
        ValueError: another name, or values that do not go together, or out of range.

    Example:
        >>> asked_rule("rules: ", "*embed*", {"bits": 8, "sparsity": 0.5}).settings
        {'way': 'grid', 'value': 8, 'sparsity': 0.5}
    """
    told, keys = dict(settings), ("keep", "quantizer", *_VALUES, *_SETTINGS)
    if unknown := [key for key in told if key not in keys]:
        raise ValueError(
            f"{where}must set of {', '.join(keys)} what is wanted, got "
            f"{', '.join(map(str, unknown))}; correct it."
        )
    keep, name = told.pop("keep", False), told.pop("quantizer", None)
    if not isinstance(keep, bool) or (keep and len(settings) > 1) or name not in (None, *NAMED):
        raise ValueError(
            f"{where}must have keep = true alone, or one of {', '.join(NAMED)} as quantizer, got "
            f"{dict(settings)}; correct it."
        )
    if keep:
        return Rule(pattern, None)
    values = {key: told.pop(key, None) for key in _VALUES}
    found: dict[str, Any] = {}
    if name is not None or any(value is not None for value in values.values()):
        name = name or usual_way(values, aims=False)
        check_values(where, name, values)
        found = {"way": name, "value": _checked_value(where, name, values[WAYS[name].parameter])}
    for key, value in told.items():
        field, check = _SETTINGS[key]
        found[field] = check(f"{where}{key}", value)
    if not found:
        raise ValueError(f"{where}must set something, got nothing; add keep = true, say.")
    return Rule(pattern, found)


def check_rules(treatments: Treatments) -> None:
    """Refuse settings of rules that do not go with the way of their tensors."""
    for rule in treatments.rules:
        if rule.settings is None:
            continue
        merged = dataclasses.replace(treatments.usual, **rule.settings)
        where = f"{rule.pattern}: "
        given = {"block": "block" in rule.settings, "channel_axis": "axis" in rule.settings}
        _check_channels(where, merged.way, **given)
        check_factors(where, merged, aims=False, sparsity=rule.sparsity)


def _check_channels(where: str, name: str, **given: bool) -> None:
    """Refuse options of channels that are given to a way without channels."""
    for option, is_given in given.items():
        if is_given and WAYS[name].is_shared:
            raise ValueError(
                f"{_named(where, option)}: {name} has one set of values a tensor; leave it out."
            )


def ways_with(parameter: str) -> list[str]:
    """Return the ways of a parameter."""
    return [name for name in NAMED if WAYS[name].parameter == parameter]


def check_values(where: str, name: str, values: Values, *, aims: bool = False) -> None:
    """Refuse values of other ways, and a missing one."""
    wanted = WAYS[name].parameter
    for option, value in values.items():
        if value is not None and option != wanted:
            *others, last = ways_with(option)
            takers = f"s {', '.join(others)} and {last} take" if others else f" {last} takes"
            raise ValueError(
                f"{_named(where, option)}: only the quantizer{takers} one; leave it out."
            )
    if values[wanted] is None and WAYS[name].default is None and not aims:
        raise ValueError(
            f"{_named(where, 'step_size')}: the quantizer {name} needs one; pass 0.5, say."
        )


def check_factors(where: str, treatment: Treatment, *, aims: bool, sparsity: float | None) -> None:
    """Refuse wrong fractions of factors, and what factors do not allow: sparsity and some ways."""
    if treatment.keep_low_rank is None:
        return
    lead = _named(where, "keep_low_rank")
    check_fraction(lead, treatment.keep_low_rank)
    if sparsity:
        raise ValueError(
            f"{lead}: a product keeps no zeros; leave out {_named(where, 'sparsity')}."
        )
    if aims or treatment.way not in ("relative", "kmeans", "grid"):
        name = "a wanted size" if aims else treatment.way
        raise ValueError(
            f"{lead}: goes with relative, kmeans and grid, not with {name}; name one of them."
        )


def checked_bits(lead: str, bits: Any) -> int:
    """Return a number of bits, after the check of its range."""
    if not is_integer(bits) or not 1 <= bits <= MOST_BITS:
        raise ValueError(
            f"{lead}: must be 1 to {MOST_BITS} bits of a weight, got {bits}; pass 4, say."
        )
    return int(bits)


def checked_block(lead: str, block: Any) -> int | None:
    """Return the weights of a block, after the check of their number."""
    if block is None:
        return None
    if not is_integer(block) or block < 2:
        raise ValueError(f"{lead}: must be at least 2 weights, got {block}; pass 32, 64 or 128.")
    return int(block)


def checked_axis(lead: str, axis: Any) -> str:
    """Return the name of an axis, after the check that there is one."""
    if not isinstance(axis, str) or axis not in AXES:
        raise ValueError(f"{lead}: must be one of {', '.join(AXES)}, got {axis}; correct it.")
    return axis


def _checked_sparsity(lead: str, sparsity: Any) -> float:
    return check_sparsity(lead.removesuffix(": sparsity"), sparsity)


def _checked_layout(lead: str, layout: Any) -> str:
    check_layout(layout, lead)
    return layout


def _checked_value(where: str, name: str, value: Any) -> Any:
    """Return the value of a way, or its default, after the check of its range."""
    parameter = WAYS[name].parameter
    lead = _named(where, parameter)
    if value is None:
        return WAYS[name].default
    if parameter == "bits":
        return checked_bits(lead, value)
    if parameter == "clusters":
        check_clusters(value, name=f"{lead}:" if where == FLAGS else f"{lead}: k")
        return value
    return check_positive(lead, value, "0.1 is fine, 1 is coarse")


def _named(where: str, option: str) -> str:
    return f"--{option.replace('_', '-')}" if where == FLAGS else f"{where}{option}"


_SETTINGS: dict[str, Any] = {
    "sparsity": ("sparsity", _checked_sparsity),
    "block": ("block", checked_block),
    "channel_axis": ("axis", checked_axis),
    "layout": ("layout", _checked_layout),
    "keep_low_rank": ("keep_low_rank", check_fraction),
}
"""Of a setting beside the way: the field of `Treatment`, and the check of its value."""
