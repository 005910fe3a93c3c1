"""Sparsities of leaves by their shapes."""

import numpy as np

from jaxcompress.checks import check_unique
from jaxcompress.kinds import WEIGHTS
from jaxcompress.prune.masks import removed_count
from jaxcompress.trees import PyTree, Scope, in_scope, kernels, named_leaves


def erk_sparsities(params: PyTree, sparsity: float, *, scope: Scope = kernels) -> dict[str, float]:
    """Spread a sparsity over the leaves by the Erdos-Renyi-Kernel rule.

    The density of a leaf of shape `s` is `eps * sum(s) / prod(s)`, capped at 1, with the one
    `eps` that makes the fraction of weights removed over all leaves equal to `sparsity`.

    Args:
        params: any pytree of arrays.
        sparsity: fraction of all weights in the scope to remove, in [0, 1).
        scope: which leaves are pruned.

    Returns:
        Sparsity by path, for `layerwise_mask`.

    Raises:
        ValueError: a sparsity outside [0, 1), or an empty scope.

    Example:
        >>> params = {"a": np.ones((10, 10)), "b": np.ones((40, 10))}
        >>> {path: round(float(s), 3) for path, s in erk_sparsities(params, 0.8).items()}
        {'a': 0.714, 'b': 0.821}

    Source: Evci et al. 2020 (RigL), arXiv:1911.11134.
    """
    named = named_leaves(params)
    check_unique(named.paths)
    shapes = {
        path: leaf.shape or (1,)
        for path, leaf, pick in zip(
            named.paths,
            named.leaves,
            in_scope(named, scope, kinds=WEIGHTS, shapes=True),
            strict=True,
        )
        if pick
    }
    sizes = {path: int(np.prod(shape)) for path, shape in shapes.items()}
    removed_count("params", sparsity, sum(sizes.values()))
    budget = (1 - sparsity) * sum(sizes.values())
    capped: set[str] = set()
    while True:
        free = {path: sum(shape) for path, shape in shapes.items() if path not in capped}
        left = budget - sum(sizes[path] for path in capped)
        eps = left / sum(free.values()) if free else 0.0
        over = {path for path, total in free.items() if eps * total > sizes[path]}
        if not over:
            break
        capped |= over
    return {path: 0.0 if path in capped else 1 - eps * free[path] / sizes[path] for path in shapes}
