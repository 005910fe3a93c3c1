"""Masks: trees of booleans, True where a weight is kept.

A mask covers the whole tree and is True outside its scope. Sparsity is the fraction of the
weights in the scope that are removed, in [0, 1); the denominator is the scope, not the net.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.bounds import check_sparsity, is_integer
from jaxcompress.checks import check_finite, check_fits, check_unique
from jaxcompress.kinds import NUMBERS, WEIGHTS, check_values, kind_of
from jaxcompress.placement import like, on_host
from jaxcompress.prune._scores import Score, magnitude
from jaxcompress.prune.select import keep_largest
from jaxcompress.trees import (
    NamedLeaves,
    PyTree,
    Scope,
    in_scope,
    is_traced,
    kernels,
    named_leaves,
)


def removed_count(name: str, sparsity: float, size: int) -> int:
    """Return how many of `size` weights to remove: `min(round(sparsity * size), size - 1)`.

    At least one weight is kept.

    Raises:
        ValueError: `sparsity` is not a fraction in [0, 1).
        TypeError: `sparsity` is not a number.
    """
    return max(min(round(check_sparsity(name, sparsity) * size), size - 1), 0)


def global_mask(
    params: PyTree, sparsity: float, *, score: Score = magnitude, scope: Scope = kernels
) -> PyTree:
    """Remove the weights of the smallest score over all layers together.

    Exactly `round(sparsity * n)` of the `n` weights in the scope are removed, but never the last;
    ties keep the lower index. One threshold for the net is far better than the same fraction
    per layer: a layer with few weights keeps more of them.

    Gathered to the host: outside of `jit` the scores of all leaves in the scope together, 4
    bytes for each of float32; under `jit` nothing.

    Args:
        params: any pytree of arrays.
        sparsity: fraction of the weights in the scope to remove, in [0, 1).
        score: from parameters to a tree of the same shapes; the smallest are removed.
        scope: which leaves are pruned.

    Returns:
        Tree of booleans like `params`, True where a weight is kept, all True outside the scope.
        Works under `jit` for a concrete `sparsity`, where NaN goes unnoticed.

    Raises:
        ValueError: a sparsity outside [0, 1), NaN or infinite scores, an empty scope.
        TypeError: the scope chooses leaves of other numbers than floats and complex ones.

    Example:
        >>> mask = global_mask({"kernel": np.array([[0.1, -3.0], [2.0, 0.2]])}, 0.5)
        >>> mask["kernel"].tolist()
        [[False, True], [True, False]]

    Source: Han et al. 2015, arXiv:1506.02626.
    """
    named, chosen, scores = _scored(params, score, scope)
    picked = [s for s, pick in zip(scores, chosen, strict=True) if pick]
    removed = removed_count("params", sparsity, sum(s.size for s in picked))
    masks = iter(keep_largest(picked, removed))
    return _cover(named, chosen, lambda index: next(masks))


def magnitude_mask(params: PyTree, sparsity: float, *, scope: Scope = kernels) -> PyTree:
    """Remove the weights of the smallest `|w|` over all layers together.

    `global_mask` with the score `magnitude`; see there.

    Gathered to the host: outside of `jit` the scores of all leaves in the scope together, 4
    bytes for each of float32; under `jit` nothing.

    Example:
        >>> mask = magnitude_mask({"kernel": np.ones((2, 2))}, 0.5)  # ties keep the lower index
        >>> mask["kernel"].tolist()
        [[True, True], [False, False]]
    """
    return global_mask(params, sparsity, scope=scope)


def layerwise_mask(
    params: PyTree,
    sparsity: float | Mapping[str, float],
    *,
    score: Score = magnitude,
    scope: Scope = kernels,
) -> PyTree:
    """Remove the weights of the smallest score within each leaf.

    Gathered to the host: outside of `jit` the scores of all leaves in the scope together, 4
    bytes for each of float32; under `jit` nothing.

    Args:
        params: any pytree of arrays.
        sparsity: one fraction for every leaf in the scope, or one for each by path, as
            `erk_sparsities` gives them; leaves of other paths remain dense.
        score: from parameters to a tree of the same shapes; the smallest are removed.
        scope: which leaves are pruned.

    Returns:
        Tree of booleans like `params`; see `global_mask`.

    Raises:
        ValueError: a sparsity outside [0, 1), a path that is not in the scope, NaN or infinite
            scores, an empty scope.

    Example:
        >>> params = {"a": np.array([[1.0, 2.0]]), "b": np.array([[30.0, 40.0]])}
        >>> {path: mask.tolist() for path, mask in layerwise_mask(params, 0.5).items()}
        {'a': [[False, True]], 'b': [[False, True]]}
    """
    named, chosen, scores = _scored(params, score, scope)
    if isinstance(sparsity, Mapping):
        check_unique(named.paths)
    in_reach = [path for path, pick in zip(named.paths, chosen, strict=True) if pick]
    by_path = dict(sparsity) if isinstance(sparsity, Mapping) else dict.fromkeys(in_reach, sparsity)
    unknown = sorted(set(by_path) - set(in_reach))
    if unknown:
        raise ValueError(
            f"{unknown[0]}: no leaf of that path is in the scope; paths in the scope: "
            f"{', '.join(in_reach)}."
        )

    def leaf_mask(index: int) -> jax.Array:
        path, leaf_scores = named.paths[index], scores[index]
        removed = removed_count(path, by_path.get(path, 0.0), leaf_scores.size)
        return keep_largest([leaf_scores], removed)[0]

    return _cover(named, chosen, leaf_mask)


def nm_mask(
    params: PyTree,
    n: int = 2,
    m: int = 4,
    *,
    axis: int = -2,
    score: Score = magnitude,
    scope: Scope = kernels,
) -> PyTree:
    """Keep the `n` highest scores of every `m` neighbours along `axis`.

    The sparsity is `1 - n / m` exactly. The default axis is the input axis of dense `[in, out]`
    and convolution `[..., in, out]` kernels, the one that hardware with 2:4 support expects.

    Gathered to the host: outside of `jit` the scores of all leaves in the scope together, 4
    bytes for each of float32; under `jit` nothing.

    Args:
        params: any pytree of arrays.
        n: weights kept in a group.
        m: size of a group; it divides the length of `axis` in every leaf in the scope.
        axis: where the neighbours lie.
        score: from parameters to a tree of the same shapes; the highest are kept.
        scope: which leaves are pruned.

    Returns:
        Tree of booleans like `params`; see `global_mask`. Ties keep the lower index.

    Raises:
        ValueError: not `1 <= n <= m`, or `m` does not divide the length of the axis.

    Example:
        >>> kernel = np.array([[0.1], [4.0], [3.0], [0.2]])  # [in, out]
        >>> nm_mask({"kernel": kernel}, 2, 4)["kernel"].T.tolist()
        [[False, True, True, False]]

    Source: Mishra et al. 2021, arXiv:2104.08378.
    """
    if not is_pattern(n, m):
        raise ValueError(
            f"n:m must be integers with 1 <= n <= m, got {n}:{m}; 2:4 keeps half the weights."
        )
    named, chosen, scores = _scored(params, score, scope)

    def leaf_mask(index: int) -> jax.Array:
        path, values = named.paths[index], scores[index]
        if values.ndim < -axis or values.ndim <= axis or values.shape[axis] % m:
            raise ValueError(
                f"{path}: the length of axis {axis} must be a multiple of m={m}, got shape "
                f"{tuple(values.shape)}; leave this leaf out of the scope or choose another m."
            )
        lanes = jnp.moveaxis(jnp.asarray(values), axis, -1)
        groups = lanes.reshape(*lanes.shape[:-1], -1, m)
        own, other = groups[..., :, None], groups[..., None, :]
        lower_index = jnp.tri(m, k=-1, dtype=bool)  # ties keep the lower index
        beaten_by = jnp.sum((other > own) | ((other == own) & lower_index), axis=-1)
        return jnp.moveaxis((beaten_by < n).reshape(lanes.shape), -1, axis)

    return _cover(named, chosen, leaf_mask)


def is_pattern(n: Any, m: Any) -> bool:
    """Return whether `n` of `m` neighbours can be kept: integers with `1 <= n <= m`."""
    return is_integer(n) and is_integer(m) and 1 <= n <= m


def _scored(
    params: PyTree, score: Score, scope: Scope
) -> tuple[NamedLeaves, list[bool], list[Any]]:
    """Return the leaves by name, whether each is in the scope, and their checked scores."""
    named = named_leaves(params)
    chosen = in_scope(named, scope, kinds=WEIGHTS, shapes=True)
    scored = score(params)
    check_fits("score", scored, "params", params)
    scores = jax.tree.leaves(scored)
    for path, values, pick in zip(named.paths, scores, chosen, strict=True):
        if pick and not is_traced(values):
            check_values(path, values)
            check_finite(path, on_host(values))
    return named, chosen, scores


def _ones(leaf: Any) -> Any:
    if kind_of(leaf) in NUMBERS.members:
        return like(jnp.ones(leaf.shape, bool), leaf)
    return np.ones(leaf.shape, bool)


def _cover(named: NamedLeaves, chosen: list[bool], leaf_mask: Any) -> PyTree:
    """Build the whole mask: `leaf_mask(index)` in the scope, True elsewhere.

    On leaves without zeros, such as random keys, it is a numpy array, known under `jit` too.
    """
    return named.rebuild(
        [
            like(leaf_mask(index), leaf) if pick else _ones(leaf)
            for index, (leaf, pick) in enumerate(zip(named.leaves, chosen, strict=True))
        ]
    )
