"""`jaxcompress unpack`: plain weights again."""

from pathlib import Path

import click

from jaxcompress.artifact import open_file
from jaxcompress.cli import outputs, screen
from jaxcompress.cli.artifacts import described
from jaxcompress.cli.formats.gguf_types import WRITTEN
from jaxcompress.cli.formats.new_folder import check_new_folder
from jaxcompress.cli.formats.safetensors_folder import DEFAULT_SHARD_BYTES
from jaxcompress.cli.sizes import MAX_SIZE, Size
from jaxcompress.cli.status import Refused
from jaxcompress.cli.writers import FOLDER, PACKED, WRITERS, Unpacking

_SUFFIXES = ", ".join(suffix for suffix in WRITERS if suffix.startswith("."))

_LIKE = {".onnx": ".onnx", ".gguf": ".gguf", PACKED: ".json"}
"""Suffixes of files for --like by kind of output."""


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write: .safetensors, .npz, .msgpack, .onnx or .gguf; or a new folder of "
    ".safetensors; default: MODEL as .safetensors.",
)
@click.option(
    "--shard-size", type=Size(), help="Largest file of a folder: 5GB, 500MiB.  [default: 5GB]"
)
@click.option(
    "--compressed-tensors",
    "packed",
    is_flag=True,
    help="Keep weights on grids as integers, in a folder that servers load.",
)
@click.option(
    "--like",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For .onnx: the model with the graph. For .gguf: a file with the key-value metadata. For "
    "--compressed-tensors: the config.json of the network.",
)
@click.option(
    "--gguf-type",
    type=click.Choice([*WRITTEN]),
    help="For .gguf: the type of weights of rank 2 and up.  [default: that of their dtype]",
)
@MAX_SIZE
def unpack(
    model: Path,
    output: Path | None,
    shard_size: int | None,
    packed: bool,  # noqa: FBT001
    like: Path | None,
    gguf_type: str | None,
    max_size: int | None,
) -> None:
    """Write the weights of MODEL as an ordinary file of dense tensors.

    Names are the paths in the tree joined with "/"; .msgpack keeps the nesting. An .onnx is a copy
    of the model of --like with these weights. An output without a suffix is a folder of one or more
    .safetensors with their index.
    """
    where = output or model.with_suffix(".safetensors")
    kind = _kind(where, packed=packed, as_folder=packed or shard_size is not None)
    _check_options(where, kind, like, gguf_type)
    if kind in (FOLDER, PACKED):
        check_new_folder(where, model)
    else:
        outputs.check_output(where, model, named=output is not None)
    with open_file(model, max_bytes=max_size) as file:
        artifact = described(model, file.manifest)
        wanted = Unpacking(
            model=model,
            file=file,
            artifact=artifact,
            like=like,
            gguf_type=gguf_type,
            shard_bytes=DEFAULT_SHARD_BYTES if shard_size is None else shard_size,
            max_size=max_size,
        )
        size = WRITERS[kind](where, wanted)
    screen.line(f"{where}: {size:,} bytes, {len(artifact.tensors)} tensors")


def _kind(where: Path, *, packed: bool, as_folder: bool) -> str:
    """Return the key of the writer."""
    if where.suffix and where.suffix in WRITERS:
        if as_folder:
            raise Refused(
                f"{where}: --shard-size and --compressed-tensors are for folders; name one with -o."
            )
        return where.suffix
    if as_folder or not where.suffix or where.is_dir():
        return PACKED if packed else FOLDER
    raise Refused(
        f"{where}: the output must be {_SUFFIXES} or a folder, got {where.suffix!r}; name another "
        "with -o."
    )


def _check_options(where: Path, kind: str, like: Path | None, gguf_type: str | None) -> None:
    """Refuse options of other formats, and an .onnx without its graph."""
    if like and kind not in _LIKE:
        raise Refused(
            "--like: only for .onnx and .gguf, or with --compressed-tensors, got "
            f"{where}; leave it out."
        )
    if like and like.suffix != _LIKE[kind]:
        raise Refused(f"--like: must be a {_LIKE[kind]} for {where}, got {like}; name another.")
    if gguf_type and kind != ".gguf":
        raise Refused(f"--gguf-type: only for .gguf, got {where}; leave it out.")
    if kind == ".onnx" and like is None:
        raise Refused(f"{where}: needs the graph; name the model that was packed with --like.")
