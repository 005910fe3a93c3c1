"""Files of weights as sources: what they hold is known from headers, tensors are read one by one.

Nothing is mapped into memory: mapped pages would count as used until the file is closed.
"""

import json
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from jaxcompress.artifact.errors import ArtifactError, reading
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.cli.status import Refused
from jaxcompress.codec import inspect
from jaxcompress.kinds import native
from jaxcompress.oneshot.sources import Source
from jaxcompress.outline import Outline

SAFETENSORS_DTYPES: dict[str, Any] = {
    **{"BOOL": np.bool_, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64},
    **{"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64},
    **{"F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64},
    **{"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "C64": np.complex64},
}
"""Names of dtypes in safetensors, and what they are in numpy."""


def open_source(path: Path) -> Source:
    """Return the tensors of a file or folder, by its suffix.

    Raises:
        Refused: an unknown suffix, or tensors that cannot be stored.
        ArtifactError: a file that is damaged, or not what its suffix says.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        from jaxcompress.cli.checkpoints import orbax_source

        return orbax_source(path)
    if path.suffix == ".safetensors":
        return SafetensorsSource(path)
    if path.suffix == ".npz":
        return NpzSource(path)
    if path.suffix in (".msgpack", ".flax"):
        from jaxcompress.cli.checkpoints import msgpack_source

        return msgpack_source(path)
    raise Refused(
        f"{path}: weights must be .safetensors, .npz, .msgpack or an orbax folder, got "
        f"{path.suffix or 'no suffix'!r}; rename or convert the file."
    )


class _FlatSource:
    """Tensors by name, in the order of their names."""

    def __init__(self, path: Path, specs: dict[str, Any]) -> None:
        check_storable(path, specs.items())
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
        try:
            with safe_open(path, framework="np") as file:
                self.metadata = dict(file.metadata() or {})
        except SafetensorError as error:
            raise ArtifactError(
                "not a whole safetensors file", file=str(path), found=str(error)
            ) from None
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(header_bytes))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if entry["dtype"] not in SAFETENSORS_DTYPES:
                raise _not_storable(path, name, entry["dtype"])
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
        with reading(path), zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if len(set(members)) != len(members):
                raise ArtifactError("names of arrays must be unique")
            specs = {member.removesuffix(".npy"): _npy_spec(archive, member) for member in members}
        super().__init__(path, specs)

    def load(self, index: int) -> np.ndarray:
        """Read one array."""
        name = self.paths[index]
        with reading(self.path), np.load(self.path, allow_pickle=False) as archive:
            return native(archive[name])


def _npy_spec(archive: zipfile.ZipFile, member: str) -> jax.ShapeDtypeStruct | np.dtype:
    if not member.endswith(".npy"):
        raise ArtifactError("not an array", tensor=member)
    with archive.open(member) as file:
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
    # JAX knows fewer dtypes than numpy; the others are refused by name afterwards.
    return jax.ShapeDtypeStruct(shape, dtype) if dtype.name in DTYPES else dtype


def _refuse_artifact(path: Path) -> None:
    try:
        inspect(path)
    except ArtifactError:
        return
    raise Refused(f"{path}: compressed already; make plain weights of it with jaxcompress unpack.")


def check_storable(path: Path, leaves: Iterable[tuple[str, Any]]) -> None:
    """Refuse tensors of a dtype that the format does not know.

    Raises:
        Refused: naming file and tensor.
    """
    for name, leaf in leaves:
        dtype = np.dtype(getattr(leaf, "dtype", leaf))
        if dtype.name not in DTYPES:
            raise _not_storable(path, name, dtype.name)


def _not_storable(path: Path, name: str, dtype: str) -> Refused:
    return Refused(
        f"{path}: {name}: dtype must be one of {', '.join(DTYPES)}, got {dtype}; convert it first."
    )
