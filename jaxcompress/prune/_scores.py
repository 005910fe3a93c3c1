"""How much a weight matters: a score is a tree of numbers, and the smallest are removed first."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kinds import NUMBERS, WEIGHTS, is_shape, kind_of
from jaxcompress.placement import on_host
from jaxcompress.trees import Array, PyTree, is_traced, named_leaves

Score = Callable[[PyTree], PyTree]
"""From parameters to a tree of the same shapes that says how much each weight matters."""


def magnitude(params: PyTree) -> PyTree:
    """Score every weight by `|w|`; leaves that are not numbers, or only shapes, are kept.

    Example:
        >>> magnitude({"kernel": np.array([-2.0, 1.0])})["kernel"].tolist()
        [2.0, 1.0]

    Source: Han et al. 2015, arXiv:1506.02626.
    """

    def score(leaf: Array) -> Array:
        kind = kind_of(leaf)
        if kind not in NUMBERS.members or is_shape(leaf):
            return leaf
        # Selection from concrete scores runs in numpy, which is also faster at computing them.
        leaf = leaf if is_traced(leaf) else on_host(leaf)
        if kind not in WEIGHTS.members:
            # The lowest integer has no magnitude of its own dtype, truth values have none.
            leaf = leaf.astype(jnp.float32 if is_traced(leaf) else np.float64)
        return abs(leaf)

    named = named_leaves(params)
    return named.rebuild(list(map(score, named.leaves)))


def random_score(key: jax.Array) -> Score:
    """Return a score that ignores the weights: the control of every pruning experiment.

    Args:
        key: key of `jax.random`; the same key gives the same score.

    Example:
        >>> params = {"kernel": np.zeros((2, 3))}
        >>> random_score(jax.random.key(0))(params)["kernel"].shape
        (2, 3)
    """

    def score(params: PyTree) -> PyTree:
        leaves, treedef = jax.tree.flatten(params)
        keys = jax.random.split(key, max(len(leaves), 1))
        return jax.tree.unflatten(
            treedef,
            [jax.random.uniform(k, jnp.shape(leaf)) for k, leaf in zip(keys, leaves, strict=False)],
        )

    return score
