"""What a file holds of each tensor and in all, as numbers and as the words of a table."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact.tensors import Tensor
from jaxcompress.states import optimizer_states
from jaxcompress.text import shape_text

_UNCODED = ("dense", "half", "planes", "same")
"""Forms without codes, of which there is no entropy."""


class TensorRow(NamedTuple):
    """What a file holds of one tensor; None for what is unknown, or what the form does not have.

    Attributes:
        path: in the tree.
        shape: of the dense tensor.
        dtype: of the dense tensor.
        form: dense, clustered, sparse, quantized, half, planes, lowrank or same.
        packing: how its codes are stored, the dtype of stored half numbers, the equation of its
            factors, or the path of the tensor that it is the same as.
        weights: numbers of the dense tensor.
        nonzero: numbers of the dense tensor that are not zero.
        sparsity: the fraction of zeros.
        k: entries of its codebook.
        bits: of its grids.
        levels: integers of its grids that it uses.
        bits_per_weight: in the file.
        bytes: its part of the compressed streams.
        share: of the file, as a fraction.
        bound_bytes: `entropy_bound_bytes` of the leaf; 0 of one that is the same as another.
        over_bound: `bytes / bound_bytes - 1`.
        dense_bytes: without compression.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    form: str
    packing: str
    weights: int
    nonzero: int | None
    sparsity: float | None
    k: int | None
    bits: int | None
    levels: int | None
    bits_per_weight: float | None
    bytes: float | None
    share: float | None
    bound_bytes: float | None
    over_bound: float | None
    dense_bytes: int

    def cells(self) -> list[str]:
        """Return the words of the row in a table."""
        return [
            self.path,
            shape_text(self.shape),
            self.dtype,
            f"{self.form} {self.packing}".rstrip(),
            word(self.sparsity, "{:.1%}"),
            self.values(),
            word(self.bits_per_weight, "{:.2f}"),
            word(self.bytes, "{:,.0f}"),
            word(self.share, "{:.1%}"),
            word(None if self.form in _UNCODED else self.over_bound, "{:+.1%}"),
        ]

    def values(self) -> str:
        """Return how many values its weights have, in words."""
        if self.bits is None:
            return word(self.k, "{}")
        # The bits are those of the grid. Codes take fewer of them in the file.
        return f"{word(self.levels, '{} of ') or 'at most '}{1 << self.bits}"


class Total(NamedTuple):
    """What a file holds in all; None for what is unknown.

    Attributes:
        tensors: number of rows.
        weights: numbers of the dense tensors, of any dtype.
        nonzero: those that are not zero.
        sparsity: the fraction of zeros.
        bits_per_weight: of the whole file.
        file_bytes: size of the file.
        bound_bytes: the sum of those of the tensors.
        over_bound: `file_bytes / bound_bytes - 1`.
        dense_bytes: without compression.
        ratio: `dense_bytes / file_bytes`.
    """

    tensors: int
    weights: int
    nonzero: int | None
    sparsity: float | None
    bits_per_weight: float
    file_bytes: int
    bound_bytes: float | None
    over_bound: float | None
    dense_bytes: int
    ratio: float

    def cells(self) -> list[str]:
        """Return the words of the last row of a table."""
        zeros, bits = word(self.sparsity, "{:.1%}"), f"{self.bits_per_weight:.2f}"
        size = f"{self.file_bytes:,}"
        return [f"total of {self.tensors}", "", "", "", zeros, "", bits, size, "100.0%", ""]


class States(NamedTuple):
    """Tensors of an optimizer's state among those of a file.

    Attributes:
        tensors: how many.
        bytes: of the file; None if unknown.
    """

    tensors: int
    bytes: float | None


def row_of(tensor: Tensor, file_bytes: int) -> TensorRow:
    """Return the row of a tensor of a file of this size."""
    size, nonzero, bound = math.prod(tensor.shape), tensor.nonzero(), tensor.bound_bytes()
    stored = tensor.stored_bytes
    return TensorRow(
        path=tensor.path,
        shape=tensor.shape,
        dtype=tensor.dtype,
        form=tensor.form,
        packing=tensor.packing,
        weights=size,
        nonzero=nonzero,
        sparsity=_zeros(nonzero, size),
        k=tensor.k,
        bits=tensor.bits,
        levels=tensor.levels(),
        bits_per_weight=None if stored is None else _fraction(8 * stored, size),
        bytes=stored,
        share=None if stored is None else _fraction(stored, file_bytes),
        bound_bytes=bound,
        over_bound=_over(stored, bound),
        dense_bytes=size * np.dtype(tensor.dtype).itemsize,
    )


def total_of(rows: Sequence[TensorRow], file_bytes: int) -> Total:
    """Return the total of a file of this size."""
    size, dense = sum(row.weights for row in rows), sum(row.dense_bytes for row in rows)
    nonzero, bound = _sum(row.nonzero for row in rows), _sum(row.bound_bytes for row in rows)
    return Total(
        tensors=len(rows),
        weights=size,
        nonzero=nonzero,
        sparsity=_zeros(nonzero, size),
        bits_per_weight=_fraction(8 * file_bytes, size),
        file_bytes=file_bytes,
        bound_bytes=bound,
        over_bound=_over(file_bytes, bound),
        dense_bytes=dense,
        ratio=dense / file_bytes,
    )


def states_of(rows: Sequence[TensorRow]) -> States:
    """Return what belongs to the state of an optimizer."""
    found = optimizer_states([row.path for row in rows], [row.shape for row in rows])
    sizes = [row.bytes for row, is_state in zip(rows, found, strict=True) if is_state]
    return States(len(sizes), _sum(sizes))


def _sum(values: Iterable[Any]) -> Any:
    """Return the sum of numbers, None if one of them is not known."""
    found = list(values)
    return None if None in found else sum(found)


def _fraction(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _zeros(nonzero: int | None, size: int) -> float | None:
    return None if nonzero is None else 1 - nonzero / size if size else 0.0


def _over(stored: float | None, bound: float | None) -> float | None:
    return stored / bound - 1 if bound and stored is not None else None


def word(value: Any, form: str) -> str:
    """Return a value as text, nothing if it is not known."""
    return "" if value is None else form.format(value)
