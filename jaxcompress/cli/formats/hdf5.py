"""Weights as Keras keeps them, in HDF5; needs the extra `keras`, which is imported on first use.

HDF5 gets an open file and no path: it reads nothing beside it.
"""

import contextlib
from pathlib import Path
from typing import Any, Self

import numpy as np

from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli import screen
from jaxcompress.cli.flat import FlatSource
from jaxcompress.cli.formats.extent import stamp_of
from jaxcompress.cli.formats.hdf5_datasets import dataset_spec, datasets, reading_hdf5
from jaxcompress.cli.formats.keras_archive import weights_of
from jaxcompress.errors import ArtifactError
from jaxcompress.extras import library
from jaxcompress.kinds import native
from jaxcompress.text import shortened
from jaxcompress.trees import some_of


class Hdf5Source(FlatSource):
    """The datasets of an HDF5 file by their paths, `layers/dense/vars/0` for one of Keras 3."""

    def __init__(self, path: Path) -> None:
        """Read what there is.

        Raises:
            MissingLibraryError: h5py is missing.
            Refused: links, datasets of other files, or dtypes that cannot be stored.
            ArtifactError: the file is damaged, or no HDF5.
        """
        h5py = library("h5py", str(path), extra="keras")
        self._open = contextlib.ExitStack()  # until the source is forgotten
        self._handle = self._open.enter_context(open_regular(path))
        self._stamp = stamp_of(self._handle.fileno())
        specs: dict[str, Any] = {}
        texts = []
        is_archive = path.suffix == ".keras"
        weights = weights_of(path, self._handle) if is_archive else self._handle
        with reading_hdf5(path):
            self._file = h5py.File(weights, "r")
            for name, dataset in datasets(path, self._file, h5py):
                if h5py.check_string_dtype(dataset.dtype):
                    texts.append(name)
                else:
                    specs[name] = dataset_spec(path, name, dataset)
        super().__init__(path, specs)
        if texts:
            screen.note(f"{path}: left out, since they are texts: {shortened(some_of(texts))}")

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Let another process open the file itself."""
        return type(self), (self.path,)

    def load(self, index: int) -> np.ndarray:
        """Read one dataset.

        Raises:
            ArtifactError: it is damaged, or the file changed.
        """
        name, dtype = self.paths[index], self.leaves[index].dtype
        with reading_hdf5(self.path):
            array = np.asarray(self._file[name][()])
            if stamp_of(self._handle.fileno()) != self._stamp:
                raise ArtifactError("the file changed while it was read", tensor=name)
        return array.view(dtype) if array.dtype.kind == "V" else native(array)

    def channel_axis(self, index: int) -> int:
        """Return the axis of outputs: Keras has them last."""
        del index
        return -1
