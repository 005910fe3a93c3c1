"""`jaxcompress pack`: weights in, one small file out."""

from pathlib import Path
from typing import Any

import click

from jaxcompress.artifact.coding import DEFAULT_LAYOUT, LAYOUTS
from jaxcompress.cli import screen
from jaxcompress.cli.outputs import check_output
from jaxcompress.cli.pack_options import check_jobs, check_lossless, check_low_rank, check_options
from jaxcompress.cli.packed_file import PackedFile
from jaxcompress.cli.sizes import Size
from jaxcompress.cli.sources import open_source
from jaxcompress.cli.status import Refused
from jaxcompress.cli.workers import Packing
from jaxcompress.oneshot.quantizers import QUANTIZERS, Technique, in_factors, weights_left
from jaxcompress.oneshot.stream import Quantizer, by_technique, exactly, prune, unchanged
from jaxcompress.trees import kernels, matching, plain_bytes

_RENAMED = {"--low-rank": "--keep-low-rank", "--step": "--step-size"}
"""From options of earlier versions to their new names, for this version only."""

_RECORDED = {"step_size": "step"}
"""Names in files of settings that are named differently now."""


class _Pack(click.Command):
    """Names the new option for an old one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if new := _RENAMED.get(error.option_name):
                old = error.option_name
                raise Refused(f"{old}: is called {new} now; pass {new}.") from None
            raise


@click.command(cls=_Pack)
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
    "are read twice more.",
)
@click.option(
    "--clusters",
    type=int,
    help="Values that a tensor may use beside zero, 1 to 1024.  [default: 16]",
)
@click.option(
    "--quantizer",
    "technique",
    type=click.Choice(QUANTIZERS),
    help="How values are chosen: K-Means, multiples of --step-size, by the price of their bits, or "
    "a grid of --bits for each channel.  [default: kmeans; with --bits grid]",
)
@click.option(
    "--step-size",
    type=float,
    help="For uniform and entropy: distance of values, in root mean squares of the weights.",
)
@click.option(
    "--bits", type=int, help="For grid: bits of a weight, 1 to 8; 1 is binary.  [default: 8]"
)
@click.option(
    "--keep-low-rank",
    "fraction",
    type=float,
    help="Fraction of the weights of a tensor to keep, as a product of two, its last axis against "
    "the others, in (0, 1]; with kmeans or grid.",
)
@click.option(
    "--target-size", type=Size(), help="Largest file wanted: 400KB, 1.5MiB; by the price of bits."
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
    "--scope",
    metavar="REGEX",
    help="Compress only tensors whose name matches; of these, floats of rank 2 and up.",
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
    clusters: int | None,
    technique: str | None,
    step_size: float | None,
    bits: int | None,
    fraction: float | None,
    target_size: int | None,
    layout: str,
    lossless: bool,  # noqa: FBT001
    scope: str | None,
    jobs: int | None,
    restart: bool,  # noqa: FBT001
) -> None:
    """Prune the weights of MODEL, and share or round them, without data and without training.

    MODEL is .safetensors, .npz, .msgpack (Flax), or a folder: of safetensors in one file or in
    shards with their index, or of orbax. It is never changed. Tensors outside of the scope are kept
    exactly, and so are states of optimizers, whatever the scope.

    A run that was killed goes on where it was when the same command is given again, except with
    --target-size. What it has finished lies beside the output until then.
    """
    check_jobs(jobs)
    if lossless:
        check_lossless(
            quantizer=technique,
            sparsity=sparsity,
            clusters=clusters,
            step_size=step_size,
            bits=bits,
            keep_low_rank=fraction,
            target_size=target_size,
            scope=scope,
        )
    name = technique or ("entropy" if target_size else "kmeans" if bits is None else "grid")
    check_options(name, {"clusters": clusters, "step_size": step_size, "bits": bits}, target_size)
    check_low_rank(fraction, name, sparsity)
    where = output or default_output(model)
    check_output(where, model, named=output is not None)
    fineness = {
        "clusters": 16 if clusters is None else clusters,
        "step_size": step_size,
        "bits": 8 if bits is None else bits,
        "target_bytes": target_size,
    }
    parameter = "target_bytes" if target_size else QUANTIZERS[name].parameter
    recorded = _RECORDED.get(parameter, parameter)
    settings: dict[str, Any] = {"lossless": True}
    if not lossless:
        settings = {"sparsity": sparsity, "quantizer": name, recorded: fineness[parameter]}
    settings |= {} if fraction is None else {"low_rank": fraction}
    settings |= {} if scope is None else {"scope": scope}
    source = open_source(model)
    for file in getattr(source, "files", ()):
        check_output(where, file, named=True)
    metadata: dict[str, Any] = {"pack": settings}
    if strings := getattr(source, "metadata", None):
        metadata["safetensors"] = strings
    with screen.progress() as track:
        chosen = kernels if scope is None else matching(scope)
        pruning = exactly(source)
        if not lossless:
            pruning = prune(source, sparsity, scope=chosen, track=track)
        states = zip(source.leaves, pruning.states, strict=True)
        kept = [plain_bytes(leaf) for leaf, is_state in states if is_state]
        if kept and not lossless:
            settings["optimizer_states"] = {"tensors": len(kept), "bytes": sum(kept)}
        file = PackedFile(
            where,
            model,
            Packing(pruning, layout),
            metadata,
            jobs=jobs,
            apart=fraction is not None,  # singular vectors depend on the number of threads
            track=track,
        )
        if target_size:
            size = file.write_within(target_size)
        elif lossless:
            size = file.write(unchanged, restart=restart)
        else:
            weights = weights_left(pruning, track=track)
            shared = QUANTIZERS[name].technique(fineness[parameter], weights)
            size = file.write(_quantizer(shared, fraction), restart=restart)
    if kept:
        screen.note(
            f"{model}: {len(kept)} tensors of {sum(kept):,} bytes are the state of an optimizer "
            "and kept exactly; a checkpoint without them makes a smaller file."
        )
    before = sum(plain_bytes(leaf) for leaf in source.leaves)
    screen.line(f"{where}: {size:,} bytes of {before:,}, {before / size:.1f}x smaller")


def _quantizer(technique: Technique, fraction: float | None) -> Quantizer:
    quantizer = by_technique(technique)
    return quantizer if fraction is None else in_factors(quantizer, keep=fraction)


def default_output(model: Path) -> Path:
    """Return the output for a model: its suffix becomes .npz, or .small.npz if it is .npz.

    That of a folder lies beside it, that of an index beside the shards.
    """
    if model.is_dir():
        stem = model.resolve() if model.name in ("", "..") else model
    else:
        stem = model.with_name(model.name.removesuffix(".index.json")).with_suffix("")
    return stem.with_name(f"{stem.name}{'.small' if model.suffix == '.npz' else ''}.npz")
