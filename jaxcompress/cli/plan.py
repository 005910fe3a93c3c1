"""`jaxcompress plan`: what becomes of each tensor, so that a file has a wanted size."""

from pathlib import Path
from typing import Any

import click

from jaxcompress.cli import screen
from jaxcompress.cli.pack_report import note_apart, times
from jaxcompress.cli.sizes import Size
from jaxcompress.cli.weights import beside, weights_of
from jaxcompress.oneshot.rules import Rule, check_patterns
from jaxcompress.oneshot.stream import prune
from jaxcompress.planner import Plan, Profile
from jaxcompress.planner.weights import fitted, metadata_of, profile_of, reachable


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--size", type=Size(), required=True, help="Largest file wanted: 400KB, 1.5MiB, 250000."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Plan to write; default: MODEL with the suffix .plan.json.",
)
@click.option(
    "--leave",
    metavar="PATTERN",
    multiple=True,
    help="Leave tensors exactly as they are whose path matches: lm_head, '*norm*'. May be given "
    "several times.",
)
@click.option(
    "--profile",
    "kept",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of what was measured: written, or read if it is there, so that another size is "
    "planned in a second.",
)
@click.option(
    "--select",
    metavar="PATTERN",
    multiple=True,
    help="Take only tensors whose path matches, params say; give it to pack too.",
)
@click.option(
    "--drop",
    metavar="PATTERN",
    multiple=True,
    help="Leave out tensors whose path matches: opt_state, '*ema*'; give it to pack too.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
def plan(
    model: Path,
    size: int,
    output: Path | None,
    leave: tuple[str, ...],
    kept: Path | None,
    select: tuple[str, ...],
    drop: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Choose what becomes of each tensor of MODEL, so that its file has a wanted size.

    MODEL is what pack takes. Real files are made of it, each with other settings, and what each
    tensor takes in them and loses is measured; the settings of least error of the weights within
    the size are the plan. How good the network will be is not predicted: there is no data.

    The plan is a text file. Edit it, and pack it with: jaxcompress pack MODEL --plan PLAN. A line
    "lm_head": "leave" keeps a tensor as it is.
    """
    where = output or beside(model, ".plan.json")
    outputs = {where: output is not None} | ({} if kept is None else {kept: True})
    weights = weights_of(model, outputs, select, drop)
    source = weights.source
    check_patterns(source.paths, [Rule(pattern, None) for pattern in leave])
    settings = dict(weights.selected)
    note_apart(settings, model, prune(source, 0.0))

    def metadata(made: Plan | None) -> dict[str, Any]:
        return {"pack": metadata_of(made) | settings} | weights.metadata

    with screen.progress() as track:
        profile = profile_of(source, kept, metadata=metadata(None), track=track)
        made = fitted(source, profile, size, leave=leave, metadata=metadata)
    made.save(where)
    if as_json:
        screen.as_json(_told(where, made, profile))
    else:
        _show(where, made, profile)


def _show(where: Path, made: Plan, profile: Profile) -> None:
    for text in str(made).splitlines():
        screen.line(text)
    least, most = reachable(profile)
    screen.line(f"reachable: {least:,.0f} to {most:,.0f} bytes")
    before = profile.dense_bytes
    screen.line(
        f"{where}: {made.size_bytes:,.0f} bytes of {before:,}, {times(before, made.size_bytes)}"
    )


def _told(where: Path, made: Plan, profile: Profile) -> dict[str, Any]:
    return {
        "plan": str(where),
        "size_bytes": round(made.size_bytes),
        "dense_bytes": profile.dense_bytes,
        "reachable_bytes": list(map(round, reachable(profile))),
        "damage": made.damage,
        "quality_lost": None if made.drop is None else made.drop.drop,
        "settings": made.settings,
        "kept": profile.kept,
    }
