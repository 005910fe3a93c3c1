"""Files of GGUF: tensors, and the key-value metadata that they came with."""

import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact.atomic import atomic_file
from jaxcompress.cli import screen
from jaxcompress.cli.formats import gguf_types as types
from jaxcompress.cli.formats.gguf_header import MAGIC, MOST_DIMS, UINT32, Value, alignment
from jaxcompress.cli.outputs import Load
from jaxcompress.cli.status import Refused
from jaxcompress.text import shortened
from jaxcompress.trees import is_floating

_VERSION = 3
_LONGEST_NAME = 63  # bytes that ggml has for it
_FILE_TYPE = "general.file_type"


def write_gguf(
    path: Path,
    specs: Mapping[str, Any],
    load: Load,
    values: Mapping[str, Value],
    wanted: str | None = None,
) -> int:
    """Write tensors with their values; returns the size of the file in bytes.

    Args:
        path: file to write.
        specs: shape and dtype by name.
        load: gives each tensor, in the order of `specs`.
        values: key-value metadata, by key.
        wanted: type of the weights of rank 2 and up, a name of `gguf_types.WRITTEN`; None for
            their dtype. Rows that are no whole number of blocks keep their dtype.

    Raises:
        MissingLibraryError: `gguf` is missing, for types of blocks.
        Refused: a tensor that the format cannot hold.
    """
    multiple = alignment(values)
    target = None if wanted is None else types.of_number(types.WRITTEN[wanted], str(path))
    kinds = {name: _type(path, name, spec, target) for name, spec in specs.items()}
    head, starts, end = bytearray(), {}, 0
    for name, spec in specs.items():
        starts[name] = end
        head += _text(name) + struct.pack("<I", len(spec.shape))
        head += struct.pack(f"<{len(spec.shape)}Q", *spec.shape[::-1])
        head += struct.pack("<IQ", kinds[name].number, end)
        size = types.stored_bytes(tuple(spec.shape), kinds[name])
        end += size + -size % multiple
    weights: Counter[int] = Counter()
    for name, spec in specs.items():
        if len(spec.shape) > 1:
            weights[kinds[name].number] += math.prod(spec.shape)
    start = struct.pack("<4sIQQ", MAGIC, _VERSION, len(specs), len(values))
    start += b"".join(_values(values, weights)) + bytes(head)
    start += bytes(-len(start) % multiple)
    with atomic_file(path) as file:
        file.write(start)
        for name in specs:  # each at its place: see write_safetensors
            data = types.stored(f"{path}: {shortened(name)}", load(name), kinds[name])
            file.seek(len(start) + starts[name])
            file.write(data.reshape(-1).view(np.uint8).data)
        file.truncate(len(start) + end)
    _note(path, specs, values)
    return len(start) + end


def _type(path: Path, name: str, spec: Any, target: types.Type | None) -> types.Type:
    """Return the type of a tensor in the file."""
    dtype, rank = np.dtype(spec.dtype), len(spec.shape)
    if dtype.name not in types.NUMBERS or rank > MOST_DIMS:
        raise Refused(
            f"{path}: {shortened(name)}: GGUF cannot hold it ({dtype.name} of rank {rank}); write "
            ".safetensors instead."
        )
    fits = target and rank > 1 and is_floating(spec) and spec.shape[-1] % target.numbers == 0
    return target if target and fits else types.of_number(types.NUMBERS[dtype.name], str(path))


def _values(values: Mapping[str, Value], weights: Counter[int]) -> Iterable[bytes]:
    """Yield the bytes of values; what says the type of most weights follows the tensors."""
    most = max(weights, key=weights.__getitem__, default=None)
    for key, value in values.items():
        if key == _FILE_TYPE and value.kind == UINT32 and most in types.FILE_TYPES:
            yield value.data[:-4] + struct.pack("<I", types.FILE_TYPES[most])
        else:
            yield value.data


def _note(path: Path, names: Iterable[str], values: Mapping[str, Value]) -> None:
    """Say what llama.cpp would refuse."""
    if "general.architecture" not in values:
        screen.note(
            f"{path}: has no general.architecture, which llama.cpp needs; --like takes the "
            "key-value metadata of another .gguf"
        )
    long = [name for name in names if len(name.encode()) > _LONGEST_NAME]
    if long:
        screen.note(
            f"{path}: {shortened(long[0])}: {len(long)} names have more than {_LONGEST_NAME} "
            "bytes, which llama.cpp refuses"
        )


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data
