"""Primitives that move entries and compute nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcompress.trace.program import Equation


def moved(array: np.ndarray, moves: Sequence[Equation]) -> np.ndarray:
    """Return an array after equations that only move entries, those of `MOVES`."""
    for move in moves:
        array = MOVES[move.name](array, move.params)
    return array


def _broadcast(array: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    shape = params["shape"]
    expanded = [1] * len(shape)
    for axis, size in zip(params["broadcast_dimensions"], array.shape, strict=True):
        expanded[axis] = size
    return np.broadcast_to(array.reshape(expanded), shape)


def _slice(array: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    strides = params["strides"] or [1] * array.ndim
    return array[tuple(map(slice, params["start_indices"], params["limit_indices"], strides))]


MOVES: dict[str, Callable[[np.ndarray, dict[str, Any]], np.ndarray]] = {
    "transpose": lambda array, params: array.transpose(params["permutation"]),
    "reshape": lambda array, params: array.reshape(params["new_sizes"]),
    "squeeze": lambda array, params: array.squeeze(tuple(params["dimensions"])),
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "rev": lambda array, params: np.flip(array, params["dimensions"]),
    "convert_element_type": lambda array, params: array,
    "copy": lambda array, params: array,
    "scan": lambda array, params: array[0],  # the entry of one turn of a loop
}
"""Primitives that move entries and compute nothing."""
