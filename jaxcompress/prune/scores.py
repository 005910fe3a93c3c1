"""How much a weight matters: a score is a tree of numbers, and the smallest go first."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcompress.trees import PyTree, everything

Score = Callable[[PyTree], PyTree]
"""From parameters to a tree of the same shapes that says how much each weight matters."""


def magnitude(params: PyTree) -> PyTree:
    """Score every weight by `|w|`.

    Source: Han et al. 2015, arXiv:1506.02626.
    """
    return jax.tree.map(lambda leaf: abs(leaf) if everything("", leaf) else leaf, params)


def random_score(key: jax.Array) -> Score:
    """Return a score that ignores the weights: the control of every pruning experiment.

    Args:
        key: key of `jax.random`; the same key gives the same score.
    """

    def score(params: PyTree) -> PyTree:
        leaves, treedef = jax.tree.flatten(params)
        keys = jax.random.split(key, max(len(leaves), 1))
        return jax.tree.unflatten(
            treedef,
            [jax.random.uniform(k, jnp.shape(leaf)) for k, leaf in zip(keys, leaves, strict=False)],
        )

    return score
