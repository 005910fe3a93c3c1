"""Files in the format of safetensors, and the tensors of one or several of them.

A header is read once. A tensor is read when its turn comes, from a file that is opened for it.
Nothing is mapped into memory: mapped pages would count as used until the file is closed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from jaxcompress.artifact.manifest import MOST_BYTES
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli import screen
from jaxcompress.cli.flat import FlatSource
from jaxcompress.cli.formats.extent import Extent, stamp_of
from jaxcompress.cli.refusals import not_storable
from jaxcompress.errors import ArtifactError
from jaxcompress.trees import plain_bytes

SAFETENSORS_DTYPES: dict[str, Any] = {
    **{"BOOL": np.bool_, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64},
    **{"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64},
    **{"F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64},
    **{"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "C64": np.complex64},
}
"""From names of dtypes in safetensors to those of numpy."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A file in the format of safetensors, its header read.

    Attributes:
        path: of the file.
        metadata: strings that the file carries beside its tensors.
        specs: shape and dtype of each tensor by name.
        extents: of its bytes by name.
    """

    path: Path
    metadata: dict[str, str]
    specs: dict[str, jax.ShapeDtypeStruct]
    extents: dict[str, Extent]

    def load(self, name: str) -> np.ndarray:
        """Read one tensor.

        Raises:
            ArtifactError: the file is not the one of which the header was read.
        """
        spec = self.specs[name]
        return self.extents[name].read(name).view(spec.dtype).reshape(spec.shape)

    def sample(self, name: str) -> bytes:
        """Read the first bytes of one tensor."""
        return self.extents[name].sample(name)


class SafetensorsSource(FlatSource):
    """The tensors of files in the format of safetensors, as if they were in one.

    Attributes:
        files: that are read.
        metadata: strings that all of the files carry beside their tensors.
    """

    def __init__(self, path: Path, shards: Sequence[Shard]) -> None:
        """Take files that have no tensor in common.

        Args:
            path: of the file, or what names all of them, for messages.
            shards: the files.
        """
        self._shards = {name: shard for shard in shards for name in shard.specs}
        super().__init__(path, {name: shard.specs[name] for name, shard in self._shards.items()})
        self.files = [shard.path for shard in shards]
        self.metadata = shards[0].metadata if shards else {}
        if any(shard.metadata != self.metadata for shard in shards):
            self.metadata = {}
            screen.note(f"{path}: shards carry other strings of metadata than each other; left out")

    def channel_axis(self, index: int) -> int:
        """Return the first axis for weights of PyTorch, which the metadata names, else the last."""
        del index
        return 0 if self.metadata.get("format") == "pt" else -1

    def load(self, index: int) -> np.ndarray:
        """Read one tensor."""
        name = self.paths[index]
        return self._shards[name].load(name)

    def sample(self, index: int) -> bytes:
        """Read the first bytes of one tensor."""
        name = self.paths[index]
        return self._shards[name].sample(name)


def read_shard(path: Path) -> Shard:
    """Read the header of a file, and let safetensors check it.

    Raises:
        ArtifactError: the file is damaged, or no safetensors.
        Refused: a dtype that the format does not know.
        OSError: the file cannot be read.
    """
    with reading(path), open_regular(path) as file:
        stamp = stamp_of(file.fileno())
        header_bytes = int.from_bytes(file.read(8), "little")
        if MOST_BYTES < header_bytes <= path.stat().st_size:
            raise ArtifactError(
                "the header is too long", expected=f"<= {MOST_BYTES} bytes", found=header_bytes
            )
        try:
            with safe_open(path, framework="np") as checked:
                metadata = dict(checked.metadata() or {})
        except SafetensorError as error:
            raise ArtifactError("not a whole safetensors file", found=str(error)) from None
        header = strict_json(file.read(header_bytes))
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] not in SAFETENSORS_DTYPES:
            raise not_storable(path, name, entry["dtype"])
    specs = {
        name: jax.ShapeDtypeStruct(tuple(entry["shape"]), SAFETENSORS_DTYPES[entry["dtype"]])
        for name, entry in header.items()
    }
    extents = {
        name: Extent(
            path, 8 + header_bytes + entry["data_offsets"][0], plain_bytes(specs[name]), stamp
        )
        for name, entry in header.items()
    }
    return Shard(path=path, metadata=metadata, specs=specs, extents=extents)


def strict_json(data: bytes) -> Any:
    """Return what JSON in UTF-8 says; a key that is there twice is refused, not overwritten."""
    return json.loads(data.decode("utf-8"), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ArtifactError("a key is there twice", found=key)
        found[key] = value
    return found
