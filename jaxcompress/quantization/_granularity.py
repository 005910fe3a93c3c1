"""How many grids a tensor has: one, one a channel, or one a block of each channel."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.bounds import is_integer

Granularity = Callable[[str, Any], tuple[int, ...]]
"""Decides by path and leaf the shape of its scales, as `Quantized` explains it."""


def per_tensor(path: str, leaf: Any) -> tuple[int, ...]:
    """One grid for all entries.

    Example:
        >>> per_tensor("kernel", np.zeros((3, 3, 16, 32)))
        (1, 1, 1, 1)
    """
    del path
    return (1,) * len(leaf.shape)


def per_channel(
    axis: int | Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> Granularity:
    """One grid for each index of an axis, or of several axes together.

    Args:
        axis: the axis, or several; or those of each tensor by its path. None for the last one,
            which holds the outputs of kernels `[inputs, outputs]` and of convolutions (HWIO),
            depthwise ones included. A transposed or an einsum kernel may have others, and PyTorch
            has the first one; `best_axis` measures which.

    Raises:
        ValueError: of the granularity: an axis out of range, a path that the mapping lacks.

    Example:
        >>> per_channel()("kernel", np.zeros((3, 3, 16, 32)))
        (1, 1, 1, 32)
        >>> per_channel({"query": (1, 2)})("query", np.zeros((64, 4, 16)))
        (1, 4, 16)
    """

    def shape(path: str, leaf: Any) -> tuple[int, ...]:
        chosen = -1 if axis is None else axis
        if isinstance(chosen, Mapping):
            if path not in chosen:
                raise ValueError(
                    f"{path}: axis must name the channels of every tensor in the scope, got none "
                    "for it; add its axes (tables read by rows are in no product: "
                    "(0,) gives each row a grid), or leave it out of the scope (see in_products)."
                )
            chosen = chosen[path]
        kept = {
            place_of(path, leaf, place)
            for place in ([chosen] if isinstance(chosen, int | np.integer) else chosen)
        }
        return tuple(n if place in kept else 1 for place, n in enumerate(leaf.shape))

    return shape


def per_block(size: int, *, axis: int = -2, channels: Granularity | None = None) -> Granularity:
    """One grid for each block of entries along an axis of each channel.

    An axis of `n` entries is cut into `m = ceil(n / size)` blocks of `ceil(n / m)` entries. The
    last block may be shorter.

    Args:
        size: most entries of a block, 32 to 128 as a rule.
        axis: along which they lie; by default the last but one, over which dense layers and
            convolutions sum.
        channels: which entries have grids of their own in any case; default: `per_channel()`.

    Raises:
        TypeError: `size` is not an integer.
        ValueError: it is below 1; of the granularity: an axis out of range.

    Example:
        >>> per_block(32)("kernel", np.zeros((100, 10)))
        (4, 10)
    """
    if not is_integer(size):
        raise TypeError(f"size: must be an integer of at least 1, got {size!r}; pass 64, say.")
    if size < 1:
        raise ValueError(f"size: a block must have at least 1 entry, got {size}; pass 64, say.")
    each = per_channel() if channels is None else channels

    def shape(path: str, leaf: Any) -> tuple[int, ...]:
        place = place_of(path, leaf, axis)
        counts = list(each(path, leaf))
        counts[place] = -(-leaf.shape[place] // size)
        return tuple(counts)

    return shape


def place_of(path: str, leaf: Any, axis: int) -> int:
    """Return the axis counted from the first one.

    Raises:
        ValueError: it is out of range.
    """
    rank = len(leaf.shape)
    if not -rank <= axis < rank:
        raise ValueError(
            f"{path}: axis must be one of the {rank} of its shape {tuple(leaf.shape)}, got {axis}; "
            "pass another, or leave the tensor out of the scope."
        )
    return axis % rank
