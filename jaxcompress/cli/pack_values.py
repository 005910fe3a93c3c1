"""Values of the options of `pack`, and of its rules: which go together, and in what range."""

from typing import Any

from jaxcompress.bounds import check_clusters, check_positive
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.ways import AXES, NAMED, WAYS

MOST_BITS = 8

Values = dict[str, Any]
"""Values of `bits`, `clusters` and `step_size`, None where an option is missing."""


def usual_way(values: Values, target_size: int | None) -> str:
    """Return the way that values ask for."""
    if target_size is not None:
        return "relative" if values["bits"] is None else "mixed"
    if values["bits"] is not None:
        return "grid"
    return "kmeans" if values["clusters"] is not None else "relative"


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
            flag = option.replace("_", "-") if where == "--" else option
            lead = f"--{flag}" if where == "--" else f"{where}{flag}"
            raise Refused(f"{lead}: only the quantizer{takers} one; leave it out.")
    if values[wanted] is None and WAYS[name].default is None and not aims:
        flag = "--step-size" if where == "--" else f"{where}step_size"
        raise Refused(f"{flag}: the quantizer {name} needs one; pass 0.5, say.")


def checked_value(where: str, name: str, value: Any) -> Any:
    """Return the value of a way, after the check of its range."""
    parameter = WAYS[name].parameter
    lead = f"--{parameter.replace('_', '-')}" if where == "--" else f"{where}{parameter}"
    if parameter == "bits":
        return checked_bits(lead, value)
    if parameter == "clusters":
        check_clusters(value)
        return value
    return check_positive(lead, value, "0.1 is fine, 1 is coarse")


def checked_bits(lead: str, bits: Any) -> int:
    """Return a number of bits, after the check of its range."""
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= MOST_BITS:
        raise Refused(
            f"{lead}: must be 1 to {MOST_BITS} bits of a weight, got {bits}; pass 4, say."
        )
    return bits


def checked_block(lead: str, block: Any) -> int | None:
    """Return the weights of a block, after the check of their number."""
    if block is not None and (not isinstance(block, int) or block < 2):
        raise Refused(f"{lead}: must be at least 2 weights, got {block}; pass 32, 64 or 128.")
    return block


def checked_axis(lead: str, axis: Any) -> str:
    """Return the name of an axis, after the check that there is one."""
    if not isinstance(axis, str) or axis not in AXES:
        raise Refused(f"{lead}: must be one of {', '.join(AXES)}, got {axis}; correct it.")
    return axis
