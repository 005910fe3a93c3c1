"""Weights as matrices, and their best approximations by products of two thin matrices."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import numpy as np

from jaxcompress.checks import check_floats
from jaxcompress.leaves import LowRank
from jaxcompress.lowrank._splits import Axes
from jaxcompress.lowrank._svd import Decomposition, near_one
from jaxcompress.products.moments import Layer
from jaxcompress.trees import as_jax, widened

_RIDGE = 1e-6
"""Added to the moments, as a fraction of their mean. Inputs that never occurred then count a
little, and their weights are kept where nothing else decides."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A tensor as one matrix `W`, or as a stack of them, `[layers, m, n]`.

    Attributes:
        path: of the tensor.
        tensor: the tensor.
        axes: its rows and columns.
        moments: `[layers, m, m]` sums of `x x^T` over the inputs `x` of its rows; None if all
            entries count equally.
    """

    path: str
    tensor: np.ndarray
    axes: Axes
    moments: np.ndarray | None = None

    @property
    def stack(self) -> tuple[int, ...]:
        """Sizes of the axes that stack matrices."""
        used = len(self.axes.rows) + len(self.axes.columns)
        return self.tensor.shape[: self.tensor.ndim - used]

    @property
    def rows(self) -> tuple[int, ...]:
        """Sizes of the axes of the rows."""
        return tuple(self.tensor.shape[axis] for axis in self.axes.rows)

    @property
    def columns(self) -> tuple[int, ...]:
        """Sizes of the axes of the columns."""
        return tuple(self.tensor.shape[axis] for axis in self.axes.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """`m` and `n`."""
        return math.prod(self.rows), math.prod(self.columns)

    @property
    def highest(self) -> int:
        """The highest rank with fewer parameters than the tensor, 0 if there is none."""
        m, n = self.shape
        return (m * n - 1) // (m + n)

    def parameters(self, rank: int) -> int:
        """Return the number of parameters of factors of a rank."""
        return math.prod(self.stack) * rank * sum(self.shape)

    def layers(self) -> np.ndarray:
        """Return `[layers, m, n]` matrices in single precision at least."""
        order = [*range(len(self.stack)), *self.axes.rows, *self.axes.columns]
        return widened(self.tensor).transpose(order).reshape(-1, *self.shape)

    @functools.cached_property
    def unit(self) -> tuple[np.ndarray, int]:
        """`layers` scaled to near 1, and the power of two by which each factor is scaled back."""
        return near_one(self.layers())

    @functools.cached_property
    def seen(self) -> np.ndarray:
        """`[layers, m, n]` matrices `S W`, where `S^T S` are the moments, or `W`, both of `unit`.

        The squares of `S (W - W')` add up to the squared error of the outputs `x^T W`.
        """
        matrices, _ = self.unit
        if self.moments is None:
            return matrices
        squares, vectors = np.linalg.eigh(self.moments)
        squares = np.maximum(squares, 0)
        mean = squares.mean(axis=1, keepdims=True)
        squares += _RIDGE * np.where(mean > 0, mean, 1)  # else inputs that are all 0 decide nothing
        roots = np.sqrt(squares)[:, :, None] * vectors.transpose(0, 2, 1)
        return (roots @ matrices).astype(matrices.dtype)

    @functools.cached_property
    def squares(self) -> np.ndarray:
        """Squares of the singular values of `seen`, each summed over the stack, descending."""
        values = np.linalg.svd(self.seen, compute_uv=False).astype(np.float64)
        return np.sum(values**2, axis=0)

    def factors(self, rank: int, svd: Decomposition) -> LowRank:
        """Return the product of a rank with the least squared error of `seen`.

        It is `(W V) V^T`, where the columns of `V` are the first right singular vectors of `seen`.
        Both factors are scaled so that the columns of one and the rows of the other have equal
        norms.
        """
        pairs, (unit, power) = [], self.unit
        for matrix, seen in zip(unit, self.seen, strict=True):
            right = svd(seen, rank).right
            left = matrix @ right.T
            norms = np.sqrt(np.linalg.norm(left.astype(np.float64), axis=0)).astype(left.dtype)
            norms[norms == 0] = 1
            pairs.append((left / norms, right * norms[:, None]))
        left, right = (
            np.ldexp(np.stack(side), power).astype(self.tensor.dtype)
            for side in zip(*pairs, strict=True)
        )
        factors = (
            as_jax(left.reshape(*self.stack, *self.rows, rank)),
            as_jax(right.reshape(*self.stack, rank, *self.columns)),
        )
        return LowRank(factors=factors, equation=self._equation())

    def _equation(self) -> str:
        count, stacked = len(self.rows) + len(self.columns), len(self.stack)
        names = _NAMES.get(count, ascii_lowercase.replace("r", "")[:count])
        rows, columns = ("".join(names[axis - stacked] for axis in side) for side in self.axes)
        return f"{rows}r,r{columns}->{names}"


_NAMES = {2: "io", 4: "hwio"}
"""Usual letters, by the number of axes."""


def matrix_of(path: str, leaf: Any, axes: Axes, layers: Sequence[Layer]) -> Matrix:
    """Return a leaf as a matrix.

    Args:
        path: of the leaf.
        leaf: the leaf.
        axes: its rows and columns.
        layers: moments of the inputs of its rows; empty if all entries count equally.

    Raises:
        TypeError: it is not floating point of 16 bits or more.
        ValueError: NaN or infinity, fewer than two axes, axes that do not split it, moments of
            other rows.
    """
    tensor = check_floats(path, leaf)
    if tensor.ndim < 2:
        raise ValueError(
            f"{path}: only tensors of two axes or more are matrices, got shape {tensor.shape}; "
            "leave it out of the scope."
        )
    axes = Axes(*map(tuple, axes))
    used = sorted([*axes.rows, *axes.columns])
    if used != list(range(tensor.ndim - len(used), tensor.ndim)) or not all(axes):
        raise ValueError(
            f"{path}: the split must name its last axes once each, some for rows and some for "
            f"columns, got {axes} for shape {tensor.shape}; see last_axis."
        )
    moments = _moments(path, tensor, axes, layers) if layers else None
    return Matrix(path=path, tensor=tensor, axes=axes, moments=moments)


def _moments(
    path: str, tensor: np.ndarray, axes: Axes, layers: Sequence[Layer]
) -> np.ndarray | None:
    """Return `[layers, m, m]` moments of the inputs of the rows, over all products together.

    None where columns have inputs of their own, as in a grouped convolution: then no single
    product is the best for all columns.
    """
    places = np.arange(tensor.size).reshape(tensor.shape)
    ours = Matrix(path="", tensor=places, axes=axes).layers()
    count, m, n = ours.shape
    layer_of, row_of = np.empty(tensor.size, np.int64), np.empty(tensor.size, np.int64)
    layer_of[ours] = np.arange(count)[:, None, None]
    row_of[ours] = np.arange(m)[:, None]
    found, known, grouped = np.zeros((count, m, m)), np.zeros(count, bool), False
    for layer in layers:
        for entries, gram in zip(layer.entries, layer.gram, strict=True):
            if len(entries) != m or entries.max() >= tensor.size:
                raise _other_rows(path, tensor, axes)
            which, rows = layer_of[entries], row_of[entries]
            if (which != which[0, 0]).any() or (rows != rows[:, :1]).any():
                raise _other_rows(path, tensor, axes)
            grouped |= entries.shape[1] < n
            known[which[0, 0]] = True
            found[which[0, 0]][np.ix_(rows[:, 0], rows[:, 0])] += gram
    if not known.all():
        raise _other_rows(path, tensor, axes)
    return None if grouped else found


def _other_rows(path: str, tensor: np.ndarray, axes: Axes) -> ValueError:
    return ValueError(
        f"{path}: rows must be what its products sum over, for moments to weigh them, got the "
        f"axes {axes.rows} of shape {tensor.shape}; pass split=summed_axes(apply, params, x) and "
        "moments of these params, or no moments."
    )
