"""Pruning that keeps what a layer puts out: the weights that stay make up for those that go."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_concrete, check_finite, check_floats, check_positive
from jaxcompress.kinds import FLOATS
from jaxcompress.prune.masks import removed_count
from jaxcompress.prune.select import keep_largest
from jaxcompress.quantization.moments import Layer, Moments
from jaxcompress.quantization.recursion import BLOCK, DAMPING, damped, sweep
from jaxcompress.trees import Array, PyTree, Scope, in_scope, kernels, named_leaves, some_of

_DESCENTS = 20


def fit_mask(
    params: PyTree,
    moments: Moments,
    sparsity: float | Mapping[str, float] | None = None,
    *,
    pattern: tuple[int, int] | None = None,
    axis: int = -2,
    damping: float = DAMPING,
    scope: Scope = kernels,
) -> tuple[PyTree, PyTree]:
    """Prune so that the outputs of layers stay close to what they were, and mend what stays.

    Removing a weight `w_i` costs `w_i^2 / [G^-1]_ii` in the squared error of its channel's output,
    where `G` are the second moments of the inputs, once all others are set anew. Inputs are gone
    through in blocks; in each the weights of least cost go, and those not yet met make up for it
    (SparseGPT, by the recursion of `fit_rounding`). Then all that stay are fitted by conjugate
    gradients. A leaf takes the magnitude mask instead, fitted or as it is, where that errs less.

    Args:
        params: any pytree of arrays.
        moments: from `input_moments`, on training data.
        sparsity: fraction removed of each leaf in the scope, or fractions by path;
            exactly `round(sparsity * n)` weights go.
        pattern: `(n, m)` keeps `n` of `m` neighbours along `axis`, in place of `sparsity`.
        axis: where the neighbours lie, an axis that meets the inputs.
        damping: of the mean second moment, added to each.
        scope: which leaves are pruned.

    Returns:
        The parameters, zeros where weights went, and a tree of booleans like them, for `hold_mask`.

    Raises:
        ValueError: both or none of `sparsity` and `pattern`, or ones that cannot be; weights in
            the scope without moments, or with those of other sizes; NaN.
        TypeError: leaves in the scope of other numbers than floating point.

    Example:
        >>> layer = Layer(np.array([[[0], [1]]]), np.array([[[1.0, 0.5], [0.5, 1.0]]]))
        >>> params = {"kernel": np.array([[1.0], [2.0]])}
        >>> pruned, mask = fit_mask(params, Moments({"kernel": [layer]}, {}), 0.5, damping=1e-9)
        >>> pruned["kernel"].round(3).tolist(), mask["kernel"].tolist()
        ([[0.0], [2.5]], [[False], [True]])

    Source: Hassibi and Stork 1992 (optimal brain surgeon); Frantar and Alistarh 2023 (SparseGPT),
    arXiv:2301.00774.
    """
    if (sparsity is None) == (pattern is None):
        raise ValueError(
            "sparsity, pattern: must be one of them, got both or none; pattern=(2, 4) keeps half."
        )
    check_concrete("fit_mask", params)
    check_positive("damping", damping, "0.01 is usual")
    named = named_leaves(params)
    chosen = in_scope(named, scope, FLOATS)
    paths = [path for path, pick in zip(named.paths, chosen, strict=True) if pick]
    _check_moments(paths, moments)
    shares = sparsity if isinstance(sparsity, Mapping) else dict.fromkeys(paths, sparsity)
    if unknown := [path for path in shares if path not in paths]:
        raise ValueError(f"{unknown[0]}: must be a path in the scope ({some_of(paths)}).")
    weights, masks = list(named.leaves), [jnp.ones(leaf.shape, bool) for leaf in named.leaves]
    for k, (path, leaf) in enumerate(zip(named.paths, named.leaves, strict=True)):
        if chosen[k]:
            rule = _pattern(path, leaf.shape, pattern, axis) if pattern else None
            removed = removed_count(path, shares.get(path) or 0.0, leaf.size)
            weights[k], masks[k] = _fitted(path, leaf, moments.layers[path], rule, removed, damping)
    return named.rebuild(weights), named.rebuild(masks)


class _Pattern(NamedTuple):
    """Which of how many stay, along an axis of a shape."""

    n: int
    m: int
    axis: int
    shape: tuple[int, ...]


class _Group(NamedTuple):
    """Weights that meet the same inputs, and all that is known of them.

    Attributes:
        entries: `[n, channels]`, in the order in which they are gone through.
        weights: likewise.
        gram: `[n, n]`, in this order.
        damped: likewise.
        removed: how many go, None where a pattern says so.
    """

    entries: np.ndarray
    weights: np.ndarray
    gram: np.ndarray
    damped: np.ndarray
    removed: int | None

    def error(self, weights: np.ndarray) -> float:
        """Return the squared error of the outputs."""
        off = weights - self.weights
        return float(np.sum(off * (self.gram @ off)))


def _check_moments(paths: list[str], moments: Moments) -> None:
    missing = [path for path in paths if path not in moments.layers]
    if missing:
        why = [f"{path}: {moments.left_out.get(path, 'none of that path')}" for path in missing]
        raise ValueError(
            f"moments: must be of all weights in the scope, got none of {some_of(why)}; leave "
            "these out of the scope, and prune them by magnitude_mask."
        )


def _pattern(path: str, shape: tuple[int, ...], pattern: tuple[int, int], axis: int) -> _Pattern:
    n, m = pattern
    if not (isinstance(n, int) and isinstance(m, int) and 1 <= n <= m):
        raise ValueError(
            f"pattern: must be integers (n, m) with 1 <= n <= m, got {pattern}; (2, 4) keeps half."
        )
    if not -len(shape) <= axis < len(shape) or shape[axis] % m:
        raise ValueError(
            f"{path}: the length of axis {axis} must be a multiple of m={m}, got shape "
            f"{tuple(shape)}; leave this leaf out of the scope or choose another m."
        )
    return _Pattern(n, m, axis % len(shape), tuple(shape))


def _fitted(
    path: str,
    leaf: Array,
    layers: list[Layer],
    pattern: _Pattern | None,
    removed: int,
    damping: float,
) -> tuple[Array, jax.Array]:
    tensor = check_floats(path, leaf).astype(np.float64).ravel()
    entries = np.concatenate([layer.entries.ravel() for layer in layers])
    if not np.array_equal(np.sort(entries), np.arange(tensor.size)):
        raise ValueError(
            f"{path}: moments must be those of its layer, got some of {entries.size} weights for "
            f"{tensor.size}; take them of the same tree."
        )
    groups, done = [], 0
    for layer in layers:
        for rows, gram in zip(layer.entries, layer.gram, strict=True):
            share = round(removed * (done + rows.size) / tensor.size)
            count = None if pattern else share - round(removed * done / tensor.size)
            done += rows.size
            order = _order(path, rows, gram, pattern)
            rows, gram = rows[order], gram[np.ix_(order, order)]
            groups.append(_Group(rows, tensor[rows], gram, damped(gram, damping), count))
    choices = [_second_order(groups, pattern), _by_magnitude(tensor, groups, pattern, removed)]
    fits = [[_descended(g, w, k) for g, w, k in choice] for choice in choices]
    fits.append([w * keep for _, w, keep in choices[1]])
    errors = [sum(g.error(w) for g, w in zip(groups, fit, strict=True)) for fit in fits]
    best = int(np.argmin(errors))
    new, keep = tensor.copy(), np.ones(tensor.size, bool)
    chosen = zip(groups, fits[best], choices[min(best, 1)], strict=True)
    for group, values, (_, _, stays) in chosen:
        new[group.entries], keep[group.entries] = values, stays
    result = new.astype(leaf.dtype).reshape(leaf.shape)
    check_finite(path, result)
    convert = np.asarray if isinstance(leaf, np.ndarray) else jnp.asarray
    return convert(result), jnp.asarray(keep.reshape(leaf.shape))


_Choice = list[tuple[_Group, np.ndarray, np.ndarray]]
"""Groups, weights to begin with, and what stays."""


def _order(
    path: str, entries: np.ndarray, gram: np.ndarray, pattern: _Pattern | None
) -> np.ndarray:
    """Return the order of inputs: the largest last, or neighbours beside each other."""
    if pattern is None:
        return np.argsort(np.diag(gram), kind="stable")
    places = np.array(np.unravel_index(entries, pattern.shape))
    along = places[pattern.axis]
    others = np.delete(places, pattern.axis, axis=0)[..., 0]
    order = np.lexsort((along[:, 0], *others))
    lanes = (
        along[order].reshape(-1, pattern.m, entries.shape[1])
        if len(order) % pattern.m == 0
        else None
    )
    if (
        lanes is None
        or not (
            lanes == lanes[:, :1] // pattern.m * pattern.m + np.arange(pattern.m)[:, None]
        ).all()
    ):
        raise ValueError(
            f"{path}: axis {pattern.axis} must be one that meets the inputs, got one along which "
            "weights belong to other outputs; pass axis=-1 for kernels [out, in]."
        )
    return order


def _stays(scores: np.ndarray, pattern: _Pattern | None, removed: int) -> np.ndarray:
    """Return what stays of rows: all but the least, or the most of each m; ties the lower index."""
    if pattern is None:
        return np.asarray(keep_largest([scores], removed)[0])
    lanes = scores.reshape(-1, pattern.m, scores.shape[1])
    best = np.argsort(-lanes, axis=1, kind="stable")[:, : pattern.n]
    keep = np.zeros(lanes.shape, bool)
    np.put_along_axis(keep, best, np.True_, axis=1)
    return keep.reshape(scores.shape)


def _second_order(groups: list[_Group], pattern: _Pattern | None) -> _Choice:
    return [(group, *_swept(group, pattern)) for group in groups]


def _swept(group: _Group, pattern: _Pattern | None) -> tuple[np.ndarray, np.ndarray]:
    factor = np.linalg.cholesky(group.damped).T
    weights, keep = group.weights, np.ones(group.weights.shape, bool)

    def enter(rows: slice, best: np.ndarray) -> None:
        gone = 0
        if group.removed is not None:  # of what has been met by now, and had been before
            sizes = (len(weights) - rows.start, len(weights) - rows.stop)
            met, before = (round(group.removed * size / len(weights)) for size in sizes)
            gone = met - before
        costs = np.square((weights[rows] + best) * np.diag(factor)[rows, None])
        keep[rows] = _stays(costs, pattern, gone)

    def choose(row: int, best: np.ndarray) -> np.ndarray:
        return np.where(keep[row], best, -weights[row])

    block = pattern.m if pattern else BLOCK
    errors = sweep(factor, np.zeros_like(weights), choose, block=block, enter=enter)
    return (weights + errors) * keep, keep


def _by_magnitude(
    tensor: np.ndarray, groups: list[_Group], pattern: _Pattern | None, removed: int
) -> _Choice:
    if pattern is None:
        flat = np.asarray(keep_largest([np.abs(tensor)], removed)[0])
        keeps = [flat[group.entries] for group in groups]
    else:
        keeps = [_stays(np.abs(group.weights), pattern, 0) for group in groups]
    return [(g, g.weights * keep, keep) for g, keep in zip(groups, keeps, strict=True)]


def _descended(group: _Group, start: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return weights that are fitted where they stay: conjugate gradients, each channel its own."""
    matrix, weights = group.damped, start.copy()

    def scale(rows: np.ndarray) -> np.ndarray:
        return rows / np.diag(matrix)[:, None]

    residual = keep * (matrix @ (group.weights - weights))
    step = scale(residual)
    size = np.sum(residual * step, axis=0)
    for _ in range(_DESCENTS):
        moved = keep * (matrix @ step)
        along = np.sum(step * moved, axis=0)
        rate = np.where(along > 0, size / np.where(along > 0, along, 1), 0)
        weights += rate * step
        residual -= rate * moved
        new = np.sum(residual * scale(residual), axis=0)
        step = scale(residual) + np.where(size > 0, new / np.where(size > 0, size, 1), 0) * step
        size = new
    return weights
