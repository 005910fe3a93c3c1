"""`jaxcompress unpack`: plain weights again."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from jaxcompress.artifact import ArtifactFile, open_file
from jaxcompress.cli import outputs, screen
from jaxcompress.cli.artifacts import Artifact, Tensor, described
from jaxcompress.cli.checkpoints import msgpack_bytes
from jaxcompress.cli.formats.gguf import GgufSource
from jaxcompress.cli.formats.gguf_types import WRITTEN
from jaxcompress.cli.formats.gguf_values import values_of
from jaxcompress.cli.formats.gguf_writer import write_gguf
from jaxcompress.cli.formats.onnx import write_onnx
from jaxcompress.cli.sizes import MAX_SIZE, limit_of
from jaxcompress.cli.status import Refused


class _Unpacking(NamedTuple):
    """What is written, and what the options say of it."""

    model: Path
    file: ArtifactFile
    artifact: Artifact
    like: Path | None
    gguf_type: str | None
    max_size: int | None

    def load(self, name: str) -> np.ndarray:
        """Return a tensor."""
        return np.asarray(self.file[name])


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write: .safetensors, .npz, .msgpack, .onnx or .gguf; default: MODEL as "
    ".safetensors.",
)
@click.option(
    "--like",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For .onnx: the model with the graph. For .gguf: a file with the key-value metadata.",
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
    like: Path | None,
    gguf_type: str | None,
    max_size: int | None,
) -> None:
    """Write the weights of MODEL as an ordinary file of dense tensors.

    Names are the paths in the tree joined with "/"; .msgpack keeps the nesting. An .onnx is a copy
    of the model of --like with these weights.
    """
    where = output or model.with_suffix(".safetensors")
    if where.suffix not in _WRITERS:
        raise Refused(
            f"{where}: the output must be {_SUFFIXES}, got {where.suffix or 'no suffix'!r}; name "
            "another with -o."
        )
    _check_options(where, like, gguf_type)
    outputs.check_output(where, model, named=output is not None)
    with open_file(model, max_bytes=max_size) as file:
        artifact = described(model, file.manifest)
        wanted = _Unpacking(model, file, artifact, like, gguf_type, max_size)
        size = _WRITERS[where.suffix](where, wanted)
    screen.line(f"{where}: {size:,} bytes, {len(artifact.tensors)} tensors")


def _check_options(where: Path, like: Path | None, gguf_type: str | None) -> None:
    """Refuse options of other formats, and an .onnx without its graph."""
    if like and where.suffix not in (".onnx", ".gguf"):
        raise Refused(f"--like: only for .onnx and .gguf, got {where}; leave it out.")
    if like and like.suffix != where.suffix:
        raise Refused(f"--like: must be a {where.suffix} as the output, got {like}; name another.")
    if gguf_type and where.suffix != ".gguf":
        raise Refused(f"--gguf-type: only for .gguf, got {where}; leave it out.")
    if where.suffix == ".onnx" and like is None:
        raise Refused(f"{where}: needs the graph; name the model that was packed with --like.")


def _safetensors(where: Path, wanted: _Unpacking) -> int:
    strings = _strings(wanted.model, wanted.artifact.metadata)
    return outputs.write_safetensors(where, wanted.artifact.tensors, wanted.load, strings)


def _npz(where: Path, wanted: _Unpacking) -> int:
    return outputs.write_npz(where, wanted.artifact.tensors, wanted.load)


def _msgpack(where: Path, wanted: _Unpacking) -> int:
    _check_whole(wanted.model, wanted.artifact.tensors.values(), limit_of(wanted.max_size))
    return outputs.write_bytes(where, msgpack_bytes(where, wanted.file.load()))


def _onnx(where: Path, wanted: _Unpacking) -> int:
    assert wanted.like is not None
    return write_onnx(where, wanted.like, wanted.artifact.tensors, wanted.load)


def _gguf(where: Path, wanted: _Unpacking) -> int:
    if wanted.like:
        outputs.check_output(where, wanted.like, named=True)
        values = GgufSource(wanted.like).values
    else:
        values = values_of(wanted.model, wanted.artifact.metadata)
    return write_gguf(where, wanted.artifact.tensors, wanted.load, values, wanted.gguf_type)


_WRITERS: dict[str, Callable[[Path, _Unpacking], int]] = {
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".msgpack": _msgpack,
    ".onnx": _onnx,
    ".gguf": _gguf,
}
"""By suffix."""

_SUFFIXES = ", ".join([*_WRITERS][:-1]) + f" or {[*_WRITERS][-1]}"


def _check_whole(model: Path, tensors: Iterable[Tensor], limit: int) -> None:
    """Refuse tensors that are too large together: a msgpack is made in memory."""
    needed = sum(math.prod(t.shape) * np.dtype(t.dtype).itemsize for t in tensors)
    needed *= 4  # leaf, tensor, their objects in msgpack, and the file
    if needed > limit:
        raise Refused(
            f"{model}: .msgpack must be made in memory, got {needed:,} bytes of {limit:,} that "
            "are allowed; raise --max-size, or write .safetensors."
        )


def _strings(model: Path, metadata: dict[str, Any]) -> dict[str, str]:
    """Return the strings of a safetensors file that the metadata keeps."""
    found = metadata.get("safetensors", {})
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return found
    screen.note(f"{model}: metadata: safetensors can carry strings by name only; left out")
    return {}
