"""Options of `jaxcompress pack`: what they mean together, and which do not go together."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from jaxcompress.bounds import check_positive
from jaxcompress.cli.rules_file import rules_of
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.rules import Rule, Treatments
from jaxcompress.oneshot.values import FLAGS, asked, check_factors, check_rules, checked_bits
from jaxcompress.oneshot.ways import WAYS
from jaxcompress.quantization import MOST_BITS

_RECORDED = {"step_size": "step"}
"""Names in files of settings that are named differently now."""

_MOST_DECIBELS = 150


_RENAMED = {"--low-rank": "--keep-low-rank", "--step": "--step-size"}
"""From options of earlier versions to their new names, for this version only."""


class Renamed(click.Command):
    """Names the new option for an old one of `pack`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if new := _RENAMED.get(error.option_name):
                old = error.option_name
                raise Refused(f"{old}: is called {new} now; pass {new}.") from None
            raise


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
    aims = target_size is not None
    usual = asked(
        FLAGS,
        values,
        name=quantizer,
        aims=aims,
        axis=channel_axis,
        block=block,
        symmetric=symmetric,
        keep_low_rank=keep_low_rank,
    )
    if symmetric and block is None and rules is None:
        raise Refused("--symmetric: is for blocks, channels have no zero points; leave it out.")
    found = [Rule(pattern, None) for pattern in exclude]
    found += [] if rules is None else rules_of(rules)
    found += [Rule(pattern, {"way": "grid", "value": count}) for pattern, count in told.rules]
    check_factors(FLAGS, usual, aims=aims, sparsity=sparsity)
    treatments = Treatments(usual, tuple(found))
    check_rules(treatments)
    settings: dict[str, Any] = {"sparsity": sparsity, "quantizer": usual.way}
    parameter = WAYS[usual.way].parameter
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
    return Wish(treatments, settings)


def check_jobs(jobs: int | None) -> None:
    """Refuse fewer processes than one."""
    if jobs is not None and jobs < 1:
        raise Refused(f"--jobs: must be at least 1, got {jobs}; leave it out for one a core.")


def check_alone(what: str, others: Mapping[str, Any]) -> None:
    """Refuse other options of what becomes of weights.

    Args:
        what: the option that says it all, and what it says.
        others: by name.
    """
    for option, value in others.items():
        if value and value != "auto":  # of --channel-axis, its default
            raise Refused(f"{what}; leave out --{option.replace('_', '-')}.")


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
                f"--bits: must be a number from 1 to {MOST_BITS}, or patterns with one each as in "
                f"'*embed*=8,*=4', got {item!r}; correct it."
            )
        bits = checked_bits("--bits", int(number))
        if pattern in ("", "*"):
            usual = bits if usual is None else usual
        else:
            rules.append((pattern, bits))
    return Bits(usual, tuple(rules))


def _some(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
