"""Files of weights as sources: headers name the tensors, which are read one by one.

Nothing is mapped into memory: mapped pages would count as used until the file is closed.
"""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from jaxcompress.artifact.codec import inspect
from jaxcompress.artifact.manifest import MOST_BYTES
from jaxcompress.artifact.outline import Outline
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import check_regular, open_regular
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.cli.checkpoints import msgpack_source, orbax_source
from jaxcompress.cli.refusals import check_memory, check_storable, not_storable
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.kinds import native
from jaxcompress.oneshot.sources import Source
from jaxcompress.trees import plain_bytes

SAFETENSORS_DTYPES: dict[str, Any] = {
    **{"BOOL": np.bool_, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64},
    **{"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64},
    **{"F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64},
    **{"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "C64": np.complex64},
}
"""From names of dtypes in safetensors to those of numpy."""


def open_source(path: Path) -> Source:
    """Return the tensors of a file or folder, by its suffix.

    Raises:
        Refused: an unknown suffix, or tensors that cannot be stored.
        ArtifactError: a file that is damaged, or not of the format of its suffix.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        return orbax_source(path)
    check_regular(path)
    if path.suffix == ".safetensors":
        return SafetensorsSource(path)
    if path.suffix == ".npz":
        return NpzSource(path)
    if path.suffix in (".msgpack", ".flax"):
        return msgpack_source(path)
    raise Refused(
        f"{path}: weights must be .safetensors, .npz, .msgpack or an orbax folder, got "
        f"{path.suffix or 'no suffix'!r}; rename or convert the file."
    )


class _FlatSource:
    """Tensors by name, in the order of their names."""

    def __init__(self, path: Path, specs: dict[str, Any]) -> None:
        check_storable(path, specs.items())
        if specs:
            largest = max(specs, key=lambda name: plain_bytes(specs[name]))
            check_memory(path, largest, plain_bytes(specs[largest]))
        self.path = path
        self.paths = sorted(specs)
        self.leaves = [specs[name] for name in self.paths]
        self.outline: Outline = {"dict": [[name, index] for index, name in enumerate(self.paths)]}


class SafetensorsSource(_FlatSource):
    """A file in the format of safetensors.

    Attributes:
        metadata: strings that the file carries beside its tensors.
    """

    def __init__(self, path: Path) -> None:
        """Read the header, and let safetensors check it."""
        with reading(path), open_regular(path) as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            if MOST_BYTES < header_bytes <= path.stat().st_size:
                raise ArtifactError(
                    "the header is too long", expected=f"<= {MOST_BYTES} bytes", found=header_bytes
                )
        try:
            with safe_open(path, framework="np") as file:
                self.metadata = dict(file.metadata() or {})
        except SafetensorError as error:
            raise ArtifactError(
                "not a whole safetensors file", file=str(path), found=str(error)
            ) from None
        with reading(path), open_regular(path) as file:
            file.seek(8)
            header: dict[str, Any] = json.loads(file.read(header_bytes))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if entry["dtype"] not in SAFETENSORS_DTYPES:
                raise not_storable(path, name, entry["dtype"])
        specs = {
            name: jax.ShapeDtypeStruct(tuple(entry["shape"]), SAFETENSORS_DTYPES[entry["dtype"]])
            for name, entry in header.items()
        }
        self._offsets = {
            name: 8 + header_bytes + entry["data_offsets"][0] for name, entry in header.items()
        }
        super().__init__(path, specs)

    def load(self, index: int) -> np.ndarray:
        """Read one tensor."""
        spec, dtype = self.leaves[index], np.dtype(self.leaves[index].dtype)
        count = math.prod(spec.shape)
        raw = np.fromfile(
            self.path, np.uint8, count * dtype.itemsize, offset=self._offsets[self.paths[index]]
        )
        if raw.size != count * dtype.itemsize:
            raise ArtifactError(
                "the file ends too early", file=str(self.path), tensor=self.paths[index]
            )
        return raw.view(dtype).reshape(spec.shape)


class NpzSource(_FlatSource):
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

    def load(self, index: int) -> np.ndarray:
        """Read one array."""
        with reading(self.path), self._archive.open(self._members[self.paths[index]]) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):  # reading to the end also compares the checksum
                raise ArtifactError("bytes after the array", tensor=self.paths[index])
        return native(array)


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
