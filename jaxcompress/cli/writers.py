"""What `unpack` writes, one function for each format."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact import ArtifactFile
from jaxcompress.artifact.memory import limit_of
from jaxcompress.artifact.tensors import Tensor
from jaxcompress.cli import outputs, screen
from jaxcompress.cli.artifacts import Artifact
from jaxcompress.cli.checkpoints import msgpack_bytes
from jaxcompress.cli.formats.compressed_tensors_folder import read_config, write_packed
from jaxcompress.cli.formats.gguf import GgufSource
from jaxcompress.cli.formats.gguf_values import values_of
from jaxcompress.cli.formats.gguf_writer import write_gguf
from jaxcompress.cli.formats.new_folder import new_folder
from jaxcompress.cli.formats.onnx import write_onnx
from jaxcompress.cli.formats.safetensors_folder import write_shards
from jaxcompress.cli.status import Refused


class Unpacking(NamedTuple):
    """What is written, and what the options say of it.

    Attributes:
        model: the compressed file.
        file: it, open.
        artifact: what its manifest says.
        like: a file of the same format with what the weights alone do not say.
        gguf_type: of the weights of a GGUF file.
        shard_bytes: of the largest file of a folder.
        max_size: most bytes of memory; None for the default.
    """

    model: Path
    file: ArtifactFile
    artifact: Artifact
    like: Path | None
    gguf_type: str | None
    shard_bytes: int
    max_size: int | None

    def load(self, name: str) -> np.ndarray:
        """Return a tensor."""
        return np.asarray(self.file[name])


def _safetensors(where: Path, wanted: Unpacking) -> int:
    strings = _strings(wanted.model, wanted.artifact.metadata)
    return outputs.write_safetensors(where, wanted.artifact.tensors, wanted.load, strings)


def _npz(where: Path, wanted: Unpacking) -> int:
    return outputs.write_npz(where, wanted.artifact.tensors, wanted.load)


def _msgpack(where: Path, wanted: Unpacking) -> int:
    _check_whole(wanted.model, wanted.artifact.tensors.values(), limit_of(wanted.max_size))
    return outputs.write_bytes(where, msgpack_bytes(where, wanted.file.load()))


def _onnx(where: Path, wanted: Unpacking) -> int:
    assert wanted.like is not None
    return write_onnx(where, wanted.like, wanted.artifact.tensors, wanted.load)


def _gguf(where: Path, wanted: Unpacking) -> int:
    if wanted.like:
        outputs.check_output(where, wanted.like, named=True)
        values = GgufSource(wanted.like).values
    else:
        values = values_of(wanted.model, wanted.artifact.metadata)
    return write_gguf(where, wanted.artifact.tensors, wanted.load, values, wanted.gguf_type)


def _folder(where: Path, wanted: Unpacking) -> int:
    strings = _strings(wanted.model, wanted.artifact.metadata)
    with new_folder(where) as folder:
        return write_shards(
            folder, wanted.artifact.tensors, wanted.load, strings, wanted.shard_bytes
        )


def _packed(where: Path, wanted: Unpacking) -> int:
    strings = _strings(wanted.model, wanted.artifact.metadata)
    config = read_config(wanted.like) if wanted.like else {}
    with new_folder(where) as folder:
        size = write_packed(folder, wanted.model, wanted.file, config, strings, wanted.shard_bytes)
    if not wanted.like:
        screen.note(
            f"{where}: config.json says how weights are stored and nothing else; --like adds that "
            "to the one of the network."
        )
    return size


FOLDER, PACKED = "", "compressed-tensors"

WRITERS: dict[str, Callable[[Path, Unpacking], int]] = {
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".msgpack": _msgpack,
    ".onnx": _onnx,
    ".gguf": _gguf,
    FOLDER: _folder,
    PACKED: _packed,
}
"""By suffix; folders have none."""


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
