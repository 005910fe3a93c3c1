"""Options of `jaxcompress pack`: what they mean together, and which do not go together."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.bounds import check_clusters, check_fraction, check_positive
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.rules import Rule, Treatments
from jaxcompress.oneshot.ways import AXES, NAMED, WAYS, Treatment
from jaxcompress.trees import some_of

_RECORDED = {"step_size": "step"}
"""Names in files of settings that are named differently now."""

_MOST_BITS, _MOST_DECIBELS = 8, 150
_RULE_KEYS = (
    "match",
    "keep",
    "quantizer",
    "bits",
    "clusters",
    "step_size",
    "block",
    "channel_axis",
)

Values = dict[str, Any]
"""Values of `bits`, `clusters` and `step_size`, None where an option is missing."""


class Wish(NamedTuple):
    """What the options ask for.

    Attributes:
        treatments: of all tensors.
        settings: for the metadata of the file.
    """

    treatments: Treatments
    settings: dict[str, Any]


class Bits(NamedTuple):
    """The option `--bits`.

    Attributes:
        usual: of tensors without a pattern; None if it does not say.
        rules: patterns and their bits, in order.
    """

    usual: int | None
    rules: tuple[tuple[str, int], ...]


def wish(
    *,
    quantizer: str | None,
    bits: str | None,
    clusters: int | None,
    step_size: float | None,
    block: int | None,
    symmetric: bool,
    channel_axis: str,
    keep_low_rank: float | None,
    sparsity: float,
    target_size: int | None,
    exclude: tuple[str, ...],
    rules: Path | None,
) -> Wish:
    """Return what options ask for.

    Raises:
        Refused: options that do not go together, or a file of rules that says something else.
        ValueError: a number out of range.
    """
    told = Bits(None, ()) if bits is None else parsed_bits(bits)
    values = {"bits": told.usual, "clusters": clusters, "step_size": step_size}
    name = quantizer or _usual_way(values, target_size)
    if target_size is not None and (WAYS[name].parameter != "step_size" or step_size is not None):
        raise Refused(
            f"--target-size: chooses the step size of {', '.join(_ways_with('step_size'))} itself, "
            f"got {name}{' and --step-size' * (step_size is not None)}; leave one of them out."
        )
    asked = values | {"bits": None} if name == "mixed" else values
    _check_values("--", name, asked, aims=target_size is not None)
    parameter = WAYS[name].parameter
    value = values[parameter] if values[parameter] is not None else WAYS[name].default
    usual = Treatment(
        way=name,
        value=1.0 if target_size is not None else _checked("--", name, value),
        axis=_axis("--channel-axis", channel_axis),
        block=_block("--block", block),
        keep_low_rank=keep_low_rank,
        most_bits=told.usual or _MOST_BITS,
        symmetric=symmetric,
    )
    if WAYS[name].is_shared:
        for flag, given in (("--block", block), ("--channel-axis", channel_axis != "auto")):
            if given:
                raise Refused(f"{flag}: {name} has one set of values a tensor; leave it out.")
    if symmetric and block is None and rules is None:
        raise Refused("--symmetric: is for blocks, channels have no zero points; leave it out.")
    _check_low_rank(keep_low_rank, "--target-size" if target_size else name, sparsity)
    found = [Rule(pattern, None) for pattern in exclude]
    found += [] if rules is None else rules_of(rules)
    found += [Rule(pattern, {"way": "grid", "value": count}) for pattern, count in told.rules]
    settings: dict[str, Any] = {"sparsity": sparsity, "quantizer": name}
    if target_size is not None:
        settings["target_bytes"] = target_size
        settings |= _some(bits=told.usual)
    else:
        settings[_RECORDED.get(parameter, parameter)] = usual.value
    settings |= _some(block=block, low_rank=keep_low_rank)
    settings |= {"symmetric": True} if symmetric else {}
    settings |= {} if channel_axis == "auto" else {"channel_axis": channel_axis}
    if found:
        settings["rules"] = [[rule.pattern, rule.settings] for rule in found]
    return Wish(Treatments(usual, tuple(found)), settings)


def check_jobs(jobs: int | None) -> None:
    """Refuse fewer processes than one."""
    if jobs is not None and jobs < 1:
        raise Refused(f"--jobs: must be at least 1, got {jobs}; leave it out for one a core.")


def check_patterns(paths: Sequence[str], rules: Iterable[Rule]) -> None:
    """Refuse patterns that no path matches: what they should protect would be changed."""
    for rule in rules:
        if not any(map(rule.matches, paths)):
            raise Refused(
                f"{rule.pattern}: a pattern must match a tensor, got none of {len(paths)} "
                f"({some_of(paths)}); a word alone names a whole part of a path, "
                f"'*{rule.pattern}*' matches anywhere in it."
            )


def check_lossless(**others: Any) -> None:
    """Refuse options that change weights."""
    for option, value in others.items():
        if value:
            raise Refused(
                f"--lossless: keeps every number exactly; leave out --{option.replace('_', '-')}."
            )


def error_limit(max_error: float | None, min_snr: float | None) -> float | None:
    """Return the largest relative error of a tensor that the options allow; None for the default.

    Example:
        >>> error_limit(None, 20.0), error_limit(0.05, None)
        (0.1, 0.05)
    """
    if max_error is not None and min_snr is not None:
        raise Refused("--min-snr: says the same as --max-error in decibels; leave one of them out.")
    if min_snr is not None:
        if not 0 < min_snr <= _MOST_DECIBELS:
            raise Refused(
                f"--min-snr: must be above 0 and at most {_MOST_DECIBELS} dB, got {min_snr}; pass "
                "30, say."
            )
        return 10 ** (-min_snr / 20)
    return None if max_error is None else check_positive("--max-error", max_error, "pass 0.2, say")


def parsed_bits(text: str) -> Bits:
    """Return what `--bits` says: `4`, or patterns of paths as in `*embed*=8,lm_head=8,*=4`.

    Raises:
        Refused: it says something else.

    Example:
        >>> parsed_bits("*embed*=8,*=4")
        Bits(usual=4, rules=(('*embed*', 8),))
    """
    usual, rules = None, []
    for item in text.split(","):
        pattern, equals, number = item.rpartition("=")
        if not re.fullmatch(r"\d+", number) or (equals and not pattern):
            raise Refused(
                f"--bits: must be a number from 1 to {_MOST_BITS}, or patterns with one each as in "
                f"'*embed*=8,*=4', got {item!r}; correct it."
            )
        bits = _bits("--bits", int(number))
        if pattern in ("", "*"):
            usual = bits if usual is None else usual
        else:
            rules.append((pattern, bits))
    return Bits(usual, tuple(rules))


def rules_of(path: Path) -> list[Rule]:
    """Return the rules of a TOML file.

    Raises:
        Refused: it is no TOML, or says something else than rules.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: must be TOML, got {error}; see the page of the command.") from None
    tables = told.pop("rules", [])
    if told or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise Refused(
            f"{path}: must hold tables [[rules]] and nothing else, got {', '.join(told) or 'rules'}"
            "; see the page of the command."
        )
    return [_rule(f"{path}: rule {number}: ", t) for number, t in enumerate(tables, start=1)]


def _rule(where: str, table: dict[str, Any]) -> Rule:
    unknown = [key for key in table if key not in _RULE_KEYS]
    if unknown or not isinstance(table.get("match"), str):
        raise Refused(
            f"{where}must have match, and of {', '.join(_RULE_KEYS[1:])} what it sets, got "
            f"{', '.join(unknown or table)}; correct it."
        )
    keep = table.get("keep", False)
    values = {key: table.get(key) for key in ("bits", "clusters", "step_size")}
    name = table.get("quantizer")
    if not isinstance(keep, bool) or (keep and len(table) > 2) or (name not in (None, *NAMED)):
        raise Refused(
            f"{where}must have keep = true alone, or one of {', '.join(NAMED)} as quantizer, got "
            f"{table}; correct it."
        )
    if keep:
        return Rule(table["match"], None)
    settings: dict[str, Any] = {}
    if name is not None or any(value is not None for value in values.values()):
        name = name or _usual_way(values, None)
        _check_values(where, name, values)
        value = values[WAYS[name].parameter]
        value = WAYS[name].default if value is None else value
        settings = {"way": name, "value": _checked(where, name, value)}
    if "block" in table:
        settings["block"] = _block(f"{where}block", table["block"])
    if "channel_axis" in table:
        settings["axis"] = _axis(f"{where}channel_axis", table["channel_axis"])
    if not settings:
        raise Refused(f"{where}must set something, got match alone; add keep = true, say.")
    return Rule(table["match"], settings)


def _usual_way(values: Values, target_size: int | None) -> str:
    if target_size is not None:
        return "relative" if values["bits"] is None else "mixed"
    if values["bits"] is not None:
        return "grid"
    return "kmeans" if values["clusters"] is not None else "relative"


def _ways_with(parameter: str) -> list[str]:
    return [name for name in NAMED if WAYS[name].parameter == parameter]


def _check_values(where: str, name: str, values: Values, *, aims: bool = False) -> None:
    """Refuse values of other ways, and a missing one."""
    wanted = WAYS[name].parameter
    for option, value in values.items():
        if value is not None and option != wanted:
            *others, last = _ways_with(option)
            takers = f"s {', '.join(others)} and {last} take" if others else f" {last} takes"
            flag = option.replace("_", "-") if where == "--" else option
            lead = f"--{flag}" if where == "--" else f"{where}{flag}"
            raise Refused(f"{lead}: only the quantizer{takers} one; leave it out.")
    if values[wanted] is None and WAYS[name].default is None and not aims:
        flag = "--step-size" if where == "--" else f"{where}step_size"
        raise Refused(f"{flag}: the quantizer {name} needs one; pass 0.5, say.")


def _checked(where: str, name: str, value: Any) -> Any:
    """Return the value of a way, after the check of its range."""
    parameter = WAYS[name].parameter
    lead = f"--{parameter.replace('_', '-')}" if where == "--" else f"{where}{parameter}"
    if parameter == "bits":
        return _bits(lead, value)
    if parameter == "clusters":
        check_clusters(value)
        return value
    return check_positive(lead, value, "0.1 is fine, 1 is coarse")


def _bits(lead: str, bits: Any) -> int:
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= _MOST_BITS:
        raise Refused(
            f"{lead}: must be 1 to {_MOST_BITS} bits of a weight, got {bits}; pass 4, say."
        )
    return bits


def _block(lead: str, block: Any) -> int | None:
    if block is not None and (not isinstance(block, int) or block < 2):
        raise Refused(f"{lead}: must be at least 2 weights, got {block}; pass 32, 64 or 128.")
    return block


def _axis(lead: str, axis: Any) -> str:
    if not isinstance(axis, str) or axis not in AXES:
        raise Refused(f"{lead}: must be one of {', '.join(AXES)}, got {axis}; correct it.")
    return axis


def _check_low_rank(fraction: float | None, name: str, sparsity: float) -> None:
    """Refuse wrong fractions, and options that factors do not allow: sparsity and some ways."""
    if fraction is None:
        return
    check_fraction("--keep-low-rank", fraction)
    if sparsity:
        raise Refused("--keep-low-rank: a product keeps no zeros; leave out --sparsity.")
    if name not in ("relative", "kmeans", "grid"):
        raise Refused(
            f"--keep-low-rank: goes with relative, kmeans and grid, not with {name}; name one of "
            "them."
        )


def _some(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
