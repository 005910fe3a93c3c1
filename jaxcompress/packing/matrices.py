"""Tensors as matrices: which axes are rows, and which are columns."""

import math

_MOST_RATIO = 16
MOST_LEADING = 15
"""The most leading axes that a file can name as the rows."""


def as_matrix(shape: tuple[int, ...], leading: int = 0) -> tuple[int, int, bool]:
    """Return rows and columns of the matrix that is coded, and whether they are exchanged.

    They are exchanged if there would be too many rows for so few columns.

    Args:
        shape: of the tensor.
        leading: how many axes are the rows, the others the columns; 0 for all but the last one.

    Example:
        >>> as_matrix((3, 3, 8, 16)), as_matrix((64, 8, 3, 1), 1), as_matrix((64, 8, 3, 1))
        ((72, 16, False), (64, 24, False), (1, 1536, True))
    """
    place = leading or max(len(shape) - 1, 0)
    rows, columns = math.prod(shape[:place]), math.prod(shape[place:])
    exchanged = rows > _MOST_RATIO * columns
    return (columns, rows, True) if exchanged else (rows, columns, False)


def ways(shape: tuple[int, ...]) -> list[int]:
    """Return the values of `leading` that are worth trying: each gives another matrix.

    Outputs are the last axis of some libraries' kernels, and the first one of others'; axes of one
    entry do not count.

    Example:
        >>> ways((5, 7)), ways((64, 8, 3, 3)), ways((64, 8, 3, 1))
        ([0], [0, 1], [0, 1, 2])
    """
    wide = [axis for axis, size in enumerate(shape) if size > 1]
    others = [axis + 1 for axis in (*wide[:1], *wide[-2:-1])]
    found = {as_matrix(shape): 0}
    for leading in others:
        if leading <= MOST_LEADING:
            found.setdefault(as_matrix(shape, leading), leading)
    return list(found.values())
