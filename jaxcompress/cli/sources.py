"""Files of weights as sources: headers name the tensors, which are read one by one.

Nothing is mapped into memory: mapped pages would count as used until the file is closed.
"""

import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from jaxcompress.artifact.codec import inspect
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import check_regular
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.cli.checkpoints import msgpack_source, orbax_source
from jaxcompress.cli.flat import FlatSource
from jaxcompress.cli.formats.gguf import GgufSource
from jaxcompress.cli.formats.hdf5 import Hdf5Source
from jaxcompress.cli.formats.onnx import onnx_source
from jaxcompress.cli.formats.orbax_folders import is_orbax
from jaxcompress.cli.formats.pytorch import TorchSource, is_torch, read_torch
from jaxcompress.cli.shard_index import ShardFormat, folder_shards, holds, index_shards
from jaxcompress.cli.shards import SafetensorsSource, read_shard
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.kinds import native
from jaxcompress.oneshot.sources import SAMPLE_BYTES, Source


def open_source(path: Path) -> Source:
    """Return the tensors of a file or folder, by its suffix.

    A file of PyTorch may have any suffix that is none of another format.

    Raises:
        Refused: an unknown suffix, a folder of nothing or of several checkpoints, or tensors that
            cannot be stored.
        ArtifactError: a file that is damaged, or not of the format of its suffix.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        return _folder_source(path)
    check_regular(path)
    for form, source in _SHARDS.items():
        if path.name.endswith(form.index_suffix):
            return source(path, index_shards(path, form))
    if path.suffix in _FILES:
        return _FILES[path.suffix](path)
    if is_torch(path):
        return _torch_source(path)
    if tarfile.is_tarfile(path):
        raise Refused(f"{path}: is an archive of tar; unpack it, and name the file of the weights.")
    raise Refused(
        f"{path}: weights must be {', '.join(_FILES)} or a folder, got "
        f"{path.suffix or 'no suffix'!r}; rename or convert the file."
    )


def _folder_source(path: Path) -> Source:
    orbax, safetensors = is_orbax(path), holds(path, _SAFETENSORS)
    if orbax and safetensors:
        raise Refused(
            f"{path}: a folder must hold one checkpoint, got one of orbax and safetensors; name "
            "the file of safetensors, or move one of them."
        )
    if safetensors:
        return SafetensorsSource(path, folder_shards(path, _SAFETENSORS))
    if orbax:
        return orbax_source(path)
    if holds(path, _PYTORCH):
        return TorchSource(path, folder_shards(path, _PYTORCH))
    raise Refused(
        f"{path}: a folder must hold safetensors or pytorch_model.bin, or be an orbax checkpoint, "
        "found none of them; name the file or the folder of the weights."
    )


class NpzSource(FlatSource):
    """Arrays of a numpy archive; one made of objects is never unpickled."""

    def __init__(self, path: Path) -> None:
        """Read the header of each array."""
        _refuse_artifact(path)
        with reading(path):
            self._archive = zipfile.ZipFile(path)
            members = self._archive.infolist()
            if len({member.filename for member in members}) != len(members):
                raise ArtifactError("names of arrays must be unique")
            specs = {
                member.filename.removesuffix(".npy"): _npy_spec(self._archive, member)
                for member in members
            }
        # By full names: numpy would confuse the array `a` with one called `a.npy`.
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        super().__init__(path, specs)

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Let another process open the file itself."""
        return type(self), (self.path,)

    def load(self, index: int) -> np.ndarray:
        """Read one array."""
        with reading(self.path), self._archive.open(self._members[self.paths[index]]) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):  # reading to the end also compares the checksum
                raise ArtifactError("bytes after the array", tensor=self.paths[index])
        return native(array)

    def sample(self, index: int) -> bytes:
        """Read the first bytes of one array, its header among them."""
        with reading(self.path), self._archive.open(self._members[self.paths[index]]) as file:
            return file.read(SAMPLE_BYTES)


def _npy_spec(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> jax.ShapeDtypeStruct | np.dtype:
    member = info.filename
    if not member.endswith(".npy"):
        raise ArtifactError("not an array", tensor=member)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArtifactError("not as numpy writes arrays: encrypted or otherwise compressed")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ArtifactError("an unknown version of npy", tensor=member, found=version)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    dtype = dtype.newbyteorder("=")
    # JAX knows fewer dtypes than numpy; a later check refuses the others by name.
    return jax.ShapeDtypeStruct(shape, dtype) if dtype.name in DTYPES else dtype


def _refuse_artifact(path: Path) -> None:
    try:
        inspect(path)
    except ArtifactError:
        return
    raise Refused(f"{path}: compressed already; make plain weights of it with jaxcompress unpack.")


_SAFETENSORS = ShardFormat("model.safetensors", ".safetensors", read_shard)
_PYTORCH = ShardFormat("pytorch_model.bin", ".bin", read_torch, in_crowds=True)

_SHARDS: dict[ShardFormat[Any], Callable[[Path, Sequence[Any]], Source]] = {
    _SAFETENSORS: SafetensorsSource,
    _PYTORCH: TorchSource,
}
"""Formats of which a checkpoint may be in several files, and what is made of these."""


def _torch_source(path: Path) -> Source:
    return TorchSource(path, [read_torch(path)])


_FILES: dict[str, Callable[[Path], Source]] = {
    ".safetensors": lambda path: SafetensorsSource(path, [read_shard(path)]),
    ".npz": NpzSource,
    **dict.fromkeys((".msgpack", ".flax"), msgpack_source),
    ".onnx": onnx_source,
    ".gguf": GgufSource,
    **dict.fromkeys((".h5", ".hdf5", ".keras"), Hdf5Source),
    **dict.fromkeys((".pt", ".pth", ".bin"), _torch_source),
}
"""By suffix."""
