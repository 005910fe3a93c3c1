"""`jaxcompress pack`: weights in, one small file out."""

from pathlib import Path
from typing import Any

import click

from jaxcompress.cli import screen
from jaxcompress.cli.outputs import check_output
from jaxcompress.cli.sizes import Size
from jaxcompress.cli.sources import open_source
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.files import LAYOUTS, write_leaves
from jaxcompress.oneshot.quantizers import QUANTIZERS, quantizer
from jaxcompress.oneshot.stream import prune
from jaxcompress.trees import kernels, matching


@click.command()
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
    help="Fraction of the weights in the scope to remove, in [0, 1).",
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
    help="How they are chosen: K-Means, multiples of --step, or by the price of their bits.  "
    "[default: kmeans]",
)
@click.option("--step", type=float, help="Fineness of uniform and entropy, in units of weights.")
@click.option(
    "--target-size", type=Size(), help="Largest file wanted: 400KB, 1.5MiB; by the price of bits."
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="How codes are packed.  [default: packed; with --target-size entropy]",
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
    step: float | None,
    target_size: int | None,
    layout: str | None,
    scope: str | None,
) -> None:
    """Prune and share the weights of MODEL, without data and without training.

    MODEL is .safetensors, .npz, .msgpack (Flax) or an orbax folder; it is never changed. Tensors
    outside of the scope are kept exactly.
    """
    _check_options(technique, clusters, step, target_size)
    where = output or default_output(model)
    check_output(where, model, named=output is not None)
    settings = {
        "sparsity": sparsity,
        "quantizer": technique or ("entropy" if target_size else "kmeans"),
        "clusters": 16 if clusters is None else clusters,
        "step": step,
        "target_bytes": target_size,
        "scope": scope,
    }
    unused = {"kmeans": ("step",), "uniform": ("clusters",), "entropy": ("clusters",)}
    settings = {
        name: value
        for name, value in settings.items()
        if value is not None and name not in unused[settings["quantizer"]]
    }
    source = open_source(model)
    metadata: dict[str, Any] = {"pack": settings}
    if strings := getattr(source, "metadata", None):
        metadata["safetensors"] = strings
    if target_size is not None:
        raise Refused("--target-size: not yet.")
    share = quantizer(settings["quantizer"], clusters=settings.get("clusters", 16), step=step)
    with screen.progress() as track:
        chosen = kernels if scope is None else matching(scope)
        pruning = prune(source, sparsity, scope=chosen, track=track)
        leaves = pruning.share(share, track=track)
        size = write_leaves(
            where, leaves, source.outline, layout=layout or "packed", metadata=metadata
        )
    before = sum(leaf.dtype.itemsize * int(leaf.size) for leaf in source.leaves)
    screen.line(f"{where}: {size:,} bytes of {before:,}, {before / size:.1f}x smaller")


def default_output(model: Path) -> Path:
    """Return the output for a model: its suffix becomes .npz, or .small.npz if it is .npz."""
    stem = model if model.is_dir() else model.with_suffix("")
    return stem.with_name(f"{stem.name}{'.small' if model.suffix == '.npz' else ''}.npz")


def _check_options(
    technique: str | None, clusters: int | None, step: float | None, target_size: int | None
) -> None:
    if clusters is not None and (target_size or technique in ("uniform", "entropy")):
        raise Refused("--clusters: only kmeans takes a number of values; leave it out.")
    if step is not None and (target_size or technique in (None, "kmeans")):
        raise Refused("--step: only the quantizers uniform and entropy take one; leave it out.")
    if target_size and technique not in (None, "entropy"):
        raise Refused("--target-size: only the quantizer entropy can aim at one; leave it out.")
