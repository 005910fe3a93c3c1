"""A tensor of an ONNX model: its shape and dtype, and where its numbers lie.

They lie in the model, as bytes or as numbers of protobuf, or in a file beside it.

Source: `TensorProto` in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np

from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli.formats.extent import Extent, Stamp, stamp_of
from jaxcompress.cli.formats.inside import is_inside
from jaxcompress.cli.formats.wire import BYTES, Field, Wire, decoded, encoded, signed
from jaxcompress.errors import ArtifactError

_DIMS, _DTYPE, _SEGMENT, _STRINGS, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 3, 6, 8, 9, 13, 14
_FLOATS, _INT32S, _INT64S, _DOUBLES, _UINT64S = 4, 5, 7, 10, 11
_NUMBERS = (_FLOATS, _INT32S, _INT64S, _DOUBLES, _UINT64S)
_STRING = 8  # a dtype that is not one of numbers

_DTYPES: dict[int, tuple[Any, int]] = {
    **{1: (np.float32, _FLOATS), 14: (np.complex64, _FLOATS)},
    **{11: (np.float64, _DOUBLES), 15: (np.complex128, _DOUBLES)},
    **{2: (np.uint8, _INT32S), 3: (np.int8, _INT32S), 4: (np.uint16, _INT32S)},
    **{5: (np.int16, _INT32S), 6: (np.int32, _INT32S), 7: (np.int64, _INT64S)},
    **{9: (np.bool_, _INT32S), 10: (np.float16, _INT32S), 16: (ml_dtypes.bfloat16, _INT32S)},
    **{12: (np.uint32, _UINT64S), 13: (np.uint64, _UINT64S)},
    **{17: (ml_dtypes.float8_e4m3fn, _INT32S), 18: (ml_dtypes.float8_e4m3fnuz, _INT32S)},
    **{19: (ml_dtypes.float8_e5m2, _INT32S), 20: (ml_dtypes.float8_e5m2fnuz, _INT32S)},
    **{21: (ml_dtypes.uint4, _INT32S), 22: (ml_dtypes.int4, _INT32S)},
    **{23: (ml_dtypes.float4_e2m1fn, _INT32S), 24: (ml_dtypes.float8_e8m0fnu, _INT32S)},
    **{25: (ml_dtypes.uint2, _INT32S), 26: (ml_dtypes.int2, _INT32S)},
}
"""From numbers of dtypes to those of numpy, and the field of numbers that a tensor may use."""

_BITS = {"uint4": 4, "int4": 4, "float4_e2m1fn": 4, "uint2": 2, "int2": 2}
"""Bits of the dtypes of which a byte holds several."""

_MOST_DIMS = 64  # of arrays of numpy


class OnnxTensor(NamedTuple):
    """A tensor of a model.

    Attributes:
        name: its own.
        spec: shape and dtype.
        extent: where its numbers are.
        packed: whether they are numbers of protobuf, else bytes.
        field: that holds the numbers; of one in another file, the path of that file.
        parents: the fields around it, from the outermost.
        location: path of the other file as the model has it; None if they are in the model.
    """

    name: str
    spec: jax.ShapeDtypeStruct
    extent: Extent
    packed: bool
    field: Field | None
    parents: tuple[Field, ...]
    location: str | None

    def load(self) -> np.ndarray:
        """Read the numbers.

        Raises:
            ArtifactError: they are not those of the dtype, or the file has changed.
        """
        dtype = np.dtype(self.spec.dtype)
        data = self.extent.read(self.name)
        if self.packed:
            numbers = decoded(data)
            data = _narrow(numbers, dtype)
            if numbers.size != _units(self.spec) or (_wide(data, dtype) != numbers).any():
                raise ArtifactError(
                    "numbers that its dtype cannot hold", tensor=self.name, expected=dtype.name
                )
        if dtype == np.bool_ and data.max(initial=0) > 1:
            raise ArtifactError("a truth value must be 0 or 1", tensor=self.name)
        return _unpacked(data, dtype, math.prod(self.spec.shape)).reshape(self.spec.shape)

    def stored(self, array: np.ndarray) -> bytes | memoryview:
        """Return other numbers as the model keeps those of this tensor."""
        dtype = np.dtype(self.spec.dtype)
        data = _packed(np.ascontiguousarray(array).reshape(-1), dtype)
        return encoded(_wide(data, dtype)) if self.packed else data.data


def read_tensor(
    wire: Wire, parents: tuple[Field, ...], model: Path, stamp: Stamp
) -> OnnxTensor | None:
    """Return the tensor in the last of the fields; None if it is one of strings.

    Raises:
        ArtifactError: it contradicts itself, says more numbers than there are, or has them outside
            of the folder of the model.
    """
    fields: dict[int, list[Field]] = {}
    for field in wire.fields(parents[-1].start, parents[-1].end):
        fields.setdefault(field.number, []).append(field)
    for number in (_DTYPE, _NAME, _LOCATION):
        if len(fields.get(number, [])) > 1:
            raise ArtifactError("a tensor has a field twice", found=number)
    name = wire.text(fields[_NAME][0]) if _NAME in fields else ""
    try:
        kind = signed(fields[_DTYPE][0]) if _DTYPE in fields else 0
        if kind == _STRING:
            return None
        if kind not in _DTYPES:
            raise ArtifactError("an unknown dtype", expected="one of ONNX", found=kind)
        shape = wire.numbers(fields.get(_DIMS, []), _MOST_DIMS)
        if min(shape, default=0) < 0:
            raise ArtifactError("axes must not be negative", found=shape)
        if _SEGMENT in fields:
            raise ArtifactError("a tensor must be whole, found a segment")
        spec = jax.ShapeDtypeStruct(tuple(shape), _DTYPES[kind][0])
        if _LOCATION in fields and signed(fields[_LOCATION][0]) == 1:
            return _external(wire, name, spec, (parents, fields.get(_EXTERNAL, [])), model)
        field, packed = _numbers(fields, spec, _DTYPES[kind][1])
        extent = Extent(model, field.start if field else 0, field.value if field else 0, stamp)
        return OnnxTensor(name, spec, extent, packed, field, parents, None)
    except ArtifactError as error:
        raise error.at(tensor=name) from None


def _numbers(
    fields: dict[int, list[Field]], spec: jax.ShapeDtypeStruct, own: int
) -> tuple[Field | None, bool]:
    """Return the field with the numbers, and whether they are numbers of protobuf.

    Args:
        fields: of the tensor.
        spec: shape and dtype.
        own: number of the field for numbers of the dtype.
    """
    held = [field for n in (_RAW, *_NUMBERS, _STRINGS) for field in fields.get(n, [])]
    held = [field for field in held if field.kind != BYTES or field.value]
    if len(held) > 1 or any(field.number not in (_RAW, own) for field in held):
        raise ArtifactError(
            "numbers must be in one field, raw_data or that of the dtype, in one piece",
            found=sorted({field.number for field in held}),
        )
    if held and held[0].kind != BYTES:
        raise ArtifactError("numbers must be packed")
    field = held[0] if held else None
    packed = field is not None and field.number in (_INT32S, _INT64S, _UINT64S)
    size, units = field.value if field else 0, _units(spec)
    needed = units if packed else units * _unit(spec.dtype).itemsize
    if not needed <= size <= (10 * units if packed else needed):
        raise ArtifactError(
            "as many bytes are needed as the shape says", expected=needed, found=size
        )
    return field, packed


def _external(
    wire: Wire,
    name: str,
    spec: jax.ShapeDtypeStruct,
    place: tuple[tuple[Field, ...], list[Field]],
    model: Path,
) -> OnnxTensor:
    """Return a tensor whose numbers are in another file."""
    parents, entries = place
    found: dict[str, tuple[str, Field, Field]] = {}
    for entry in entries:
        parts = {field.number: field for field in wire.fields(entry.start, entry.end)}
        if set(parts) != {1, 2} or (key := wire.text(parts[1])) in found:
            raise ArtifactError("external data must be given by keys, each once")
        found[key] = (wire.text(parts[2]), parts[2], entry)
    if "location" not in found:
        raise ArtifactError("external data must have a location")
    location, field, entry = found["location"]
    path = _inside(model, location)
    with open_regular(path) as file:
        stamp = stamp_of(file.fileno())
    needed = _units(spec) * _unit(np.dtype(spec.dtype)).itemsize
    start = _count(found, "offset", 0)
    size = _count(found, "length", max(stamp[2] - start, 0))
    if size != needed or start + size > stamp[2]:
        raise ArtifactError(
            f"external data in {location!r} must be as long as the shape says, and in the file",
            expected=f"{needed} of {stamp[2]} bytes",
            found=f"{size} from {start}",
        )
    extent = Extent(path, start, size, stamp)
    return OnnxTensor(
        name, spec, extent, packed=False, field=field, parents=(*parents, entry), location=location
    )


def _count(found: dict[str, tuple[str, Field, Field]], key: str, default: int) -> int:
    if key not in found:
        return default
    text = found[key][0]
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ArtifactError(f"{key} of external data must be a number", found=text)
    return int(text)


def _inside(model: Path, location: str) -> Path:
    """Return the path of external data; refuse one that is not in the folder of the model."""
    parts, path = location.split("/"), model.parent / location
    if (
        not location.isprintable()
        or set(location) & set("\\:")
        or any(part in ("", "..") for part in parts)
        or not is_inside(model.parent, path)
    ):
        raise ArtifactError("external data must lie in the folder of the model", found=location)
    if os.path.realpath(path) == os.path.realpath(model):
        raise ArtifactError("external data must not lie in the model itself", found=location)
    return path


def _unit(dtype: Any) -> np.dtype:
    """Return the unsigned integers of which arrays of the dtype are stored."""
    dtype = np.dtype(dtype)
    return np.dtype(np.uint8) if dtype.name in _BITS else np.dtype(f"u{min(dtype.itemsize, 8)}")


def _units(spec: jax.ShapeDtypeStruct) -> int:
    """Return how many of them there are."""
    dtype, count = np.dtype(spec.dtype), math.prod(spec.shape)
    if dtype.name in _BITS:
        return -(-count * _BITS[dtype.name] // 8)
    return count * dtype.itemsize // _unit(dtype).itemsize


def _narrow(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return bytes of numbers of protobuf."""
    return numbers.astype(_unit(dtype)).view(np.uint8)


def _wide(data: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return bytes as numbers of protobuf; negative ones are those of 64 bits."""
    units = data.view(_unit(dtype))
    if dtype.kind == "i":
        return units.view(dtype).astype(np.int64).view(np.uint64)
    return units.astype(np.uint64)


def _unpacked(data: np.ndarray, dtype: np.dtype, count: int) -> np.ndarray:
    """Return the numbers of bytes; the first of those that share one is in its lowest bits."""
    bits = _BITS.get(dtype.name)
    if bits is None:
        return data.view(dtype)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (data[:, None] >> shifts & (1 << bits) - 1).reshape(-1)[:count].astype(np.uint8)
    if not dtype.name.startswith("int"):
        return parts.astype(dtype)
    top = 1 << bits - 1
    return ((parts ^ top).astype(np.int8) - np.int8(top)).astype(dtype)


def _packed(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the bytes of numbers."""
    bits = _BITS.get(dtype.name)
    if bits is None:
        return array.view(np.uint8)
    parts = array.astype(np.int8).view(np.uint8) & (1 << bits) - 1
    filled = np.zeros(-(-parts.size * bits // 8) * 8 // bits, np.uint8)
    filled[: parts.size] = parts
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return np.bitwise_or.reduce(filled.reshape(-1, 8 // bits) << shifts, axis=1)
