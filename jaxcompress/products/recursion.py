"""Weights set one row after the other, each so that it makes up for the errors before it."""

from collections.abc import Callable
from typing import Any

import numpy as np

BLOCK = 128
"""Rows followed one by one; what the others do to them is one product of matrices."""

DAMPING = 0.01
"""Of the mean second moment, added to all: inputs that never occurred might."""


def damped(gram: np.ndarray, damping: float = DAMPING) -> np.ndarray:
    """Return moments of mean 1 with `damping` added to each; all alike where there are none."""
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

    With the matrix of a quadratic form this is a descent; with its upper triangular factor, where
    a row knows only of those after it, the nearest plane.

    Args:
        matrix: `[n, n]`.
        errors: `[n, channels]`.
        choose: from the number of a row and its best error to the one it takes.
        block: rows at a time.
        enter: called before each block with its rows and their best errors, if all are free; for
            an upper triangular matrix alone.

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
