"""Arrays of numpy on the devices of a mesh."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import Sharding

from jaxcompress.trees import Array, PyTree, as_jax, path_text, some_of

Shardings: TypeAlias = Sharding | Callable[[str, Any], Sharding] | PyTree
"""One for all tensors, or from path and shape to one, or a tree with one for each tensor."""


def placements(sharding: Shardings, paths: Sequence[str], shapes: Sequence[Any]) -> list[Sharding]:
    """Return the sharding of each tensor.

    Args:
        sharding: as for `load`.
        paths: of the tensors.
        shapes: their shapes and dtypes.

    Raises:
        TypeError: a sharding of another type.
        ValueError: a tree without one of the tensors, or a shape that cannot be split so.
    """
    choose = _choice(sharding, paths)
    found = []
    for path, leaf in zip(paths, shapes, strict=True):
        one = choose(path, leaf)
        if not isinstance(one, Sharding):
            raise TypeError(
                f"{path}: sharding must be a jax.sharding.Sharding, got {type(one).__name__}; pass "
                "NamedSharding(mesh, spec), say."
            )
        try:
            one.shard_shape(leaf.shape)
        except (ValueError, IndexError):
            raise ValueError(
                f"{path}: shape must be one that {one} can split, got {tuple(leaf.shape)}; "
                "replicate it with NamedSharding(mesh, PartitionSpec())."
            ) from None
        found.append(one)
    return found


def _choice(sharding: Shardings, paths: Sequence[str]) -> Callable[[str, Any], Any]:
    if isinstance(sharding, Sharding):
        return lambda path, leaf: sharding
    if callable(sharding):
        return sharding
    flat, _ = jax.tree_util.tree_flatten_with_path(
        sharding, is_leaf=lambda node: isinstance(node, Sharding)
    )
    known = {path_text(path): one for path, one in flat}
    missing = [path for path in paths if path not in known]
    if missing:
        raise ValueError(
            f"sharding: a tree must have one for each tensor, got none for {some_of(missing)}; add "
            "them, or pass a function of path and shape."
        )
    return lambda path, leaf: known[path]


def placed(array: np.ndarray, sharding: Sharding) -> Array:
    """Return an array on its devices, after it has arrived: each takes its part of it.

    An array that JAX would narrow from 64 bits to 32 stays as it is.
    """
    if isinstance(as_jax(np.empty(0, array.dtype)), np.ndarray):
        return array
    result = jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
    return jax.block_until_ready(result)
