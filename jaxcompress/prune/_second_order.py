"""Pruning that keeps the outputs of a layer: the kept weights make up for the removed ones."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.bounds import check_positive, is_integer
from jaxcompress.checks import check_concrete, check_finite, check_floats
from jaxcompress.kinds import FLOATS
from jaxcompress.leaves import dense
from jaxcompress.placement import like, on_host
from jaxcompress.products.moments import Layer, Moments
from jaxcompress.products.recursion import DAMPING
from jaxcompress.prune._compensation import Choose, Group, fitted, group_of
from jaxcompress.prune.masks import is_pattern, layerwise_mask, nm_mask
from jaxcompress.prune.select import keep_largest
from jaxcompress.trees import (
    Array,
    PyTree,
    Scope,
    as_jax,
    in_scope,
    kernels,
    named_leaves,
    some_of,
)

_CHOSEN = (
    16  # inputs whose weights are chosen at a time: with 128 errors were up to 2.6 times larger
)


def fit_mask(
    params: PyTree,
    moments: Moments,
    *,
    sparsity: float | Mapping[str, float] | None = None,
    pattern: tuple[int, int] | None = None,
    axis: int = -2,
    damping: float = DAMPING,
    scope: Scope = kernels,
) -> tuple[PyTree, PyTree]:
    """Prune so that the outputs of layers change little: the kept weights are fitted anew.

    Removing a weight `w_i` costs `w_i^2 / [G^-1]_ii` in the squared error of its channel's output,
    where `G` are the second moments of the inputs, if all other weights then change by
    `delta w = -w_i / [G^-1]_ii * G^-1[:, i]`. Inputs are processed in blocks, the smallest first:
    in each block the weights of least cost are removed, and the weights of later blocks make up
    for them (SparseGPT, by the recursion of `fit_rounding`). Then all kept weights are fitted by
    conjugate gradients. A leaf takes the magnitude mask instead, with fitted or unchanged weights,
    where its error is smaller.

    Args:
        params: any pytree of arrays; compressed leaves are made dense.
        moments: from `input_moments`, on training data.
        sparsity: fraction removed of each leaf in the scope, in [0, 1), or fractions by path;
            exactly `round(sparsity * n)` weights are removed, but never the last. Leaves that
            lose no weight are returned as they are and need no moments.
        pattern: `(n, m)` keeps `n` of `m` neighbours along `axis`, in place of `sparsity`.
        axis: where the neighbours lie, an input axis.
        damping: fraction of the mean second moment that is added to each.
        scope: which leaves are pruned.

    Returns:
        The parameters, zeros for removed weights, and a tree of booleans like them for `hold_mask`.

    Raises:
        ValueError: both or none of `sparsity` and `pattern`, or ones that cannot be; weights in
            the scope without moments, or with those of other sizes; NaN.
        TypeError: leaves in the scope of other numbers than floating point; called under `jit`.

    Example:
        >>> layer = Layer(np.array([[[0], [1]]]), np.array([[[1.0, 0.5], [0.5, 1.0]]]))
        >>> params = {"kernel": np.array([[1.0], [2.0]])}
        >>> moments = Moments({"kernel": [layer]}, {})
        >>> pruned, mask = fit_mask(params, moments, sparsity=0.5, damping=1e-9)
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
    params = dense(params)
    named = named_leaves(params)
    chosen = in_scope(named, scope, kinds=FLOATS)
    paths = [path for path, pick in zip(named.paths, chosen, strict=True) if pick]
    for path, leaf, pick in zip(named.paths, named.leaves, chosen, strict=True):
        if pick:
            check_floats(path, leaf)
    if sparsity is not None:
        fractions = sparsity if isinstance(sparsity, Mapping) else dict.fromkeys(paths, sparsity)
        plain = layerwise_mask(params, fractions, scope=scope)
    else:  # there is a pattern
        pattern = _checked_pattern(pattern, axis)
        plain = nm_mask(params, *pattern, axis=axis, scope=scope)
    masks = named_leaves(plain).leaves
    losing = {
        path: leaf.shape
        for path, leaf, mask in zip(named.paths, named.leaves, masks, strict=True)
        if not np.all(on_host(mask))
    }
    _check_moments(losing, moments)
    weights = list(named.leaves)
    for k, (path, leaf) in enumerate(zip(named.paths, named.leaves, strict=True)):
        if path in losing:
            rule = None if pattern is None else _Pattern(*pattern, axis % leaf.ndim, leaf.shape)
            keep = on_host(masks[k])
            weights[k], masks[k] = _fitted(path, leaf, moments.layers[path], rule, keep, damping)
    return named.rebuild(weights), named.rebuild(masks)


class _Pattern(NamedTuple):
    """How many of how many neighbours are kept, along an axis of a shape."""

    n: int
    m: int
    axis: int
    shape: tuple[int, ...]


def _checked_pattern(pattern: Any, axis: Any) -> tuple[int, int]:
    two = isinstance(pattern, tuple | list) and len(pattern) == 2
    if not (two and is_pattern(*pattern)):
        raise ValueError(
            f"pattern: must be integers (n, m) with 1 <= n <= m, got {pattern}; (2, 4) keeps half."
        )
    if not is_integer(axis):
        raise TypeError(f"axis: must be an integer, got {axis!r}; -2 is that of [in, out].")
    return int(pattern[0]), int(pattern[1])


def _check_moments(losing: dict[str, tuple[int, ...]], moments: Moments) -> None:
    """Refuse leaves that lose weights but whose moments are not all known."""
    missing = [path for path in losing if path not in moments.layers]
    if missing:
        why = [f"{path}: {moments.left_out.get(path, 'none of that path')}" for path in missing]
        raise ValueError(
            f"moments: must be of all weights in the scope, got none of {some_of(why)}; leave "
            "these out of the scope, and prune them by magnitude_mask."
        )
    for path, shape in losing.items():
        layers, size = moments.layers[path], int(np.prod(shape))
        entries = np.concatenate([layer.entries.ravel() for layer in layers])
        if not np.array_equal(np.sort(entries), np.arange(size)):
            raise ValueError(
                f"{path}: moments must be those of its layer, got some of {entries.size} weights "
                f"for {size}; take them of the same tree."
            )
        for layer in layers:
            groups, n, _ = layer.entries.shape
            if layer.gram.shape != (groups, n, n):
                raise ValueError(
                    f"{path}: moments must be of shape {(groups, n, n)}, got {layer.gram.shape}; "
                    "take them by input_moments."
                )
            check_finite(f"{path}: moments of its inputs", layer.gram)


def _fitted(
    path: str,
    leaf: Array,
    layers: list[Layer],
    pattern: _Pattern | None,
    plain: np.ndarray,
    damping: float,
) -> tuple[Array, jax.Array]:
    tensor = np.asarray(on_host(leaf), np.float64).ravel()
    unit = np.abs(tensor).max() or 1.0
    tensor = tensor / unit
    groups = [
        group_of(tensor, rows, gram, damping, _bundles(path, rows, pattern))
        for layer in layers
        for rows, gram in zip(layer.entries, layer.gram, strict=True)
    ]

    def stored(weights: np.ndarray) -> np.ndarray:
        """Return weights as their dtype has them, infinite beyond its range."""
        with np.errstate(over="ignore"):
            return (weights * unit).astype(leaf.dtype).astype(np.float64) / unit

    flat = plain.ravel()
    given: list[Choose] = [
        lambda rows, _, group=group: flat[group.entries[rows]] for group in groups
    ]
    tried = []
    for chooses in (given, _choices(groups, pattern, flat)):
        total, keep, new = 0.0, np.ones(tensor.size, bool), np.zeros(tensor.size)
        for group, choose in zip(groups, chooses, strict=True):
            kept, moved = fitted(group, choose, pattern.m if pattern else _CHOSEN)
            moved, still = stored(moved), np.where(kept, group.weights, 0)
            after, before = group.loss(moved), group.loss(still)
            better = after < before  # never where weights are infinite
            keep[group.entries], total = kept, total + np.where(better, after, before).sum()
            new[group.entries] = np.where(better, moved, still)
        tried.append((total, keep, new))
    _, keep, new = min(tried, key=lambda one: one[0])
    result = np.where(keep, new * unit, 0).astype(leaf.dtype).reshape(leaf.shape)
    mask = like(jnp.asarray(keep.reshape(leaf.shape)), leaf)
    return result if isinstance(leaf, np.ndarray) else like(as_jax(result), leaf), mask


def _bundles(path: str, entries: np.ndarray, pattern: _Pattern | None) -> np.ndarray | None:
    """Return the rows `[bundles, m]` of neighbours."""
    if pattern is None:
        return None
    places = np.array(np.unravel_index(entries, pattern.shape))
    along = places[pattern.axis]
    others = np.delete(places, pattern.axis, axis=0)
    order = np.lexsort((along[:, 0], *others[..., 0]))
    if len(order) % pattern.m == 0:
        places[pattern.axis] //= pattern.m
        alike = places[:, order].reshape(len(places), -1, pattern.m, entries.shape[1])
        if (alike == alike[:, :, :1]).all():
            return order.reshape(-1, pattern.m)
    raise ValueError(
        f"{path}: axis {pattern.axis} must be an input axis, got one along which "
        "weights belong to other outputs; pass axis=-1 for kernels [out, in], and axis=-2 for "
        "[in, out]."
    )


def _choices(groups: list[Group], pattern: _Pattern | None, plain: np.ndarray) -> list[Choose]:
    """Return for each group how weights are chosen: the best of m neighbours, or some of a block.

    The costs before any removal, over all groups together, decide how many a block loses.
    """
    if pattern is not None:
        return [partial(_highest, pattern.n)] * len(groups)
    scores = [group.scores(slice(None), group.weights) for group in groups]
    removed = [~np.asarray(keep) for keep in keep_largest(scores, int(np.sum(~plain)))]

    def choose(rows: slice, scores: np.ndarray, removed: np.ndarray) -> np.ndarray:
        return np.asarray(keep_largest([scores], int(np.sum(removed[rows])))[0])

    return [partial(choose, removed=part) for part in removed]


def _highest(n: int, rows: slice, scores: np.ndarray) -> np.ndarray:
    del rows
    keep = np.zeros(scores.shape, bool)
    np.put_along_axis(keep, np.argsort(-scores, axis=0, kind="stable")[:n], np.True_, axis=0)
    return keep
