"""Files of `torch.save`, one or several, as a source; needs the extra `torch`.

A file in the format of PyTorch 1.6 and later is read tensor by tensor. An older one is read whole.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import check_regular, open_regular
from jaxcompress.cli.flat import FlatSource
from jaxcompress.cli.formats.extent import Extent, stamp_of
from jaxcompress.cli.formats.pytorch_places import Place, place_of, read_storages, tensor_spec
from jaxcompress.cli.formats.pytorch_values import numbers, tensors
from jaxcompress.cli.refusals import check_memory
from jaxcompress.errors import ArtifactError

_ZIP, _PICKLE = b"PK\3\4", b"\x80\2"
_OLD = b"\x80\2\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""The number with which files before PyTorch 1.6 begin, as a pickle."""


@dataclass(frozen=True, kw_only=True)
class TorchFile:
    """A file, its pickle read.

    Attributes:
        path: of the file.
        specs: shape and dtype of each tensor by name.
        places: of their numbers by name; those of an old file are the numbers.
        stamp: what changes with the file on the disk.
    """

    path: Path
    specs: dict[str, jax.ShapeDtypeStruct]
    places: dict[str, Place | np.ndarray]
    stamp: tuple[int, ...]

    def load(self, name: str) -> np.ndarray:
        """Read one tensor.

        Raises:
            ArtifactError: the file is not the one of which the pickle was read.
        """
        place = self.places[name]
        if isinstance(place, np.ndarray):
            return np.asarray(place, order="C")
        size = place.count * np.dtype(place.spec.dtype).itemsize
        return place.array(Extent(self.path, place.first, size, self.stamp).read(name))


class TorchSource(FlatSource):
    """The tensors of files of PyTorch, as if they were in one.

    Attributes:
        files: that are read.
    """

    def __init__(self, path: Path, files: Sequence[TorchFile]) -> None:
        """Take files that have no tensor in common.

        Args:
            path: of the file, or what names all of them, for messages.
            files: with their pickles read.
        """
        self._files = {name: file for file in files for name in file.specs}
        super().__init__(path, {name: file.specs[name] for name, file in self._files.items()})
        self.files = [file.path for file in files]

    def load(self, index: int) -> np.ndarray:
        """Read one tensor."""
        name = self.paths[index]
        return self._files[name].load(name)

    def channel_axis(self, index: int) -> int:
        """Return the axis of outputs: PyTorch has them first."""
        del index
        return 0


def is_torch(path: Path) -> bool:
    """Return whether a file was written by `torch.save`, by its content.

    Raises:
        ArtifactError: a zip that is damaged.
    """
    with reading(path), open_regular(path) as file:
        start = file.read(len(_OLD))
        if not start.startswith(_ZIP):
            return start == _OLD
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())


def read_torch(path: Path) -> TorchFile:
    """Read the pickle of a file.

    Raises:
        MissingLibraryError: PyTorch is missing.
        Refused: it holds more than tensors and plain values, or tensors that cannot be stored.
        ArtifactError: the file is damaged.
    """
    size = check_regular(path)
    with open_regular(path) as file:
        start, stamp = file.read(len(_ZIP)), stamp_of(file.fileno())
    places: dict[str, Any] = {}
    if start == _ZIP:
        storages = read_storages(path)
        found = tensors(path, with_numbers=False)
        places = {name: place_of(path, name, tensor, storages) for name, tensor in found.items()}
        specs = {name: place.spec for name, place in places.items()}
    elif start.startswith(_PICKLE):
        check_memory(path, None, 2 * size)
        found = tensors(path, with_numbers=True)
        specs = {name: tensor_spec(path, name, tensor) for name, tensor in found.items()}
        places = {name: numbers(tensor, specs[name].dtype) for name, tensor in found.items()}
    else:
        raise ArtifactError("not a file of torch.save", file=str(path), found=start)
    return TorchFile(path=path, specs=specs, places=places, stamp=stamp)
