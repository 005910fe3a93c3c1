"""Tensors of a file by what its manifest says of them, and by what they hold."""

from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact._forms import SAME
from jaxcompress.artifact.reader import Contents
from jaxcompress.leaves import Quantized, Sparse, is_compressed
from jaxcompress.metrics import entropy_bound_bytes
from jaxcompress.placement import on_host


class Tensor(NamedTuple):
    """A tensor of a file, its leaf still compressed.

    Attributes:
        leaf: as `load_compressed` gives it, of numpy arrays; None if only the manifest is read.
        path: in the tree.
        shape: of the dense tensor.
        dtype: of the dense tensor.
        form: dense, clustered, sparse, quantized, half, planes, lowrank or same.
        packing: how its codes are stored, the dtype of stored half numbers, the equation of its
            factors, or the path of the tensor that it is the same as; empty if it has none.
        k: entries of its codebook; None if it has none, or if its factors differ.
        bits: of its grids; None if it has none, or if its factors differ.
        stored_bytes: its part of the compressed streams; None if only the manifest is read.
        entries: number of non-zero codes in the manifest; None if it is not there.
    """

    leaf: Any
    path: str
    shape: tuple[int, ...]
    dtype: str
    form: str
    packing: str
    k: int | None
    bits: int | None
    stored_bytes: float | None
    entries: int | None

    def dense(self) -> np.ndarray:
        """Return the tensor itself."""
        return on_host(self.leaf.dense() if is_compressed(self.leaf) else self.leaf)

    def nonzero(self) -> int | None:
        """Return how many of its weights are not zero; None if unknown."""
        if self.leaf is None:
            return self.entries
        parts = self.leaf.values if isinstance(self.leaf, Sparse) else self.dense()
        return int(np.count_nonzero(parts))

    def levels(self) -> int | None:
        """Return how many integers of its grids it uses; None if unknown, or if it has no grid."""
        leaf = self.leaf
        return np.unique(on_host(leaf.values)).size if isinstance(leaf, Quantized) else None

    def bound_bytes(self) -> float | None:
        """Return the least bytes of a coder of one weight at a time; None if unknown.

        A tensor that is the same as another one needs none.
        """
        if self.form == SAME:
            return 0
        if self.leaf is None:
            return None
        return entropy_bound_bytes(self.leaf)


def tensors_of(contents: Contents) -> list[Tensor]:
    """Return the tensors of a file that has been read, in its order."""
    entries = contents.manifest["tensors"]
    return [
        _described(info.entry, entries, info.leaf, info.stored_bytes) for info in contents.tensors
    ]


def told_tensors(manifest: dict[str, Any]) -> list[Tensor]:
    """Return what a manifest says: tensors without their leaves."""
    entries = manifest["tensors"]
    return [_described(entry, entries, None, None) for entry in entries]


def _described(
    entry: dict[str, Any], entries: list[dict[str, Any]], leaf: Any, stored_bytes: float | None
) -> Tensor:
    """Return a tensor by its entry in the manifest, one of all entries."""
    product = entry.get("product", {"equation": "", "factors": [entry]})

    def common(field: str) -> Any:
        values = {part.get(field) for part in product["factors"]}
        return values.pop() if len(values) == 1 else None

    named = entries[entry["tensor"]]["path"] if "tensor" in entry else ""
    return Tensor(
        leaf=leaf,
        path=entry["path"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        form=entry["form"],
        packing=entry.get("packing", entry.get("stored", product["equation"] or named)),
        k=common("k"),
        bits=common("bits"),
        stored_bytes=stored_bytes,
        entries=entry.get("entries") if entry.get("packing") in ("ans", "bits", "gaps") else None,
    )
