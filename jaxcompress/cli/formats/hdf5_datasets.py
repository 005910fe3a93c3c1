"""The datasets that are in an HDF5 file itself, and hold numbers.

HDF5 may point into other files: by links, virtual and external datasets, and filters of plugins.
All are refused by name.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from jaxcompress.artifact.streams import DTYPES
from jaxcompress.cli.refusals import not_storable
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.text import shortened
from jaxcompress.trees import plain_bytes

_MOST_DEPTH, _MOST_OBJECTS = 64, 1_000_000

_OWN_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
"""Numbers of the filters that come with h5py; others are loaded from plugins."""


@contextlib.contextmanager
def reading_hdf5(path: Path) -> Iterator[None]:
    """Turn errors of HDF5 into one kind of error that names the file.

    Raises:
        ArtifactError: naming the file.
    """
    try:
        yield
    except Refused:
        raise
    except ArtifactError as error:
        raise error.at(file=str(path)) from None
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # h5py raises many kinds of errors on damaged bytes
        raise ArtifactError("not a whole HDF5 file", file=str(path), found=str(error)) from None


def datasets(path: Path, file: Any, h5py: Any) -> Iterator[tuple[str, Any]]:
    """Yield all datasets of a file with their paths.

    Raises:
        Refused: a link.
        ArtifactError: groups that hold themselves, or too many of them.
    """
    waiting, seen, count = [("", file)], set(), 0
    while waiting:
        place, group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen or place.count("/") > _MOST_DEPTH:
            raise ArtifactError("a group must be in one other, and not too deep", tensor=place)
        seen.add(address)
        for key in group:
            name = f"{place}/{key}".lstrip("/")
            count += 1
            if count > _MOST_OBJECTS:
                raise ArtifactError("too many objects", expected=f"<= {_MOST_OBJECTS}")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise Refused(
                    f"{path}: {shortened(name)}: must be in the file itself, got a link; copy "
                    "what it points to into the file."
                )
            kind = group.get(key, getclass=True)
            if kind is h5py.Dataset:
                yield name, group[key]
            elif kind is h5py.Group:
                waiting.append((name, group[key]))


def dataset_spec(path: Path, name: str, dataset: Any) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of a dataset, and refuse one that is not in the file itself.

    Raises:
        Refused: numbers of other files, filters of plugins, or a dtype that cannot be stored.
        ArtifactError: numbers are missing.
    """
    created = dataset.id.get_create_plist()
    filters = {created.get_filter(at)[0] for at in range(created.get_nfilters())}
    if dataset.is_virtual or dataset.external:
        raise Refused(
            f"{path}: {shortened(name)}: numbers must be in the file itself, got a dataset of "
            "other files; copy it with its numbers."
        )
    if filters - _OWN_FILTERS:
        raise Refused(
            f"{path}: {shortened(name)}: filters must be those of HDF5, got number "
            f"{min(filters - _OWN_FILTERS)}; repack the file with gzip."
        )
    if dataset.shape is None:
        raise Refused(f"{path}: {shortened(name)}: must hold numbers, got none; leave it out.")
    spec = jax.ShapeDtypeStruct(dataset.shape, _dtype(path, name, dataset))
    _check_written(name, dataset, plain_bytes(spec))
    return spec


def _dtype(path: Path, name: str, dataset: Any) -> np.dtype:
    """Return the dtype; Keras writes bfloat16 as bytes, with an attribute `dtype`, and only that.

    The attribute is not read: HDF5 hangs or crashes on texts in damaged files.
    """
    dtype = dataset.dtype
    if dtype == np.dtype("V2") and "dtype" in dataset.attrs:
        return np.dtype(ml_dtypes.bfloat16)
    dtype = dtype.newbyteorder("=")
    if dtype.name not in DTYPES or dtype.subdtype:
        raise not_storable(path, shortened(name), str(dtype))
    return dtype


def _check_written(name: str, dataset: Any, size: int) -> None:
    """Refuse numbers that were never written: HDF5 would invent them."""
    if dataset.chunks is None:
        found, wanted = dataset.id.get_storage_size(), size
    else:
        sides = zip(dataset.shape, dataset.chunks, strict=True)
        found, wanted = dataset.id.get_num_chunks(), math.prod(-(-n // chunk) for n, chunk in sides)
    if found != wanted:
        unit = "bytes" if dataset.chunks is None else "chunks"
        raise ArtifactError(
            "numbers were never written", tensor=name, expected=f"{wanted:,} {unit}", found=found
        )
