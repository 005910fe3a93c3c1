"""Rows of an example, and inputs in batches."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcompress.planner._task import Task
from jaxcompress.trees import PyTree


def rows_of(
    apply: Callable[..., PyTree], params: PyTree, example: tuple[PyTree, ...]
) -> int | None:
    """Return how many rows inputs and outputs have, None if they are not rows of one number.

    The only input of a call without a batch has a first axis too, and its outputs have not.

    Args:
        apply: of the network.
        params: of it.
        example: the inputs of a call.

    Example:
        >>> one, many = np.ones(4, np.float32), np.ones((3, 4), np.float32)
        >>> rows_of(lambda w, x: x @ w, np.ones((4, 2)), (many,))
        3
        >>> rows_of(lambda w, x: x @ w, np.ones((4, 2)), (one,)) is None
        True
    """
    counts = set(map(_length, jax.tree.leaves(example)))
    if len(counts) != 1 or min(counts) < 1:
        return None
    outputs = jax.tree.leaves(jax.eval_shape(apply, params, *example))
    return counts.pop() if {*map(_length, outputs)} == counts else None


def _length(leaf: PyTree) -> int:
    shape = np.shape(leaf)
    return shape[0] if shape else 0


def inputs_of(task: Task, batch: Any) -> tuple[PyTree, ...] | None:
    """Return the inputs in a batch, None if they cannot be told.

    They are the first parts of a tuple, as many as there are inputs, if these have as many axes as
    those of the example, and numbers of the same kind. Their lengths may be others.
    """
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    example = tuple(task.example)
    found = parts[: len(example)]
    if jax.tree.structure(found) != jax.tree.structure(example):
        return None
    pairs = zip(jax.tree.leaves(example), jax.tree.leaves(found), strict=True)
    alike = all(
        np.ndim(a) == np.ndim(b) and np.result_type(a).kind == np.result_type(b).kind
        for a, b in pairs
    )
    return found if alike else None
