"""Random masks: controls of those that were chosen."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.placement import by_compiler, like
from jaxcompress.prune._scores import random_score
from jaxcompress.prune.masks import global_mask
from jaxcompress.trees import PyTree, Scope, kernels, named_leaves


def random_mask(
    params: PyTree, sparsity: float, *, key: jax.Array, scope: Scope = kernels
) -> PyTree:
    """Remove weights at random: the control that every pruning result needs.

    `global_mask` with the score `random_score(key)`; see there.

    Gathered to the host: outside of `jit` the scores of all leaves in the scope together, 4
    bytes for each of float32; under `jit` nothing.

    Args:
        params: any pytree of arrays.
        sparsity: fraction of the weights in the scope to remove, in [0, 1).
        key: key of `jax.random`.
        scope: which leaves are pruned.

    Example:
        >>> mask = random_mask({"kernel": np.ones((4, 4))}, 0.75, key=jax.random.key(0))
        >>> int(mask["kernel"].sum())
        4
    """
    return global_mask(params, sparsity, score=random_score(key), scope=scope)


def shuffled_mask(mask: PyTree, *, key: jax.Array) -> PyTree:
    """Keep as many weights in each leaf as `mask` does, at random places: a control of the choice.

    `random_mask` spreads what is removed evenly over the layers. This one keeps the counts of each
    layer, so that only the places differ.

    Gathered to the host: nothing.

    Args:
        mask: tree of booleans, True where a weight is kept.
        key: key of `jax.random`.

    Returns:
        Tree of booleans like `mask`. Leaves that keep or remove everything are unchanged.

    Raises:
        TypeError: a leaf is no array of booleans, naming it.

    Example:
        >>> mask = {"a": np.array([True, False, False, False]), "b": np.array([True, True])}
        >>> shuffled = shuffled_mask(mask, key=jax.random.key(0))
        >>> {path: int(leaf.sum()) for path, leaf in shuffled.items()}
        {'a': 1, 'b': 2}

    Source: Frankle and Carbin 2019, arXiv:1803.03635 (random sparsity as a control).
    """
    named = named_leaves(mask)
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        if getattr(leaf, "dtype", None) != np.dtype(bool):
            found = getattr(leaf, "dtype", type(leaf).__name__)
            raise TypeError(
                f"{path}: a mask must be of booleans, got {found}; make one with magnitude_mask."
            )
    keys = jax.random.split(key, max(len(named.leaves), 1))
    return named.rebuild(list(map(_shuffled, named.leaves, keys)))


def _shuffled(leaf: Any, key: jax.Array) -> jax.Array:
    def shuffled(leaf: Any, key: jax.Array) -> jax.Array:
        return jax.random.permutation(key, jnp.ravel(leaf)).reshape(leaf.shape)

    return like(by_compiler(shuffled, leaf, key, like=leaf), leaf)
