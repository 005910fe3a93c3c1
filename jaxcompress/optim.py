"""Optax transforms that keep an invariant while training.

Masking gradients is not enough: momentum and weight decay go on moving a weight whose gradient
is zero. These transforms see the final update, so that what must hold, holds exactly after
every step. Their state lives in `opt_state`: checkpoints and sharding come free.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcompress.leaves import Clustered, is_compressed
from jaxcompress.prune.masks import removed_count
from jaxcompress.prune.select import keep_largest
from jaxcompress.schedules import cubic_sparsity
from jaxcompress.trees import (
    NamedLeaves,
    PyTree,
    Scope,
    in_scope,
    is_traced,
    kernels,
    named_leaves,
)


class HoldMaskState(NamedTuple):
    """State of `hold_mask`: the mask itself."""

    mask: PyTree


class GradualPruningState(NamedTuple):
    """State of `gradual_pruning`: steps taken, and the mask of now."""

    step: jax.Array
    mask: PyTree


class ShareCentroidsState(NamedTuple):
    """State of `share_centroids`.

    Attributes:
        inner: state of the wrapped optimizer, on centroids.
        codes: per leaf, the cluster of every weight, 0 where pruned; None if not shared.
        first: per leaf, the position of one member of each cluster; None if not shared.
    """

    inner: Any
    codes: list[jax.Array | None]
    first: list[jax.Array | None]


def hold_mask(mask: PyTree) -> optax.GradientTransformation:
    """Keep pruned weights at exactly zero; put it last in the chain.

    `update = where(mask, update, -param)`, so that `param + update` is 0 where the mask is False,
    whatever momentum and weight decay asked for.

    Args:
        mask: tree of booleans like the params, as `magnitude_mask` gives it.

    Returns:
        A transform for the end of `optax.chain`; its `update` needs `params`.

    Raises:
        ValueError: in `init`, when mask and params do not match; in `update`, without params.

    Example:
        >>> tx = optax.chain(optax.adam(0.1), hold_mask({"w": np.array([True, False])}))
        >>> params = {"w": jnp.array([1.0, 0.5])}
        >>> updates, _ = tx.update({"w": jnp.ones(2)}, tx.init(params), params)
        >>> [round(float(w), 3) for w in optax.apply_updates(params, updates)["w"]]
        [0.9, 0.0]
    """

    def init(params: PyTree) -> PyTree:
        _check_leaves("mask", mask, params)
        return HoldMaskState(jax.tree.map(jnp.asarray, mask))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        _check_params("hold_mask", params)
        return _map_leaves(_hold, updates, params, state.mask), state

    return optax.GradientTransformation(init, update)


def gradual_pruning(
    sparsity: float,
    *,
    begin: int,
    end: int,
    every: int = 1,
    initial: float = 0.0,
    scope: Scope = kernels,
) -> optax.GradientTransformation:
    """Prune by magnitude while training, on the cubic schedule; put it last in the chain.

    At steps `begin, begin + every, ...` and `end` the mask is drawn anew over all leaves in the
    scope together, from the weights as they would be after the update; `current_mask(opt_state)`
    reads it. What is pruned stays pruned, and at step `end` exactly `round(sparsity * n)` of the
    `n` weights in the scope are zero.

    Args:
        sparsity: final fraction of the weights in the scope, in [0, 1).
        begin: optimizer step of the first pruning, from 0.
        end: optimizer step of the last.
        every: steps from one pruning to the next.
        initial: sparsity of the first pruning.
        scope: which leaves are pruned.

    Returns:
        A transform for the end of `optax.chain`; its `update` needs `params`.

    Raises:
        ValueError: as `cubic_sparsity`, `every` below 1, an empty scope.

    Source: Zhu and Gupta 2017, arXiv:1710.01878.
    """
    schedule = cubic_sparsity(sparsity, begin=begin, end=end, initial=initial)
    if every < 1:
        raise ValueError(f"every: must be at least 1 step, got {every}; 100 is usual.")

    def init(params: PyTree) -> PyTree:
        in_scope(named_leaves(params), scope)
        mask = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
        return GradualPruningState(jnp.zeros([], jnp.int32), mask)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        _check_params("gradual_pruning", params)
        chosen = in_scope(named_leaves(params), scope)
        masks = jax.tree.leaves(state.mask)
        moved = jax.tree.leaves(_map_leaves(jnp.add, params, updates))
        size = sum(m.size for m, pick in zip(masks, chosen, strict=True) if pick)
        final = removed_count("params", sparsity, size)
        by_schedule = jnp.round(schedule(state.step) * size).astype(jnp.int32)
        removed = jnp.where(state.step >= end, final, jnp.minimum(by_schedule, final))

        def prune(masks: list[jax.Array]) -> list[jax.Array]:
            # Pruned weights score below all others, so that none of them comes back.
            scores = [
                jnp.where(m, abs(w), -1)
                for m, w, pick in zip(masks, moved, chosen, strict=True)
                if pick
            ]
            drawn = iter(keep_largest(scores, removed))
            return [next(drawn) if pick else m for m, pick in zip(masks, chosen, strict=True)]

        due = ((state.step - begin) % every == 0) & (state.step >= begin) & (state.step < end)
        masks = jax.lax.cond(due | (state.step == end), prune, lambda masks: masks, masks)
        mask = jax.tree.unflatten(jax.tree.structure(state.mask), masks)
        held = _map_leaves(_hold, updates, params, mask)
        return held, GradualPruningState(jnp.asarray(optax.safe_increment(state.step)), mask)

    return optax.GradientTransformation(init, update)


def share_centroids(
    inner: optax.GradientTransformation, shared: PyTree
) -> optax.GradientTransformation:
    """Let `inner` train the centroids of shared weights instead of the weights.

    The gradient of a centroid is the sum of its members' gradients; moments and weight decay of
    `inner` live on centroids; its update of a centroid goes to every member. Members start equal
    and take equal updates, so that a leaf keeps at most `k` distinct non-zero values, exactly.
    Leaves that are not shared train as ever. Pruned weights stay zero.

    Args:
        inner: any optax transform that works entry by entry.
        shared: tree with `Clustered` leaves, as `kmeans` gives it; train `dense(shared)`.

    Returns:
        A transform that wraps `inner`; its `update` needs `params`.

    Raises:
        ValueError: in `init`, when the params are not `dense(shared)`; in `update`, without
            params.

    Source: Han et al. 2016 (Deep Compression), arXiv:1510.00149, section 3.
    """
    named = named_leaves(shared, is_leaf=is_compressed)
    if not any(isinstance(leaf, Clustered) for leaf in named.leaves):
        raise ValueError(
            "shared: at least one leaf must be Clustered, got none; make it with kmeans."
        )

    def init(params: PyTree) -> PyTree:
        _check_leaves("shared", named.leaves, params)
        if not is_traced(params):
            _check_shared(named, params)
        codes = [
            jnp.asarray(leaf.codes) if isinstance(leaf, Clustered) else None
            for leaf in named.leaves
        ]
        first = [
            jnp.asarray(_first_members(leaf)) if isinstance(leaf, Clustered) else None
            for leaf in named.leaves
        ]
        centroids = list(map(_centroids, jax.tree.leaves(params), first))
        return ShareCentroidsState(inner.init(centroids), codes, first)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        _check_params("share_centroids", params)
        gradients, treedef = jax.tree.flatten(updates)
        tensors = jax.tree.leaves(params)
        sums = list(map(_sum_by_cluster, gradients, state.codes, state.first))
        centroids = list(map(_centroids, tensors, state.first))
        steps, inner_state = inner.update(sums, state.inner, centroids)
        moved = list(map(_to_members, jax.tree.leaves(steps), state.codes, tensors))
        return jax.tree.unflatten(treedef, moved), state._replace(inner=inner_state)

    return optax.GradientTransformation(init, update)


def current_mask(opt_state: PyTree) -> PyTree:
    """Return the mask that `hold_mask` or `gradual_pruning` keeps in an optimizer state.

    Raises:
        ValueError: `opt_state` holds no mask, or more than one.
    """
    kinds = (HoldMaskState, GradualPruningState)
    found = [
        node
        for node in jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kinds))
        if isinstance(node, kinds)
    ]
    if len(found) != 1:
        raise ValueError(
            f"opt_state: must hold one mask, got {len(found)}; chain exactly one of hold_mask and "
            "gradual_pruning."
        )
    return found[0].mask


def _hold(update: jax.Array, param: jax.Array, mask: jax.Array) -> jax.Array:
    return jnp.where(mask, update, -param.astype(update.dtype))


def _map_leaves(function: Callable[..., jax.Array], tree: PyTree, *others: PyTree) -> PyTree:
    """Map over leaves by position: some libraries wrap the same leaves in other containers."""
    leaves, treedef = jax.tree.flatten(tree)
    return jax.tree.unflatten(
        treedef, list(map(function, leaves, *(jax.tree.leaves(other) for other in others)))
    )


def _check_leaves(name: str, tree: PyTree, params: PyTree) -> None:
    """Refuse a tree that has not the leaves of params, of the same shapes."""
    named = named_leaves(params)
    leaves = jax.tree.leaves(tree, is_leaf=is_compressed)
    if len(leaves) != len(named.leaves):
        raise ValueError(
            f"{name}: must have a leaf for each of the {len(named.leaves)} of params, got "
            f"{len(leaves)}; build it from the same tree."
        )
    for path, leaf, param in zip(named.paths, leaves, named.leaves, strict=True):
        if tuple(leaf.shape) != tuple(param.shape):
            raise ValueError(
                f"{path}: {name} must have the shape of the params, {tuple(param.shape)}, got "
                f"{tuple(leaf.shape)}; build it from the same tree."
            )


def _check_params(name: str, params: PyTree | None) -> None:
    if params is None:
        raise ValueError(f"{name}: update needs params; call tx.update(grads, state, params).")


def _check_shared(named: NamedLeaves, params: PyTree) -> None:
    """Refuse params that are not the dense form of the leaves: members must start equal."""
    for path, leaf, tensor in zip(named.paths, named.leaves, jax.tree.leaves(params), strict=True):
        if isinstance(leaf, Clustered) and not np.array_equal(leaf.dense(), tensor):
            raise ValueError(
                f"{path}: params must be the shared weights themselves, got other values; start "
                "from dense(shared)."
            )


def _first_members(leaf: Clustered) -> np.ndarray:
    """Return for each cluster the position of its first member, 0 where it has none."""
    used, first = np.unique(np.asarray(leaf.codes).ravel(), return_index=True)
    positions = np.zeros(len(leaf.codebook) + 1, np.int32)
    positions[used] = first
    return positions[1:]


# In what follows a leaf that is not shared has None for codes and first members, and passes.


def _centroids(tensor: jax.Array, first: jax.Array | None) -> jax.Array:
    return tensor if first is None else tensor.ravel()[first]


def _sum_by_cluster(
    gradient: jax.Array, codes: jax.Array | None, first: jax.Array | None
) -> jax.Array:
    if codes is None or first is None:
        return gradient
    sums = jnp.zeros(first.size + 1, gradient.dtype).at[codes.ravel()].add(gradient.ravel())
    return sums[1:]


def _to_members(step: jax.Array, codes: jax.Array | None, tensor: jax.Array) -> jax.Array:
    """Give every member the step of its centroid, and pruned weights the step back to zero."""
    if codes is None:
        return step
    table = jnp.concatenate([jnp.zeros(1, step.dtype), step])
    return jnp.where(codes == 0, -tensor.astype(step.dtype), table[codes])
