"""Sharing held while training: the optimizer sees centroids, the network sees weights."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcompress.checks import check_fits
from jaxcompress.leaves import Clustered, decoded, uncoded
from jaxcompress.leaves.tree import is_coded
from jaxcompress.optim._by_leaf import check_params, flatten, seen
from jaxcompress.placement import beside, by_compiler, like, on_host
from jaxcompress.trees import PyTree, is_traced, named_leaves, widened


class ShareCentroidsState(NamedTuple):
    """State of `share_centroids`.

    Attributes:
        inner: state of the wrapped optimizer, on centroids.
        codes: per leaf, the cluster of every weight, 0 where pruned; None if not shared.
        first: per leaf `[axes, k]`, the place of one member of each cluster; None if not shared.
    """

    inner: Any
    codes: list[jax.Array | None]
    first: list[jax.Array | None]


def share_centroids(
    inner: optax.GradientTransformation, shared: PyTree
) -> optax.GradientTransformationExtraArgs:
    """Let `inner` train the centroids of shared weights instead of the weights.

    The gradient of a centroid is the sum of its members' gradients; moments and weight decay of
    `inner` live on centroids; its update of a centroid goes to every member. Members start equal
    and take equal updates, so that a leaf keeps at most `k` distinct non-zero values, exactly.
    Leaves that are not shared train as usual. Pruned weights remain zero.

    Gathered to the host: in `init` codes and weights of one shared leaf at a time, 10 bytes for
    each weight of float32; in `update` nothing.

    Args:
        inner: any optax transform that works entry by entry. It sees the tree of the params, with
            the centroids of a shared leaf as an array `[k, 1, ..., 1]` of the rank of the leaf.
        shared: tree with `Clustered` leaves, as `kmeans` and similar functions give it; train
            `dense(shared)`.

    Returns:
        A transform that wraps `inner`; its `update` needs `params`.

    Raises:
        ValueError: in `init`, when the params are not `dense(shared)`; in `update`, without
            params.

    Example:
        >>> leaf = Clustered(codes=np.array([1, 1, 2], np.uint8), codebook=np.array([1, 3], "f"))
        >>> tx = share_centroids(optax.sgd(0.5), {"w": leaf})
        >>> params = {"w": jnp.array([1.0, 1.0, 3.0])}
        >>> updates, _ = tx.update({"w": jnp.array([1.0, 2.0, 4.0])}, tx.init(params), params)
        >>> updates["w"].tolist()  # the first two share a value
        [-1.5, -1.5, -2.0]

    Source: Han et al. 2016 (Deep Compression), arXiv:1510.00149, section 3.
    """
    shared = uncoded(shared)
    if not _clustered(shared):
        raise ValueError(
            "shared: at least one leaf must be Clustered, got none; make it with kmeans."
        )
    inner = optax.with_extra_args_support(inner)

    def init(params: PyTree) -> PyTree:
        own = seen(shared, params, is_leaf=is_coded)
        check_fits("shared", decoded(own), "params", params)
        if not _clustered(own):
            raise ValueError(
                "shared: at least one Clustered leaf must be among the params that this transform "
                "is given, got none; give their paths its label."
            )
        if not is_traced(params):
            _check_shared(own, params)
        leaves, _ = flatten(own, is_leaf=is_coded)
        tensors, treedef = flatten(params)
        # Copies: a training step may donate the buffers of the state, but not the caller's.
        codes = [
            like(jnp.array(leaf.codes, copy=True), tensor) if isinstance(leaf, Clustered) else None
            for leaf, tensor in zip(leaves, tensors, strict=True)
        ]
        first = [
            beside(jnp.asarray(_first_members(leaf)), tensor)
            if isinstance(leaf, Clustered)
            else None
            for leaf, tensor in zip(leaves, tensors, strict=True)
        ]
        centroids = jax.tree.unflatten(treedef, list(map(_centroids, tensors, first)))
        return ShareCentroidsState(inner.init(centroids), codes, first)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[PyTree, Any]:
        check_params("share_centroids", params)
        gradients, treedef = flatten(updates)
        tensors, params_treedef = flatten(params)
        sums = list(map(_sum_by_cluster, gradients, state.codes, state.first))
        centroids = list(map(_centroids, tensors, state.first))
        steps, inner_state = inner.update(
            jax.tree.unflatten(treedef, sums),
            state.inner,
            jax.tree.unflatten(params_treedef, centroids),
            **extra_args,
        )
        moved = list(map(_to_members, flatten(steps)[0], state.codes, tensors))
        return jax.tree.unflatten(treedef, moved), state._replace(inner=inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def _clustered(shared: PyTree) -> bool:
    leaves, _ = flatten(shared, is_leaf=is_coded)
    return any(isinstance(leaf, Clustered) for leaf in leaves)


def _check_shared(shared: PyTree, params: PyTree) -> None:
    """Refuse params that are not the dense form of the leaves: members must start equal."""
    named = named_leaves(shared, is_leaf=is_coded)
    for path, leaf, tensor in zip(named.paths, named.leaves, jax.tree.leaves(params), strict=True):
        if isinstance(leaf, Clustered) and not np.array_equal(
            on_host(leaf.dense()), on_host(tensor)
        ):
            raise ValueError(
                f"{path}: params must be the shared weights themselves, got other values; start "
                "from dense(shared)."
            )


def _first_members(leaf: Clustered) -> np.ndarray:
    """Return the indices of the first member of each cluster, 0 if it has none.

    One index for each axis, since 32 bits cannot number the entries of every leaf.
    """
    used, first = np.unique(on_host(leaf.codes).ravel(), return_index=True)
    positions = np.zeros(len(leaf.codebook) + 1, np.int64)
    positions[used] = first
    places = np.unravel_index(positions[1:], leaf.shape or (1,))
    return np.array(places, np.int32)


# Below, a leaf that is not shared has None for codes and first members, and is returned unchanged;
# so is a missing update.


def _centroids(tensor: jax.Array, first: jax.Array | None) -> jax.Array:
    if first is None:
        return tensor

    def picked(tensor: jax.Array, first: jax.Array) -> jax.Array:
        return _with_rank(jnp.atleast_1d(tensor)[tuple(first)], tensor.ndim)

    return by_compiler(picked, tensor, first)


def _sum_by_cluster(
    gradient: jax.Array | None, codes: jax.Array | None, first: jax.Array | None
) -> jax.Array | None:
    """Sum in single precision at least: a small type would stop counting after 256 terms."""
    if gradient is None or codes is None or first is None:
        return gradient
    k = first.shape[1]

    def summed(gradient: jax.Array, codes: jax.Array) -> jax.Array:
        wide = widened(gradient)
        sums = jnp.zeros(k + 1, wide.dtype).at[codes.ravel()].add(wide.ravel())
        return _with_rank(sums[1:].astype(gradient.dtype), gradient.ndim)

    return by_compiler(summed, gradient, codes)


def _with_rank(centroids: jax.Array, rank: int) -> jax.Array:
    """Return `[k]` as `[k, 1, ..., 1]`: inner transforms may ask a leaf for its rank."""
    return centroids.reshape(-1, *[1] * (rank - 1)) if rank else centroids


def _to_members(
    step: jax.Array | None, codes: jax.Array | None, tensor: jax.Array
) -> jax.Array | None:
    """Give every member the update of its centroid, and pruned weights the update back to zero."""
    if step is None or codes is None:
        return step

    def moved(step: jax.Array, codes: jax.Array, tensor: jax.Array) -> jax.Array:
        table = jnp.concatenate([jnp.zeros(1, step.dtype), step.ravel()])
        return jnp.where(codes == 0, -tensor, table[codes])

    return by_compiler(moved, step, codes, tensor, like=tensor)
