"""Masks held while training: pruned weights remain exactly zero.

Masking gradients is not enough: momentum and weight decay still move a weight whose gradient is
zero. These transforms change the final update, so that pruned weights are exactly zero after every
step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcompress.checks import check_fits, check_known
from jaxcompress.kinds import NUMBERS, WEIGHTS, Kind, kind_of
from jaxcompress.optim._by_leaf import check_params, is_hidden, map_leaves, seen
from jaxcompress.optim._schedules import cubic_sparsity
from jaxcompress.placement import like
from jaxcompress.prune.counts import as_count, rounded, smallest, where
from jaxcompress.prune.masks import removed_count
from jaxcompress.prune.select import keep_largest
from jaxcompress.prune.zeros import check_zeros
from jaxcompress.trees import PyTree, Scope, in_scope, kernels, named_leaves


class HoldMaskState(NamedTuple):
    """State of `hold_mask`: the mask itself."""

    mask: PyTree


class GradualPruningState(NamedTuple):
    """State of `gradual_pruning`: steps taken, and the present mask."""

    step: jax.Array
    mask: PyTree


def hold_mask(mask: PyTree) -> optax.GradientTransformation:
    """Keep pruned weights at exactly zero; put it last in the chain.

    `update = where(mask, update, -param)`, so that `param + update` is 0 where the mask is False,
    whatever the updates of momentum and weight decay.

    Gathered to the host: nothing.

    Args:
        mask: tree of booleans like the params, as `magnitude_mask` gives it. Inside
            `optax.multi_transform` or `optax.masked` it may cover the whole network.

    Returns:
        A transform for the end of `optax.chain`; its `update` needs `params`.

    Raises:
        ValueError: in `init`, when mask and params do not match; in `update`, without params.
        TypeError: in `init`, when the mask is False on random keys and the like.

    Example:
        >>> tx = optax.chain(optax.adam(0.1), hold_mask({"w": jnp.array([True, False])}))
        >>> params = {"w": jnp.array([1.0, 0.5])}
        >>> updates, _ = tx.update({"w": jnp.ones(2)}, tx.init(params), params)
        >>> [round(float(w), 3) for w in optax.apply_updates(params, updates)["w"]]
        [0.9, 0.0]
    """

    def init(params: PyTree) -> PyTree:
        own, named = seen(mask, params), named_leaves(params)
        check_fits("mask", own, "params", params)
        for path, leaf, part in zip(named.paths, named.leaves, jax.tree.leaves(own), strict=True):
            check_zeros(path, leaf, part)
        # A copy: a training step may donate the buffers of the state, but not the caller's.
        return HoldMaskState(map_leaves(_copied, own, params))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        check_params("hold_mask", params)
        return map_leaves(_hold, updates, params, state.mask), state

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
    reads it. Pruned weights remain pruned, and at step `end` exactly `round(sparsity * n)` of the
    `n` weights in the scope are zero.

    Gathered to the host: nothing.

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
        TypeError: the scope chooses leaves of other numbers than floats and complex ones.

    Example:
        >>> tx = optax.chain(optax.sgd(0.0), gradual_pruning(0.5, begin=0, end=1))
        >>> params = {"w": jnp.array([[4.0, 3.0], [2.0, 1.0]])}
        >>> state = tx.init(params)
        >>> for _ in range(2):
        ...     updates, state = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> params["w"].tolist()
        [[4.0, 3.0], [0.0, 0.0]]

    Source: Zhu and Gupta 2017, arXiv:1710.01878.
    """
    schedule = cubic_sparsity(sparsity, begin=begin, end=end, initial=initial)
    if every < 1:
        raise ValueError(f"every: must be at least 1 step, got {every}; 100 is usual.")

    def init(params: PyTree) -> PyTree:
        in_scope(named_leaves(params), scope, kinds=WEIGHTS, shapes=True)
        mask = jax.tree.map(lambda leaf: like(jnp.ones(leaf.shape, bool), leaf), params)
        return GradualPruningState(jnp.zeros([], jnp.int32), mask)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        check_params("gradual_pruning", params)
        chosen = in_scope(named_leaves(params), scope, kinds=WEIGHTS)
        masks = jax.tree.leaves(state.mask)
        moved = jax.tree.leaves(map_leaves(_moved, params, updates))
        size = sum(m.size for m, pick in zip(masks, chosen, strict=True) if pick)
        final = as_count(removed_count("params", sparsity, size))
        by_schedule = rounded(jnp.asarray(schedule(state.step) * float(size)))
        removed = where(state.step >= end, final, smallest(by_schedule, final))

        def prune(masks: list[jax.Array]) -> list[jax.Array]:
            # Pruned weights score below all others, so that they remain pruned.
            scores = [
                jnp.where(m, abs(w), -1)
                for m, w, pick in zip(masks, moved, chosen, strict=True)
                if pick
            ]
            drawn = iter(keep_largest(scores, removed))
            return [
                like(next(drawn), m) if pick else m for m, pick in zip(masks, chosen, strict=True)
            ]

        due = ((state.step - begin) % every == 0) & (state.step >= begin) & (state.step < end)
        masks = jax.lax.cond(due | (state.step == end), prune, lambda masks: masks, masks)
        mask = jax.tree.unflatten(jax.tree.structure(state.mask), masks)
        held = map_leaves(_hold, updates, params, mask)
        return held, GradualPruningState(jnp.asarray(optax.safe_increment(state.step)), mask)

    return optax.GradientTransformation(init, update)


def current_mask(opt_state: PyTree, *, params: PyTree | None = None) -> PyTree:
    """Return the mask that `hold_mask` or `gradual_pruning` keeps in an optimizer state.

    Args:
        opt_state: of any chain or wrapper of optax.
        params: the whole network, where `optax.multi_transform` or `optax.masked` hides parts of
            it from the transform; masks of several labels are put together; leaves without a
            mask are True.

    Raises:
        ValueError: `opt_state` holds no mask, more than one of the same leaf, or without `params`
            one that does not cover the network.

    Example:
        >>> tx = optax.chain(optax.sgd(0.1), hold_mask({"w": jnp.array([True, False])}))
        >>> current_mask(tx.init({"w": jnp.zeros(2)}))["w"].tolist()
        [True, False]
    """
    kinds = (HoldMaskState, GradualPruningState)
    found = [
        node
        for node in jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kinds))
        if isinstance(node, kinds)
    ]
    masks = [node.mask for node in found]
    hidden = any(map(is_hidden, jax.tree.leaves(masks, is_leaf=is_hidden)))
    if len(masks) != 1 and (params is None or not masks):
        raise ValueError(
            f"opt_state: must hold one mask, got {len(masks)}; chain exactly one of hold_mask and "
            "gradual_pruning, or pass params where each has a label of its own."
        )
    if params is None and hidden:
        raise ValueError(
            "opt_state: must hold a mask of the whole network, got one of a part; pass params, "
            "the rest is True then."
        )
    return masks[0] if params is None else _together(masks, params)


def _together(masks: list[PyTree], params: PyTree) -> PyTree:
    named, by_path = named_leaves(params), {}
    for mask in masks:
        own = named_leaves(mask)
        check_known(
            own.paths, set(named.paths), "mask must be of these params", "pass the whole network"
        )
        twice = [path for path in own.paths if path in by_path]
        if twice:
            raise ValueError(
                f"{twice[0]}: must have one mask, got several; chain exactly one of hold_mask and "
                "gradual_pruning."
            )
        by_path |= zip(own.paths, own.leaves, strict=True)
    return named.rebuild(
        [
            by_path[path] if path in by_path else jnp.ones(leaf.shape, bool)
            for path, leaf in zip(named.paths, named.leaves, strict=True)
        ]
    )


def _copied(mask: Any, param: Any) -> jax.Array:
    return like(jnp.array(mask, copy=True), param)


def _moved(param: jax.Array, update: jax.Array | None) -> jax.Array:
    return param + update if update is not None and kind_of(param) in WEIGHTS.members else param


def _hold(update: jax.Array, param: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the update, or the negated parameter where it is pruned, in the wider of their dtypes.

    Updates of integers are floats, integers or, from `jax.grad`, of dtype float0.
    """
    kind = kind_of(param)
    if kind not in NUMBERS.members:
        return update
    if kind in (Kind.INTEGER, Kind.BOOLEAN):
        wide = jnp.int32 if kind is Kind.BOOLEAN else param.dtype
        if kind_of(update) not in NUMBERS.members:
            update = jnp.zeros(param.shape, wide)
        param = param.astype(jnp.promote_types(wide, update.dtype))
    return jnp.where(mask, update, -param)
