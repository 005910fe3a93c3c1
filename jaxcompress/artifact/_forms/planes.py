"""Arrays and `Half` leaves in a file, as planes of bytes: those that pay are coded, others are not.

Layout `entropy` stores the exponents of trained weights in a third of their bits, to the bit.
"""

import math
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_dtype, is_float, is_half
from jaxcompress.artifact._forms.form import Form
from jaxcompress.artifact.coding import Fields
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.checks import finite
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import Half
from jaxcompress.packing import planes
from jaxcompress.packing.static import Alphabet

_DTYPES = (
    *("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
)


def pays(leaf: Any) -> bool:
    """Return whether a prepared leaf has a plane that is worth coding."""
    values = _values(leaf).reshape(-1)
    if values.dtype.name not in _DTYPES or values.size < planes.FEWEST:
        return False
    sample = values[:: max(values.size // planes.SAMPLE, 1)]
    return any(planes.paying(plane) is not None for plane in _split(sample))


def _values(leaf: Any) -> np.ndarray:
    return np.asarray(leaf.values if isinstance(leaf, Half) else leaf)


def _rotated(dtype: str) -> bool:
    return "float" in dtype


def _split(flat: np.ndarray) -> list[np.ndarray]:
    return planes.split(flat, rotated=_rotated(flat.dtype.name))


def _numbers(leaf: Any) -> tuple[np.ndarray]:
    return (_values(leaf),)


def _write(leaf: Any, dtype: str, layout: str, writer: Writer) -> Fields:
    del dtype, layout
    values = _values(leaf)
    ranges: list[list[int] | None] = []
    for plane in _split(values.reshape(-1)):
        found = planes.paying(plane)
        if found is None:
            writer.add_numbers("uint8", plane)
        else:
            writer.add("rans", planes.coded(plane, found, values.shape))
        ranges.append(None if found is None else list(found))
    return {"stored": values.dtype.name, "planes": ranges}


def _read(entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader) -> Any:
    stored, ranges = entry["stored"], entry["planes"]
    itemsize = np.dtype(stored).itemsize
    is_plain = stored == dtype
    if stored not in _DTYPES or len(ranges) != itemsize or not math.prod(shape):
        raise ArtifactError("planes do not fit the numbers", found=[stored, ranges, list(shape)])
    if not is_plain and not (is_half(stored) and is_float(dtype)):
        raise ArtifactError("these numbers do not stand for others", found=[stored, dtype])
    found = [_plane(shape, bounds, reader) for bounds in ranges]
    numbers = planes.join(found, rotated=_rotated(stored)).view(np.dtype(stored)).reshape(shape)
    if is_plain:
        return numbers
    if not finite(numbers).all():
        raise ArtifactError("the numbers are not finite")
    return Half(values=numbers, dtype=np.dtype(dtype))


def _plane(shape: tuple[int, ...], bounds: list[int] | None, reader: Reader) -> np.ndarray:
    if bounds is None:
        return reader.take_numbers("uint8", math.prod(shape), "values")
    lowest, highest = bounds
    codes = reader.take_codes(shape, Alphabet(highest - lowest, 0))
    return planes.decoded(codes, (lowest, highest))


def _are_ranges(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_range, value))


def _is_range(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and len(value) == 2
        and all(type(bound) is int for bound in value)
        and 0 <= value[0] <= value[1] <= 255
    )


PLANES = Form(
    None,
    lambda path, leaf: leaf,
    _numbers,
    _write,
    {5: {"stored": is_dtype, "planes": _are_ranges}},
    _read,
)
