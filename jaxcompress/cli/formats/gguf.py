"""GGUF: the tensors of a file, each read when its turn comes.

Plain numbers stay of their dtype, blocks of few bits become float32.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from jaxcompress.artifact.reading import reading
from jaxcompress.cli.flat import FlatSource
from jaxcompress.cli.formats import gguf_types as types
from jaxcompress.cli.formats.extent import Extent
from jaxcompress.cli.formats.gguf_header import Header, Value, alignment, read_header
from jaxcompress.cli.formats.gguf_values import kept_values
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.text import shortened

_PARTS = "split.count"


class GgufSource(FlatSource):
    """The tensors of a file.

    Attributes:
        values: by key.
    """

    def __init__(self, path: Path) -> None:
        """Read the header."""
        header = read_header(path)
        _refuse_part(path, header.values)
        self._types, self._extents = _placed(path, header)
        specs = {
            name: jax.ShapeDtypeStruct(tensor.shape, self._types[name].dtype)
            for name, tensor in header.tensors.items()
        }
        super().__init__(path, specs)
        self.values = header.values

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Let another process open the file itself."""
        return type(self), (self.path,)

    @property
    def kept(self) -> dict[str, Any]:
        """Metadata for a compressed file: the values by key."""
        return kept_values(self.path, self.values)

    def channel_axis(self, index: int) -> int:
        """Return the axis of outputs: the first, of stacked experts the second."""
        return 1 if "_exps." in self.paths[index] and len(self.leaves[index].shape) > 2 else 0

    def load(self, index: int) -> np.ndarray:
        """Read one tensor."""
        name = self.paths[index]
        with reading(self.path):
            raw = self._extents[name].read(name)
            return types.dense(raw, self.leaves[index], self._types[name])


def _refuse_part(path: Path, values: Mapping[str, Value]) -> None:
    parts = values.get(_PARTS)
    if parts and isinstance(parts.value, int) and parts.value > 1:
        raise Refused(
            f"{path}: must be a whole model, got one of {parts.value} files; merge them with "
            "llama-gguf-split --merge."
        )


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
