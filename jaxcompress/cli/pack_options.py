"""Options of `jaxcompress pack` that do not go together."""

from typing import Any

from jaxcompress.bounds import check_fraction, check_positive
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.quantizers import QUANTIZERS


def check_jobs(jobs: int | None) -> None:
    """Refuse fewer processes than one."""
    if jobs is not None and jobs < 1:
        raise Refused(f"--jobs: must be at least 1, got {jobs}; leave it out for one a core.")


def check_lossless(**others: Any) -> None:
    """Refuse options that change weights."""
    for option, value in others.items():
        if value:
            raise Refused(
                f"--lossless: keeps every number exactly; leave out --{option.replace('_', '-')}."
            )


def check_low_rank(fraction: float | None, name: str, sparsity: float) -> None:
    """Refuse wrong fractions, and options that factors do not allow: sparsity and step sizes."""
    if fraction is None:
        return
    check_fraction("--keep-low-rank", fraction)
    if sparsity:
        raise Refused("--keep-low-rank: a product keeps no zeros; leave out --sparsity.")
    if name not in ("kmeans", "grid"):
        raise Refused(
            f"--keep-low-rank: goes with kmeans and grid, not with {name}; name one of them."
        )


def check_options(name: str, fineness: dict[str, Any], target_size: int | None) -> None:
    """Refuse options of other quantizers, and a missing option."""
    if target_size and name != "entropy":
        raise Refused("--target-size: only the quantizer entropy can aim at one; leave it out.")
    wanted = None if target_size else QUANTIZERS[name].parameter
    for option, value in fineness.items():
        if value is not None and option != wanted:
            takers = [other for other, choice in QUANTIZERS.items() if choice.parameter == option]
            takes = "quantizer {} takes" if len(takers) == 1 else "quantizers {} take"
            flag = option.replace("_", "-")
            raise Refused(
                f"--{flag}: only the {takes.format(' and '.join(takers))} one; leave it out."
            )
    if wanted == "step_size" and fineness["step_size"] is None:
        raise Refused(f"--step-size: the quantizer {name} needs one; pass 0.5, say.")
    if wanted == "step_size":
        check_positive("--step-size", fineness["step_size"], "0.5 is fine, 1 is coarse")
