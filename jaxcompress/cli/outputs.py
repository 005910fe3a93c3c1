"""Writing plain weights: safetensors, npz and msgpack, a tensor at a time, atomically."""

import json
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact.atomic import atomic_file, check_target
from jaxcompress.cli.shards import SAFETENSORS_DTYPES
from jaxcompress.cli.status import Refused
from jaxcompress.text import shortened

_EPOCH = (1980, 1, 1, 0, 0, 0)  # no time in the file: same input, same bytes

_LONGEST_NAME = 2**16 - 1

Load = Callable[[str], np.ndarray]
"""Gives the tensor of a name."""


def write_safetensors(
    path: Path, specs: Mapping[str, Any], load: Load, metadata: Mapping[str, str]
) -> int:
    """Write tensors in the format of safetensors; returns the size of the file in bytes.

    Args:
        path: file to write.
        specs: shape and dtype by name.
        load: gives each tensor, in the order of `specs`.
        metadata: strings to carry along.

    Raises:
        Refused: a dtype or a name that the format does not know.
    """
    names = {np.dtype(dtype).name: name for name, dtype in SAFETENSORS_DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    # Wide numbers come first, so that each tensor is aligned; safetensors does the same.
    order = sorted(specs, key=lambda name: (-np.dtype(specs[name].dtype).itemsize, name))
    end = 0
    for name in order:
        dtype = np.dtype(specs[name].dtype)
        if dtype.name not in names or name == "__metadata__":
            raise Refused(
                f"{path}: {name}: safetensors cannot hold it ({dtype.name}); write .npz instead."
            )
        start, end = end, end + math.prod(specs[name].shape) * dtype.itemsize
        header[name] = {
            "dtype": names[dtype.name],
            "shape": list(specs[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in specs:  # each at its place, so that a file is read from front to back
            file.seek(8 + len(text) + header[name]["data_offsets"][0])
            file.write(np.ascontiguousarray(load(name)).reshape(-1).view(np.uint8).data)
    return 8 + len(text) + end


def write_npz(path: Path, specs: Mapping[str, Any], load: Load) -> int:
    """Write tensors as `np.savez` would; returns the size of the file in bytes.

    Raises:
        Refused: bfloat16 and other dtypes that `.npz` cannot name, or a name that is too long for
            a zip.
    """
    for name, spec in specs.items():
        dtype = np.dtype(spec.dtype)
        if dtype.isbuiltin != 1:
            raise Refused(
                f"{path}: {shortened(name)}: .npz cannot name {dtype.name}; write .safetensors "
                "instead."
            )
        if len(f"{name}.npy".encode()) > _LONGEST_NAME:
            raise Refused(
                f"{path}: {shortened(name)}: a name in .npz must have at most {_LONGEST_NAME:,} "
                "bytes; write .safetensors instead."
            )
    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name in specs:
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(load(name)), allow_pickle=False)
    return path.stat().st_size


def write_bytes(path: Path, data: bytes) -> int:
    """Write bytes atomically; returns how many."""
    with atomic_file(path) as file:
        file.write(data)
    return len(data)


def check_output(output: Path, inputs: Path, *, named: bool) -> None:
    """Refuse an output that would destroy something.

    Args:
        output: file to be written.
        inputs: file or folder that is read.
        named: whether the user named the output; a default output never replaces a file.

    Raises:
        Refused: the output is the input or lies in it, exists without having been named, or its
            folder is missing.
        ValueError: it exists and is no regular file.
        OSError: it is a link of a circle.
    """
    exists = check_target(output) is not None
    if exists and output.samefile(inputs):
        raise Refused(f"{output}: the output must not be the input; name another with -o.")
    if inputs.is_dir() and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(inputs)):
        raise Refused(f"{output}: the output must not lie in the input; name another with -o.")
    if not output.parent.is_dir():
        raise Refused(f"{output.parent}: the folder of the output is missing; make it first.")
    if exists and not named:
        raise Refused(f"{output}: the file exists already; name the output with -o to replace it.")
