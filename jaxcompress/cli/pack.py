"""`jaxcompress pack`: weights in, one small file out."""

import math
from pathlib import Path
from typing import Any

import click

from jaxcompress.artifact.coding import DEFAULT_LAYOUT, LAYOUTS
from jaxcompress.cli import screen
from jaxcompress.cli.calibration import output_errors, outputs_of
from jaxcompress.cli.fitting import DAMAGE, fit_asked, write_fitted
from jaxcompress.cli.pack_options import Renamed, check_alone, check_jobs, error_limit, wish
from jaxcompress.cli.pack_report import note_apart, show, show_outputs, show_planned
from jaxcompress.cli.packed_file import PackedFile
from jaxcompress.cli.sizes import Size
from jaxcompress.cli.weights import beside, weights_of
from jaxcompress.cli.workers import Packing
from jaxcompress.oneshot.outcomes import Report
from jaxcompress.oneshot.rules import check_patterns
from jaxcompress.oneshot.stream import exactly, prune
from jaxcompress.oneshot.survey import MOST_ERROR
from jaxcompress.oneshot.ways import AXES, NAMED, STEP_SIZE
from jaxcompress.planner import read_plan
from jaxcompress.planner.weights import metadata_of, planned
from jaxcompress.trees import kernels, matching


@click.command(cls=Renamed)
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write; default: MODEL with the suffix .npz, or .small.npz.",
)
@click.option(
    "--sparsity",
    type=float,
    default=0.0,
    show_default=True,
    help="Fraction of the weights in the scope to remove, in [0, 1); to find them, all weights "
    "are read three times more.",
)
@click.option(
    "--quantizer",
    type=click.Choice(NAMED),
    help="How values are chosen: steps relative to each channel, a grid of --bits for each "
    "channel, K-Means, multiples of a step, or by the price of bits.  [default: relative; with "
    "--bits grid, with --clusters kmeans]",
)
@click.option(
    "--step-size",
    type=float,
    help="Distance of values, in root mean squares of the weights of a channel (relative) or of a "
    f"tensor (uniform, entropy).  [default: {STEP_SIZE}]",
)
@click.option(
    "--bits",
    metavar="BITS",
    help="Bits of a weight, 1 to 8; or by pattern of the path: '*embed*=8,lm_head=8,*=4'.",
)
@click.option("--clusters", type=int, help="Values of a tensor beside zero, 1 to 1024: kmeans.")
@click.option(
    "--block",
    type=int,
    help="Weights of a channel that share a grid: 32, 64 or 128.  [default: all]",
)
@click.option(
    "--symmetric",
    is_flag=True,
    help="Grids of blocks without a zero point too, as many servers want them.",
)
@click.option(
    "--channel-axis",
    type=click.Choice(list(AXES)),
    default="auto",
    show_default=True,
    help="Axis of the outputs, each with a grid of its own: measured on each tensor, or the same "
    "for all.",
)
@click.option(
    "--keep-low-rank",
    type=float,
    help="Fraction of the weights of a tensor to keep, as a product of two, its last axis against "
    "the others, in (0, 1].",
)
@click.option(
    "--target-size",
    type=Size(),
    help="Largest file wanted: 400KB, 1.5MiB; it chooses the step size. With --bits no tensor has "
    "more bits.",
)
@click.option(
    "--max-error",
    type=float,
    help="Largest relative error of a tensor, ||a - b|| / ||a||; a file beyond it is not written.",
)
@click.option("--min-snr", type=float, help="The same in decibels, -20 log10(error).")
@click.option(
    "--calibrate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Inputs as .npz: say how far the outputs of an .onnx model are from the original's, or "
    "choose levels by them (--apply).",
)
@click.option(
    "--apply",
    "function",
    metavar="MODULE:FUNCTION",
    help="Function of the tensors and of the arrays of --calibrate, which is imported and run: "
    "levels are chosen so that its outputs change little. Files are often a third smaller.",
)
@click.option(
    "--damage",
    type=float,
    help="With --apply and without --target-size: squared relative error of the outputs to aim at."
    f"  [default: {DAMAGE}]",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="How codes are packed.",
    default=DEFAULT_LAYOUT,
    show_default=True,
)
@click.option(
    "--lossless",
    is_flag=True,
    help="Keep every number exactly: nothing is removed, shared or rounded.",
)
@click.option(
    "--half",
    is_flag=True,
    help="Store vectors, small tensors and those outside of the scope in 16 bits, where no number "
    "changes by more than 0.4 %.",
)
@click.option(
    "--scope",
    metavar="REGEX",
    help="Compress only tensors whose name matches; of these, floats of rank 2 and up.",
)
@click.option(
    "--select",
    metavar="PATTERN",
    multiple=True,
    help="Take only tensors whose path matches, params say, and leave out all others.",
)
@click.option(
    "--drop",
    metavar="PATTERN",
    multiple=True,
    help="Leave out tensors whose path matches: opt_state, '*ema*'.",
)
@click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Keep tensors exactly whose path matches: lm_head, '*norm*'. May be given several times.",
)
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of rules, [[rules]] with match and settings of the tensors that match.",
)
@click.option(
    "--plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Plan of these weights from jaxcompress plan, which may be edited: what becomes of each "
    "tensor.",
)
@click.option(
    "--jobs",
    type=int,
    help="Processes that pack large models, each with a part of the weights; the bytes of the file "
    "are the same for any number.  [default: one a core]",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Forget what a killed run of the same command has finished, and begin anew.",
)
def pack(
    model: Path,
    output: Path | None,
    sparsity: float,
    target_size: int | None,
    max_error: float | None,
    min_snr: float | None,
    calibrate: Path | None,
    function: str | None,
    damage: float | None,
    layout: str,
    lossless: bool,  # noqa: FBT001
    half: bool,  # noqa: FBT001
    scope: str | None,
    select: tuple[str, ...],
    drop: tuple[str, ...],
    plan: Path | None,
    jobs: int | None,
    restart: bool,  # noqa: FBT001
    **fineness: Any,
) -> None:
    """Compress the weights of MODEL, without training, and without data unless it is given.

    MODEL is .safetensors, .npz, .onnx, .gguf, .msgpack (Flax), .h5 or .keras, .pt or .pth, or a
    folder: of safetensors or PyTorch in one file or in shards with their index, or of orbax. It is
    never changed.

    Weights are rounded, and with --sparsity the smallest removed. Kept exactly are tensors outside
    of the scope, vectors and tables of few rows, states of optimizers and averages of the weights,
    tensors with NaN or infinity, and those that would not become smaller; the last lines say which,
    and how far the others are from the original.

    A run that was killed goes on where it was when the same command is given again, except with
    --target-size and --apply. What it has finished lies beside the output until then.
    """
    check_jobs(jobs)
    limit = error_limit(max_error, min_snr)
    others = {"sparsity": sparsity, "target_size": target_size, "scope": scope, "half": half}
    if lossless:
        alike = {"channel_axis": None, "plan": plan}
        check_alone("--lossless: keeps every number exactly", fineness | others | alike)
    made = None
    fit = fit_asked(
        function,
        calibrate,
        damage=damage,
        size=target_size,
        others=fineness | {"lossless": lossless, "plan": plan, "restart": restart, "jobs": jobs},
    )
    if plan is not None:
        others |= {"layout": None if layout == DEFAULT_LAYOUT else layout}
        check_alone("--plan: says what becomes of each tensor", fineness | others)
        made = read_plan(plan)
    treatments, settings = wish(sparsity=sparsity, target_size=target_size, **fineness)
    settings = {"lossless": True} if lossless else settings
    settings = settings if made is None else metadata_of(made)
    settings |= {} if scope is None else {"scope": scope}
    settings |= {"half": True} if half else {}
    settings |= {} if limit is None else {"max_error": limit}
    settings |= {} if fit is None else {"quantizer": "fitted"}
    expected = outputs_of(model, calibrate) if calibrate and fit is None else {}
    where = output or beside(model, ".small.npz" if model.suffix == ".npz" else ".npz")
    weights = weights_of(model, {where: output is not None}, select, drop)
    source, metadata = weights.source, {"pack": settings | weights.selected} | weights.metadata
    check_patterns(source.paths, () if made else treatments.rules)
    with screen.progress() as track:
        pruning = exactly(source)
        if made is not None:
            pruning, treatments = planned(source, made, str(plan))
        elif not lossless:
            pruning = prune(
                source,
                sparsity,
                scope=kernels if scope is None else matching(scope),
                treatments=treatments,
                max_error=MOST_ERROR if limit is None else limit,
                halves=half,
                track=track,
            )
        if not lossless:
            note_apart(metadata["pack"], model, pruning)

        most = math.inf if fit is not None and limit is None else limit

        def check(report: Report) -> None:
            report.check(str(model), most, option="--max-error")

        if fit is not None:
            packed, distance = write_fitted(
                where, pruning, treatments, fit, layout, metadata, check
            )
        else:
            distance = None
            file = PackedFile(
                where,
                model,
                Packing(pruning, layout),
                metadata,
                jobs=jobs,
                apart=treatments.has_factors,
                track=track,
            )
            packed = (
                file.write_within(target_size, treatments, check)
                if target_size
                else file.write(treatments, check, restart=restart)
            )
    show(where, packed, source)
    if made is not None:
        show_planned(made, packed)
    if calibrate:
        errors = [] if fit is not None else output_errors(model, where, calibrate, expected)
        show_outputs(calibrate, errors, distance)
