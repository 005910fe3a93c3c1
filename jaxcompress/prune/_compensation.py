"""Weights that make up for others of their layer that were removed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxcompress.products.recursion import damped, sweep

_REFITS = 32  # iterations of conjugate gradients: exact up to so many inputs, close for more

Choose = Callable[[slice, np.ndarray], np.ndarray]
"""From rows and their scores `[rows, channels]` to booleans, True where a weight is kept."""


class Group(NamedTuple):
    """Weights multiplied with the same inputs, in the order of the sweep.

    Attributes:
        entries: `[n, channels]` of the weights in their leaf.
        weights: likewise.
        gram: `[n, n]` moments of the inputs.
        matrix: the same, of mean 1 and with damping.
        factor: upper triangular, `matrix = factor^T factor`.
    """

    entries: np.ndarray
    weights: np.ndarray
    gram: np.ndarray
    matrix: np.ndarray
    factor: np.ndarray

    def scores(self, rows: slice, weights: np.ndarray) -> np.ndarray:
        """Return the square roots of what removing weights of some rows costs, before damping."""
        mean = np.trace(self.gram) / max(len(self.gram), 1)
        return np.sqrt(mean) * np.diag(self.factor)[rows, None] * np.abs(weights)

    def loss(self, weights: np.ndarray) -> np.ndarray:
        """Return the squared errors of the outputs of each channel."""
        errors = weights - self.weights
        with np.errstate(over="ignore", invalid="ignore"):
            return np.einsum("nc,nc->c", errors, self.gram @ errors)


def group_of(
    weights: np.ndarray,
    entries: np.ndarray,
    gram: np.ndarray,
    damping: float,
    bundles: np.ndarray | None = None,
) -> Group:
    """Order weights for the sweep: those of the smallest inputs first, the largest make up.

    Args:
        weights: flat.
        entries: `[n, channels]` of them.
        gram: `[n, n]`.
        damping: as a fraction of the mean moment.
        bundles: `[bundles, size]` rows that are next to each other; by default each is on its own.
    """
    rows = np.arange(len(gram))[:, None] if bundles is None else bundles
    order = rows[np.argsort(-np.diag(gram)[rows].sum(axis=1), kind="stable")].ravel()
    gram, entries = gram[np.ix_(order, order)], entries[order]
    matrix = damped(gram, damping)
    return Group(entries, weights[entries], gram, matrix, np.linalg.cholesky(matrix).T)


def fitted(group: Group, choose: Choose, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which weights of a group are kept, and the fitted weights, zero where removed.

    Args:
        group: the weights.
        choose: which are kept, from the costs after the blocks before were settled.
        block: rows to choose at a time.
    """
    keep = np.ones(group.weights.shape, bool)

    def enter(rows: slice, best: np.ndarray) -> None:
        keep[rows] = choose(rows, group.scores(rows, group.weights[rows] + best))

    def settle(row: int, best: np.ndarray) -> np.ndarray:
        return np.where(keep[row], best, -group.weights[row])

    start = np.zeros_like(group.weights)
    errors = sweep(group.factor, start, settle, block=block, enter=enter)
    return keep, np.where(keep, group.weights + _refitted(errors, keep, group.matrix), 0)


def _refitted(errors: np.ndarray, keep: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the best errors of kept weights: conjugate gradients, by channel."""
    own = np.diag(matrix)[:, None]
    residual = -np.where(keep, matrix @ errors, 0)
    direction = residual / own
    size = np.einsum("nc,nc->c", residual, direction)
    enough = 1e-24 * size
    for _ in range(min(_REFITS, len(errors))):
        if (size <= enough).all():
            break
        pushed = np.where(keep, matrix @ direction, 0)
        curve = np.einsum("nc,nc->c", direction, pushed)
        length = np.divide(size, curve, out=np.zeros_like(size), where=curve > 0)
        errors, residual = errors + length * direction, residual - length * pushed
        old, size = size, np.einsum("nc,nc->c", residual, residual / own)
        direction = (
            residual / own
            + np.divide(size, old, out=np.zeros_like(size), where=old > 0) * direction
        )
    return errors
