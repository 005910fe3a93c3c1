"""What `jaxcompress pack` says of a file: how small it is, and how far from the original."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcompress.cli import screen
from jaxcompress.cli.calibration import OutputError
from jaxcompress.cli.fitting import Distance
from jaxcompress.cli.packed_file import Packed
from jaxcompress.oneshot.outcomes import SAME_AS, Outcome, said_of
from jaxcompress.oneshot.sources import Source
from jaxcompress.oneshot.stream import Pruning
from jaxcompress.oneshot.survey import AVERAGE, OUTSIDE, STATE
from jaxcompress.planner import Plan
from jaxcompress.prequantized import quantized_layers
from jaxcompress.trees import plain_bytes, some_of

_APART = {
    STATE: ("optimizer_states", "--drop leaves them out, which makes a smaller file"),
    AVERAGE: ("averages", "--drop leaves one of the two out, which makes a smaller file"),
}


def note_apart(settings: dict[str, Any], model: Path, pruning: Pruning) -> None:
    """Say loudly what lies beside the weights, and record it in the settings."""
    for reason, (name, remedy) in _APART.items():
        if sizes := pruning.sizes_kept(reason):
            settings[name] = {"tensors": len(sizes), "bytes": sum(sizes)}
            screen.note(
                f"{model}: {_counted(sizes)} of {sum(sizes):,} bytes, {reason}: kept exactly; "
                f"{remedy}."
            )
    source = pruning.source
    if layers := quantized_layers(source.paths, source.leaves):
        size = sum(plain_bytes(source.leaves[index]) for part in layers.values() for index in part)
        screen.note(
            f"{model}: {len(layers)} of its layers are quantized already ({some_of([*layers])}): "
            f"their {size:,} bytes of integers and scales are kept exactly and hardly become "
            "smaller; pack the weights from before they were quantized instead."
        )


def show(where: Path, packed: Packed, source: Source) -> None:
    """Show size and errors, and what is kept exactly."""
    before = sum(map(plain_bytes, source.leaves))
    numbers, report = sum(o.numbers for o in packed.report.outcomes), packed.report
    screen.line(
        f"{where}: {packed.size:,} bytes of {before:,}, {times(before, packed.size)}, "
        f"{8 * packed.size / max(numbers, 1):.2f} bits a weight"
    )
    if report.changed:
        for line in report.errors:
            screen.line(line)
    for reason, outcomes in report.kept.items():
        if not reason.startswith(SAME_AS):
            screen.line(f"{said_of(reason)}: {_named(reason, outcomes)}")
    if report.repeated:
        pairs = [f"{outcome.path} ({outcome.kept})" for outcome in report.repeated]
        screen.line(f"stored once: {_numbers(report.repeated)}: {some_of(pairs)}")


def show_planned(plan: Plan, packed: Packed) -> None:
    """Show how far the size is from that of the plan."""
    off = packed.size / max(plan.size_bytes, 1) - 1
    when = " before it was edited" if plan.is_edited else ""
    screen.line(f"predicted{when}: {plan.size_bytes:,.0f} bytes; the file is {off:+.2%} off")


def show_outputs(
    inputs: Path, found: Sequence[OutputError], distance: Distance | None = None
) -> None:
    """Show how far the outputs are from those of the original.

    Args:
        inputs: file of them.
        found: for each output of a model of ONNX.
        distance: for a function, whose levels were chosen by inputs.
    """
    if distance is None:
        screen.line(f"outputs on {inputs}:")
    else:
        whose = "held out of" if distance.is_held_out else "of"
        screen.line(
            f"outputs on {distance.rows} rows {whose} {inputs}: relative error {distance.error:.4f}"
        )
        if not distance.is_held_out:
            screen.line("  levels were chosen by these rows: of others the error is larger")
        if distance.no_curvature:
            screen.line(f"  tables are rounded to the nearest: {distance.no_curvature}")
    for name, error in found:
        screen.line(f"  relative error {error.relative:.4f}, cosine {error.cosine:.6f}  {name}")


def times(before: float, after: float) -> str:
    """Return how many times smaller a file is.

    Example:
        >>> times(800, 100)
        '8.0x smaller'
    """
    if after <= before:
        return f"{before / after:.1f}x smaller"
    return f"{after / before:.1f}x larger: names and shapes take more than the weights"


def _counted(tensors: Sequence[Any]) -> str:
    return f"{len(tensors)} tensor{'s' * (len(tensors) != 1)}"


def _numbers(outcomes: Sequence[Outcome]) -> str:
    return f"{_counted(outcomes)} of {sum(outcome.numbers for outcome in outcomes):,} numbers"


def _named(reason: str, outcomes: Sequence[Outcome]) -> str:
    if reason == OUTSIDE:
        return _numbers(outcomes)
    return f"{_numbers(outcomes)}: {some_of([outcome.path for outcome in outcomes])}"
