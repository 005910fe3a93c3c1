"""Which blocks of a network are kept: by position, or by how much their removal costs."""

from collections.abc import Callable

import jax
import numpy as np

from jaxcompress.bounds import is_integer
from jaxcompress.checks import check_finite
from jaxcompress.prune._blocks import count_blocks, drop_blocks
from jaxcompress.trees import PyTree

BlockRule = Callable[[int, int], list[int]]
"""`rule(depth, keep)` gives the positions of the blocks that are kept, ascending."""


def spread_out(depth: int, keep: int) -> list[int]:
    """Return positions at even distances, the first and the last block among them.

    `round(k * (depth - 1) / (keep - 1))`; the first if `keep` is 1.

    Example:
        >>> spread_out(12, 6)
        [0, 2, 4, 7, 9, 11]

    Source: the blocks that the authors of DistilBERT start from; Sanh et al. 2019,
    arXiv:1910.01108.
    """
    return np.round(np.linspace(0, depth - 1, keep)).astype(int).tolist()


def first_blocks(depth: int, keep: int) -> list[int]:
    """Return the first positions: the last blocks are removed.

    Example:
        >>> first_blocks(12, 6)
        [0, 1, 2, 3, 4, 5]

    Source: "top-layer dropping", Sajjad et al. 2020, arXiv:2004.03844.
    """
    del depth
    return list(range(keep))


def outer_blocks(depth: int, keep: int) -> list[int]:
    """Return positions of the first and the last blocks: the middle is removed.

    If `keep` is odd, the larger half is at the beginning.

    Example:
        >>> outer_blocks(12, 5)
        [0, 1, 2, 10, 11]

    Source: "symmetric dropping", Sajjad et al. 2020, arXiv:2004.03844.
    """
    first = (keep + 1) // 2
    return [*range(first), *range(depth - keep + first, depth)]


def random_blocks(key: jax.Array) -> BlockRule:
    """Return a rule that keeps random blocks: the control of every choice.

    Args:
        key: key of `jax.random`; the same key gives the same blocks.

    Example:
        >>> positions = random_blocks(jax.random.key(0))(12, 6)
        >>> len(set(positions)), positions == sorted(positions)
        (6, True)
    """

    def rule(depth: int, keep: int) -> list[int]:
        return sorted(jax.random.permutation(key, depth)[:keep].tolist())

    return rule


def important_blocks(importance: np.ndarray) -> BlockRule:
    """Return a rule that keeps the most important blocks; ties keep the lower position.

    Args:
        importance: a number for each block, from `block_importance`.

    Example:
        >>> important_blocks(np.array([0.5, 0.1, 0.9, 0.1]))(4, 3)
        [0, 1, 2]
    """
    scores = np.asarray(importance, np.float64)
    check_finite("importance", scores)

    def rule(depth: int, keep: int) -> list[int]:
        if scores.shape != (depth,):
            raise ValueError(
                f"importance: must have one number for each of the {depth} blocks, got shape "
                f"{scores.shape}; measure it on this network."
            )
        return sorted(np.argsort(-scores, kind="stable")[:keep].tolist())

    return rule


def choose_blocks(params: PyTree, at: str, *, keep: int, rule: BlockRule = spread_out) -> list[int]:
    """Choose the blocks that are kept.

    Args:
        params: parameters.
        at: where the blocks are, as in `drop_blocks`.
        keep: how many blocks are kept.
        rule: which blocks are kept.

    Returns:
        Their positions, ascending, for `drop_blocks`.

    Raises:
        ValueError: no such place, fewer than one block or more than there are, a rule that gives
            another number of positions.
        TypeError: a `keep` that is not an integer.

    Example:
        >>> choose_blocks({"blocks": np.ones((12, 3, 3))}, "blocks", keep=4)
        [0, 4, 7, 11]
    """
    if not is_integer(keep):
        raise TypeError(f"{at}: keep must be an integer, got {keep!r}; pass how many blocks.")
    depth = count_blocks(params, at)
    if not 1 <= keep <= depth:
        raise ValueError(
            f"{at}: must keep 1 to {depth} blocks, as many as there are, got {keep}; pass how "
            "many are kept, not how many are removed."
        )
    positions = rule(depth, int(keep))
    if len(positions) != keep:
        raise ValueError(
            f"{at}: a rule must give {keep} positions, got {positions}; it is called with how many "
            "blocks there are, and how many are kept."
        )
    return positions


def block_importance(loss: Callable[[PyTree], float], params: PyTree, at: str) -> np.ndarray:
    """Return how much the loss grows when a block is dropped, for each block.

    `loss(params without block k) - loss(params)`. If two blocks can replace each other, both are
    found unimportant: where many blocks are removed, remove a few at a time and measure again.

    Args:
        loss: of parameters, of any depth; measure it on training data.
        params: parameters.
        at: where the blocks are, as in `drop_blocks`.

    Returns:
        Float64 `[depth]`.

    Raises:
        ValueError: no such place, a single block, or a loss that is not finite.

    Example:
        >>> def loss(params):
        ...     return -sum(params["blocks"])
        >>> block_importance(loss, {"blocks": [np.array(3.0), np.array(0.5)]}, "blocks").tolist()
        [3.0, 0.5]
    """
    depth = count_blocks(params, at)
    if depth < 2:
        raise ValueError(f"{at}: must have at least 2 blocks, got {depth}; the last one is kept.")
    everything = range(depth)
    trees = [params, *(drop_blocks(params, at, keep=[*set(everything) - {k}]) for k in everything)]
    losses = np.array([float(loss(tree)) for tree in trees])
    check_finite(f"{at}: loss of all blocks, then without each", losses)
    return losses[1:] - losses[0]
