"""Per-channel factors and offsets: which primitives have them, and how they combine."""

from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from jaxcompress.placement import on_host
from jaxcompress.rewrite.values import wide


class Role(NamedTuple):
    """How a primitive applies an operand to a value.

    Attributes:
        multiplies: whether the operand is a factor; otherwise it is added.
        inverse: whether it divides, or is subtracted.
        negates: whether the factor is -1, without an operand.
    """

    multiplies: bool = False
    inverse: bool = False
    negates: bool = False


_FACTOR, _DIVISOR = Role(multiplies=True), Role(multiplies=True, inverse=True)
_NEGATED = Role(multiplies=True, negates=True)
_OFFSET, _LESS = Role(), Role(inverse=True)

ROLES: dict[tuple[str, int], tuple[Role, ...]] = {
    ("add", 0): (_OFFSET,),
    ("add", 1): (_OFFSET,),
    ("sub", 0): (_LESS,),
    ("sub", 1): (_NEGATED, _OFFSET),
    ("mul", 0): (_FACTOR,),
    ("mul", 1): (_FACTOR,),
    ("div", 0): (_DIVISOR,),
    ("neg", 0): (_NEGATED,),
}
"""The affine primitives, by the place of the value: the role of the other operand."""


@overload
def joined(
    role: Role, a: np.ndarray, b: np.ndarray, entries: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]: ...
@overload
def joined(
    role: Role, a: np.ndarray, b: np.ndarray | None, entries: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray | None]: ...
def joined(role: Role, a: Any, b: Any, entries: Any) -> tuple[Any, Any]:
    """Return the factors and offsets of `a * z + b` after one more factor or offset.

    Args:
        role: of the new factor or offset.
        a: `[channels]` factors so far.
        b: `[channels]` offsets so far, None where nothing is added.
        entries: of the new factor or offset, `[channels]` or one for all.

    Example:
        >>> joined(Role(multiplies=True), np.ones(2), None, np.array([2.0, 3.0]))
        (array([2., 3.]), None)
    """
    if role.multiplies:
        factor = 1 / entries if role.inverse else entries
        return a * factor, None if b is None else b * factor
    offset = -entries if role.inverse else entries
    return a, offset if b is None else b + offset


def after(
    primitive: str, place: int, a: np.ndarray, b: np.ndarray | None, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the factors and offsets of `a * z + b` after an affine primitive.

    Args:
        primitive: its name.
        place: of `a * z + b` among its operands.
        a: as in `joined`.
        b: as in `joined`.
        other: the other operand, `[channels]`.

    Example:
        >>> after("sub", 1, np.ones(2), None, np.array([2.0, 3.0]))
        (array([-1., -1.]), array([2., 3.]))
    """
    for role in ROLES[primitive, place]:
        a, b = joined(role, a, b, -1.0 if role.negates else other)
    return a, b


def by_channel(
    array: Any, channels: np.ndarray, count: int, neutral: float = 0.0
) -> np.ndarray | None:
    """Return an array as `[channels]` in float64; None if it also varies along other axes.

    Args:
        array: broadcasts to the shape of `channels`.
        channels: channel of each entry.
        count: of channels.
        neutral: the value for channels without entries.

    Example:
        >>> by_channel(np.array([[3.0, 4.0]]), np.array([[1, 0], [1, 0]]), 2)
        array([4., 3.])
    """
    spread = np.broadcast_to(on_host(array), channels.shape)
    once = tuple(
        slice(None) if any(strides) else slice(1)  # repeated entries are read once
        for strides in zip(channels.strides, spread.strides, strict=True)
    )
    channels, spread = channels[once], wide(spread[once])
    entries = np.full(count, neutral)
    entries[channels] = spread
    return entries if np.array_equal(entries[channels], spread, equal_nan=True) else None


def along(axes: Sequence[int], array: np.ndarray, shape: Sequence[Any]) -> np.ndarray | None:
    """Return an array as `[channels]` of the entries along some axes, in the order of the shape.

    Args:
        axes: that hold the channels.
        array: broadcasts to `shape`, with as many axes or none.
        shape: of which some sizes may be symbolic, but not those of `axes`.

    Returns:
        None if the array has a size other than 1 along another axis, whatever its entries.
    """
    array = array.reshape(array.shape or (1,) * len(shape))
    if any(size != 1 for axis, size in enumerate(array.shape) if axis not in axes):
        return None
    sizes = [int(size) if axis in axes else 1 for axis, size in enumerate(shape)]
    count = int(np.prod(sizes, dtype=int))
    found = by_channel(array, np.arange(count).reshape(sizes), count)
    return None if found is None else found.astype(array.dtype)
