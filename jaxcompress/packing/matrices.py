"""Tensors as matrices: which axes are rows, and which are columns."""

import math

_MOST_RATIO = 16


def as_matrix(shape: tuple[int, ...]) -> tuple[int, int, bool]:
    """Return rows and columns of the matrix that is coded, and whether they are exchanged.

    The last axis is the columns, unless it is so short that there would be too many rows.
    """
    columns = shape[-1] if shape else 1
    rows = math.prod(shape[:-1])
    exchanged = rows > _MOST_RATIO * columns
    return (columns, rows, True) if exchanged else (rows, columns, False)
