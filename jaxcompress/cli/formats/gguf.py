"""GGUF: the tensors of a file, each read when its turn comes.

Plain numbers stay of their dtype, blocks of few bits become float32.
"""

from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from jaxcompress.artifact.reading import reading
from jaxcompress.cli.flat import FlatSource
from jaxcompress.cli.formats import gguf_types as types
from jaxcompress.cli.formats.extent import Extent
from jaxcompress.cli.formats.gguf_header import Header, alignment
from jaxcompress.cli.formats.gguf_parts import read_parts, values_of_model
from jaxcompress.cli.formats.gguf_values import kept_values
from jaxcompress.errors import ArtifactError
from jaxcompress.text import shortened


class GgufSource(FlatSource):
    """The tensors of a file, or of all files of a model.

    Attributes:
        files: that are read.
        values: key-value metadata, by key.
    """

    def __init__(self, path: Path) -> None:
        """Read the headers."""
        parts = read_parts(path)
        self._types: dict[str, types.Type] = {}
        self._extents: dict[str, Extent] = {}
        specs: dict[str, jax.ShapeDtypeStruct] = {}
        for part, header in parts.items():
            kinds, extents = _placed(part, header)
            self._types |= kinds
            self._extents |= extents
            for name, tensor in header.tensors.items():
                specs[name] = jax.ShapeDtypeStruct(tensor.shape, kinds[name].dtype)
        super().__init__(path, specs)
        self.files = [*parts]
        self.values = values_of_model(parts)

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Let another process open the file itself."""
        return type(self), (self.path,)

    @property
    def kept(self) -> dict[str, Any]:
        """Metadata for a compressed file: the key-value metadata of this one."""
        return kept_values(self.path, self.values)

    def channel_axis(self, index: int) -> int:
        """Return the axis of outputs: the first, of stacked experts the second."""
        return 1 if "_exps." in self.paths[index] and len(self.leaves[index].shape) > 2 else 0

    def load(self, index: int) -> np.ndarray:
        """Read one tensor."""
        name = self.paths[index]
        with reading(self._extents[name].path):
            raw = self._extents[name].read(name)
            return types.dense(raw, self.leaves[index], self._types[name])

    def sample(self, index: int) -> bytes:
        """Read the first bytes of one tensor, as they are stored."""
        name = self.paths[index]
        return self._extents[name].sample(name)


def _placed(path: Path, header: Header) -> tuple[dict[str, types.Type], dict[str, Extent]]:
    """Return types and places of tensors; refuse what cannot be true."""
    extents, kinds, known = {}, {}, {}
    multiple = alignment(header.values)
    for name, tensor in header.tensors.items():
        if tensor.kind not in known:
            known[tensor.kind] = types.of_number(tensor.kind, f"{path}: {shortened(name)}")
        kinds[name] = known[tensor.kind]
        try:
            size = types.stored_bytes(tensor.shape, kinds[name])
            if tensor.start % multiple:
                raise ArtifactError(
                    "not aligned", expected=f"a multiple of {multiple}", found=tensor.start
                )
            start = header.start + tensor.start
            if size and start + size > header.stamp[2]:
                raise ArtifactError(
                    "numbers must lie in the file",
                    expected=f"<= {header.stamp[2]} bytes",
                    found=start + size,
                )
        except ArtifactError as error:
            raise error.at(file=str(path), tensor=name) from None
        extents[name] = Extent(path, start if size else 0, size, header.stamp)
    end = 0
    for name, extent in sorted(extents.items(), key=lambda item: item[1].start):
        if extent.size and extent.start < end:
            raise ArtifactError("numbers of two tensors overlap", file=str(path), tensor=name)
        end = max(end, extent.start + extent.size)
    return kinds, extents
