"""Weights set row by row, each row compensating for the errors of those before it."""

from collections.abc import Callable
from typing import Any

import numpy as np

BLOCK = 128
"""Rows handled one by one; the effect of all other rows on them is one product of matrices."""

DAMPING = 0.01
"""Fraction of the mean second moment that is added to all: inputs that never occurred may occur."""


def damped(gram: np.ndarray, damping: float = DAMPING) -> np.ndarray:
    """Return moments of mean 1 with `damping` added to each; all equal if all moments are 0."""
    mean = np.mean(np.diag(gram)) if len(gram) else 0.0
    return (gram / mean if mean > 0 else 0 * gram + np.eye(len(gram))) + damping * np.eye(len(gram))


def sweep(
    matrix: np.ndarray,
    errors: np.ndarray,
    choose: Callable[[int, np.ndarray], np.ndarray],
    *,
    block: int = BLOCK,
    enter: Callable[[slice, np.ndarray], Any] | None = None,
) -> np.ndarray:
    """Set each row of errors, from the last to the first, given those of all others.

    With the matrix of a quadratic form this is a coordinate descent. With its upper triangular
    factor, where a row depends only on the rows after it, it is the nearest plane method.

    Args:
        matrix: `[n, n]`.
        errors: `[n, channels]`.
        choose: from the number of a row and its best error to its new error.
        block: number of rows at a time.
        enter: called before each block with its rows and their best errors while none is chosen;
            for an upper triangular matrix only.

    Returns:
        New errors.
    """
    errors = errors.copy()
    for stop in range(len(errors), 0, -block):
        rows = slice(max(stop - block, 0), stop)
        inner, mine = matrix[rows, rows], errors[rows]
        pull = matrix[rows] @ errors - inner @ mine
        if enter is not None:
            enter(rows, -np.linalg.solve(inner, pull))
        for i in reversed(range(len(inner))):
            others = (pull[i] + inner[i] @ mine) / inner[i, i] - mine[i]
            mine[i] = choose(rows.start + i, -others)
    return errors
