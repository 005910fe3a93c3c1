"""Tensors that were integers, or on a grid, before: all is kept at the price of few values."""

from typing import Any

import numpy as np

from jaxcompress.kinds import codes_dtype
from jaxcompress.leaves import Clustered, Quantized
from jaxcompress.trees import widened

MOST_VALUES = 256
_LOOK = 1 << 12  # weights that are looked at first
_BLOCK = 1 << 20
_NUMBERS_A_VALUE = 8  # fewer, and a codebook would not pay
_HIGHEST = 127
_SMALLEST_LEVELS = np.arange(1, 17)


def of_few_values(tensor: np.ndarray, most: int = MOST_VALUES) -> Any | None:
    """Return a leaf that equals a tensor of few values; None if there is none.

    That is a `Clustered` leaf if there are at most `most` values beside zero, else a `Quantized`
    one if each index of the first or of the last axis has a scale of which its weights are
    multiples, up to 127.

    Args:
        tensor: finite floating-point numbers.
        most: of values beside zero, and of levels of a grid.

    Example:
        >>> of_few_values(np.tile([0.5, 0.0, -2.0, 1.5], 20)).codebook.tolist()
        [-2.0, 0.5, 1.5]
        >>> of_few_values(np.random.default_rng(0).standard_normal(80)) is None
        True
    """
    found = _clustered(tensor, most)
    if found is None and tensor.ndim >= 2 and most >= MOST_VALUES:
        for axis in (tensor.ndim - 1, 0):
            found = found or _on_grid(tensor, axis)
    return found


def _clustered(tensor: np.ndarray, most: int) -> Clustered | None:
    flat = tensor.reshape(-1)
    values = np.unique(flat[:: max(flat.size // _LOOK, 1)])
    for start in range(0, flat.size, _BLOCK):
        if values.size - 1 > min(most, flat.size):  # zero may be one of them
            return None
        values = np.union1d(values, np.unique(flat[start : start + _BLOCK]))
    values = values[values != 0]
    if values.size > most or _NUMBERS_A_VALUE * values.size > flat.size or not values.size:
        return None
    codes = np.searchsorted(values, flat).clip(max=values.size - 1) + 1
    codes = np.where(flat == 0, 0, codes).astype(codes_dtype(values.size))
    leaf = Clustered(codes=codes.reshape(tensor.shape), codebook=values)
    return leaf if _same_bits(leaf.dense(), tensor) else None


def _on_grid(tensor: np.ndarray, axis: int) -> Quantized | None:
    """Return the grids along an axis on which all weights lie; None if there are none."""
    rows = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    if rows.shape[1] < 2 * _NUMBERS_A_VALUE or _scales(rows[:1]) is None:
        return None
    scales = _scales(rows)
    if scales is None:
        return None
    shape = [1] * tensor.ndim
    shape[axis] = -1
    scale = scales.astype(tensor.dtype).reshape(shape)
    values = np.rint(widened(tensor) / widened(scale)).astype(np.int8)
    leaf = Quantized(values=values, scale=scale, bits=8)
    return leaf if _same_bits(leaf.dense(), tensor) else None


def _scales(rows: np.ndarray) -> np.ndarray | None:
    """Return a scale for each row of which its numbers are small multiples; None if one has none.

    The smallest magnitude of a row is a small multiple of its scale, most often once or twice it.
    Then nothing is rounded.
    """
    wide = np.abs(rows.astype(np.float64))
    largest = wide.max(axis=1)
    smallest = np.where(wide > 0, wide, np.inf).min(axis=1)
    scales = np.ones(len(rows))
    missing = largest > 0
    for level in _SMALLEST_LEVELS:
        if not missing.any():
            return scales
        highest = np.rint(largest[missing] * level / smallest[missing])
        trial = largest[missing] / np.maximum(highest, 1)
        steps = wide[missing] / trial[:, None]
        fits = (highest <= _HIGHEST) & (np.abs(steps - np.rint(steps)).max(axis=1) < 0.02)
        places = np.flatnonzero(missing)[fits]
        scales[places] = smallest[places] / level
        missing[places] = False
    return None if missing.any() else scales


def _same_bits(a: Any, b: np.ndarray) -> bool:
    """Return whether numbers are the same, signs of zeros included."""
    return bool(np.array_equal(a, b)) and not (np.signbit(b) & (b == 0)).any()
