"""`jaxcompress pack`: weights in, one small file out."""

import contextlib
import os
import shutil
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import click

from jaxcompress.artifact.atomic import atomic_file, naming
from jaxcompress.artifact.coding import DEFAULT_LAYOUT, LAYOUTS
from jaxcompress.artifact.writer import encoded, pieces
from jaxcompress.bounds import check_fraction, check_positive
from jaxcompress.cli import screen
from jaxcompress.cli.outputs import check_output
from jaxcompress.cli.sizes import Size
from jaxcompress.cli.sources import open_source
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.quantizers import QUANTIZERS, in_factors, weights_left
from jaxcompress.oneshot.sources import Track
from jaxcompress.oneshot.stream import Pruning, Quantizer, by_technique, exactly, prune
from jaxcompress.oneshot.target import aim
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
) -> None:
    """Prune the weights of MODEL, and share or round them, without data and without training.

    MODEL is .safetensors, .npz, .msgpack (Flax), or a folder: of safetensors in one file or in
    shards with their index, or of orbax. It is never changed. Tensors outside of the scope are kept
    exactly, and so are states of optimizers, whatever the scope.
    """
    if lossless:
        _check_lossless(
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
    _check_options(name, {"clusters": clusters, "step_size": step_size, "bits": bits}, target_size)
    _check_low_rank(fraction, name, sparsity)
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
        file = _File(where, pruning, layout, metadata, track)
        if target_size:
            size = file.write_within(target_size)
        elif lossless:
            size = file.write(lambda path, tensor: tensor)
        else:
            weights = weights_left(pruning, track=track)
            quantizer = by_technique(QUANTIZERS[name].technique(fineness[parameter], weights))
            size = file.write(
                quantizer if fraction is None else in_factors(quantizer, keep=fraction)
            )
    if kept:
        screen.note(
            f"{model}: {len(kept)} tensors of {sum(kept):,} bytes are the state of an optimizer "
            "and kept exactly; a checkpoint without them makes a smaller file."
        )
    before = sum(plain_bytes(leaf) for leaf in source.leaves)
    screen.line(f"{where}: {size:,} bytes of {before:,}, {before / size:.1f}x smaller")


class _File:
    """The file to be written; it may be made several times to reach a size."""

    def __init__(
        self,
        where: Path,
        pruning: Pruning,
        layout: str,
        metadata: dict[str, Any],
        track: Track,
    ) -> None:
        self._where, self._pruning, self._layout = where, pruning, layout
        self._metadata, self._track = metadata, track

    def write(self, share: Quantizer) -> int:
        """Write it; returns its size in bytes."""
        with atomic_file(self._where) as file:
            return self._made(share, file)

    def write_within(self, target_bytes: int) -> int:
        """Write the largest file found that is at most `target_bytes`; returns its size."""
        with naming(self._where), contextlib.ExitStack() as stack:
            # Beside the output, where there is room for it; the system removes them in any case.
            folder = Path(os.path.realpath(self._where)).parent
            best, spare = (stack.enter_context(TemporaryFile(dir=folder)) for _ in range(2))
            best_size = 0

            def attempt(share: Quantizer, rate_weight: float) -> int:
                nonlocal best, spare, best_size
                self._metadata["pack"]["rate_weight"] = rate_weight
                spare.seek(0)
                size = self._made(share, spare)
                if best_size < size <= target_bytes:
                    best, spare, best_size = spare, best, size
                return size

            aim(self._pruning, target_bytes, attempt, track=self._track)
            best.seek(0)
            best.truncate(best_size)
            with atomic_file(self._where) as file:
                shutil.copyfileobj(best, file)
        return best_size

    def _made(self, share: Quantizer, file: BinaryIO) -> int:
        """Make it in an open file, part by part; returns its size in bytes."""
        leaves = self._pruning.share(share, track=self._track)
        source = self._pruning.source
        parts = encoded(leaves, source.leaves, self._layout)
        file.writelines(pieces(parts, source.outline, metadata=self._metadata))
        return file.tell()


def default_output(model: Path) -> Path:
    """Return the output for a model: its suffix becomes .npz, or .small.npz if it is .npz.

    That of a folder lies beside it, that of an index beside the shards.
    """
    if model.is_dir():
        stem = model.resolve() if model.name in ("", "..") else model
    else:
        stem = model.with_name(model.name.removesuffix(".index.json")).with_suffix("")
    return stem.with_name(f"{stem.name}{'.small' if model.suffix == '.npz' else ''}.npz")


def _check_lossless(**others: Any) -> None:
    """Refuse options that change weights."""
    for option, value in others.items():
        if value:
            raise Refused(
                f"--lossless: keeps every number exactly; leave out --{option.replace('_', '-')}."
            )


def _check_low_rank(fraction: float | None, name: str, sparsity: float) -> None:
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


def _check_options(name: str, fineness: dict[str, Any], target_size: int | None) -> None:
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
