"""Where the numbers of tensors are in a file of PyTorch: a zip with a member for each storage."""

import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact.manifest import MOST_BYTES
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import open_regular
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.cli.refusals import not_storable
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.text import shortened

_LOCAL_HEADER_BYTES = 30


@dataclass(frozen=True, kw_only=True)
class Place:
    """Numbers in a file, with gaps or repetitions.

    Attributes:
        spec: shape and dtype of the tensor.
        first: byte of the file at which its first number is.
        count: numbers from the first to the last, gaps included.
        strides: numbers from one entry of an axis to the next, none negative.
        conjugated: whether it is the conjugate of what is stored.
        negated: whether it is the opposite of what is stored.
    """

    spec: jax.ShapeDtypeStruct
    first: int
    count: int
    strides: tuple[int, ...]
    conjugated: bool = False
    negated: bool = False

    def array(self, raw: np.ndarray) -> np.ndarray:
        """Return the tensor whose bytes, gaps included, these are."""
        dtype = np.dtype(self.spec.dtype)
        steps = [stride * dtype.itemsize for stride in self.strides]
        array = np.ndarray(self.spec.shape, dtype, raw, strides=steps)  # checks that all is in raw
        array = np.conj(array) if self.conjugated else array
        return np.asarray(np.negative(array) if self.negated else array, order="C")


def place_of(path: Path, name: str, tensor: Any, storages: Mapping[int, int]) -> Place:
    """Return where the numbers of a tensor are.

    Args:
        path: of the file.
        name: of the tensor.
        tensor: as PyTorch gives it without numbers.
        storages: as `read_storages` gives them.

    Raises:
        Refused: a dtype that cannot be stored.
        ArtifactError: it lies about its storage.
    """
    spec = tensor_spec(path, name, tensor)
    begin = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    size = storages.get(begin, 0) if isinstance(begin, int) else 0
    strides, offset = tensor.stride(), tensor.storage_offset()
    count = end = 0
    if 0 not in spec.shape:
        count = 1 + sum((n - 1) * s for n, s in zip(spec.shape, strides, strict=True))
        end = (offset + count) * np.dtype(spec.dtype).itemsize
    if min((offset, *strides)) < 0 or end > size:
        raise ArtifactError(
            "numbers must be in the storage that the file has for them",
            file=str(path),
            tensor=name,
            expected=f"<= {size:,} bytes",
            found=f"{end:,} bytes",
        )
    return Place(
        spec=spec,
        first=(begin or 0) + offset * np.dtype(spec.dtype).itemsize,
        count=count,
        strides=strides,
        conjugated=tensor.is_conj(),
        negated=tensor.is_neg(),
    )


def read_storages(path: Path) -> dict[int, int]:
    """Return the bytes of each storage by the byte of the file at which it begins.

    Raises:
        Refused: numbers in the byte order of another machine.
        ArtifactError: the zip is damaged, or not as PyTorch writes it.
    """
    sizes, order = {}, sys.byteorder
    with reading(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) != len(members):
            raise ArtifactError("names of members must be unique")
        for member in members:
            name = member.filename.partition("/")[2]
            is_stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
            if name.startswith(("data", "byteorder")) and not is_stored:
                raise ArtifactError("encrypted or compressed", found=member.filename)
            if name in ("data.pkl", "byteorder") and member.file_size > MOST_BYTES:
                raise ArtifactError("too long", expected=f"<= {MOST_BYTES} bytes", found=name)
            if name == "byteorder":
                order = archive.read(member).decode()
            file.seek(member.header_offset)
            header = file.read(_LOCAL_HEADER_BYTES)
            lengths = [int.from_bytes(header[at : at + 2], "little") for at in (26, 28)]
            sizes[member.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)] = member.file_size
    if order != sys.byteorder:  # PyTorch would swap bytes that it has not read
        raise Refused(
            f"{path}: bytes must be in the order of this machine ({sys.byteorder}), got "
            f"{shortened(order)}; save it again there with safetensors."
        )
    return sizes


def tensor_spec(path: Path, name: str, tensor: Any) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of a tensor of PyTorch.

    Raises:
        Refused: a dtype that cannot be stored.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES or dtype in ("int4", "uint4"):  # these have no layout in PyTorch
        raise not_storable(path, name, dtype)
    return jax.ShapeDtypeStruct(tuple(tensor.shape), np.dtype(dtype))
