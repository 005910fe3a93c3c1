"""`Quantized` leaves in a file: scales, zero points, and levels by a packing.

A level is an integer less its zero point. So level 0 is exactly 0.0, which packings expect. A
bitmap says which other levels occur: codes count only these, from the lowest up. So a binary tensor
has two codes, and shared weights on a fine grid have one for each shared value.
"""

import math
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_bits, is_flag, is_float, is_level, is_name, is_shape
from jaxcompress.artifact._forms.form import Form, blocks, native
from jaxcompress.artifact.coding import Alphabet, Fields, read_codes, write_codes
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.checks import finite
from jaxcompress.errors import ArtifactError
from jaxcompress.kinds import codes_dtype
from jaxcompress.leaves import Quantized
from jaxcompress.leaves.quantized import are_blocks, spread

_FARTHEST = 255  # from zero: levels are a difference of two int8


def _prepare(path: str, leaf: Quantized) -> Quantized:
    values, scale = native(path, leaf.values), native(path, leaf.scale)
    zero_point = None if leaf.zero_point is None else native(path, leaf.zero_point)
    rule = (
        _broken_rule(values, scale, zero_point, leaf.bits)
        if is_bits(leaf.bits)
        else f"bits must be 1 to 8, got {leaf.bits!r}"
    )
    if rule:
        raise ValueError(f"{path}: {rule}; make the leaf with quantize.")
    return Quantized(values=values, scale=scale, zero_point=zero_point, bits=leaf.bits)


def _broken_rule(
    values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None, bits: int
) -> str | None:
    """Return the rule that a leaf breaks, None if it breaks none."""
    if not is_float(scale.dtype.name):
        return f"scales must be floating-point numbers, got {scale.dtype}"
    if not are_blocks(scale.shape, values.shape):
        return f"scales must be those of blocks of {values.shape}, got shape {scale.shape}"
    if not finite(scale).all() or not (scale > 0).all():
        return "scales must be finite and above 0"
    lowest, highest = _limits(bits)
    for what, array in (("values", values), ("zero points", zero_point)):
        if array is None:
            continue
        if (
            array.dtype != np.int8
            or array.min(initial=0) < lowest
            or array.max(initial=0) > highest
        ):
            return f"{what} must be int8 from {lowest} to {highest}, got {array.dtype} beyond it"
    if zero_point is not None and zero_point.shape != scale.shape:
        return f"zero points must have the shape of scales {scale.shape}, got {zero_point.shape}"
    return None


def _limits(bits: int) -> tuple[int, int]:
    """Return the smallest and the largest integer; one bit is a sign, 0 for exact zeros."""
    half = 1 << (bits - 1)
    return -half, max(half - 1, 1)


def _numbers(leaf: Quantized) -> tuple[Any, ...]:
    arrays = (leaf.values, leaf.scale, leaf.zero_point)
    return tuple(array for array in arrays if array is not None)


def _write(leaf: Quantized, dtype: str, layout: str, writer: Writer) -> Fields:
    values, scale = np.asarray(leaf.values), np.asarray(leaf.scale)
    writer.add_numbers(dtype, scale)
    levels = values
    if leaf.zero_point is not None:
        zero_point = np.asarray(leaf.zero_point)
        writer.add_numbers("int8", zero_point)
        levels = values - spread(zero_point, leaf.shape).astype(np.int16)
    occurs = _occurring(levels)
    found = np.flatnonzero(occurs) - _FARTHEST
    lowest, highest = int(found.min(initial=0)), int(found.max(initial=0))
    used = occurs[_FARTHEST + lowest : _FARTHEST + highest + 1]
    found, used[-lowest] = found[found != 0], False
    writer.add("bits", np.packbits(used))
    table = np.zeros(used.size, codes_dtype(found.size))
    table[used] = np.arange(1, found.size + 1)
    codes = _looked_up(table, levels, -lowest)
    alphabet = Alphabet(leaf.shape, found.size, int(np.count_nonzero(found < 0)))
    fields = {
        "bits": leaf.bits,
        "scales": list(scale.shape),
        "zero_points": leaf.zero_point is not None,
        "lowest": lowest,
        "highest": highest,
    }
    return fields | write_codes(alphabet, codes, layout, writer)


def _occurring(levels: np.ndarray) -> np.ndarray:
    """Return for each level from `-_FARTHEST` on whether it occurs."""
    occurs = np.zeros(2 * _FARTHEST + 1, bool)
    for block in blocks(levels):
        occurs |= np.bincount(block.astype(np.int64) + _FARTHEST, minlength=occurs.size) > 0
    return occurs


def _read(entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader) -> Quantized:
    scales, lowest, highest = tuple(entry["scales"]), entry["lowest"], entry["highest"]
    if not is_float(dtype) or not are_blocks(scales, shape) or not lowest <= 0 <= highest:
        raise ArtifactError(
            "scales, levels or dtype do not fit", found=[shape, dtype, scales, lowest, highest]
        )
    count = math.prod(scales)
    scale = reader.take_numbers(dtype, count, "values").reshape(scales).copy()
    zero_point = None
    if entry["zero_points"]:
        zero_point = reader.take_numbers("int8", count, "values").reshape(scales).copy()
    found = _used_levels(reader, lowest, highest)
    alphabet = Alphabet(shape, found.size, int(np.count_nonzero(found < 0)))
    table = np.concatenate([[0], found]).astype(np.int16)
    levels = _looked_up(table, read_codes(alphabet, entry, reader), 0)
    if zero_point is not None:
        levels += spread(zero_point, shape).astype(np.int16)
    if levels.min(initial=0) < -128 or levels.max(initial=0) > 127:
        raise ArtifactError("levels that no value of 8 bits has with these zero points")
    leaf = Quantized(
        values=levels.astype(np.int8), scale=scale, zero_point=zero_point, bits=entry["bits"]
    )
    rule = _broken_rule(np.asarray(leaf.values), scale, zero_point, leaf.bits)
    if rule:
        raise ArtifactError(rule)
    return leaf


def _used_levels(reader: Reader, lowest: int, highest: int) -> np.ndarray:
    """Return the levels other than 0 that the bitmap names, in ascending order."""
    size = highest - lowest + 1
    bits = np.unpackbits(reader.take("bits", -(-size // 8)))
    used = bits[:size].astype(bool)
    if bits[size:].any() or used[-lowest] or used[0] != (lowest < 0) or used[-1] != (highest > 0):
        raise ArtifactError("the bitmap of levels is not in its one form")
    return np.flatnonzero(used) + lowest


def _looked_up(table: np.ndarray, places: np.ndarray, shift: int) -> np.ndarray:
    """Return `table[places + shift]`, by blocks, because numpy widens places to 64 bits."""
    result = np.empty(places.size, table.dtype)
    start = 0
    for block in blocks(places):
        stop = start + block.size
        np.take(table, block.astype(np.int64) + shift, mode="clip", out=result[start:stop])
        start = stop
    return result.reshape(places.shape)


QUANTIZED = Form(
    Quantized,
    _prepare,
    _numbers,
    _write,
    {
        3: {
            "bits": is_bits,
            "scales": is_shape,
            "zero_points": is_flag,
            "lowest": is_level,
            "highest": is_level,
            "packing": is_name,
        }
    },
    _read,
)
