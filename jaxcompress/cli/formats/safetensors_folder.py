"""Folders of safetensors in shards with their index, as the Hugging Face hub has them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact.atomic import write_atomically
from jaxcompress.cli.outputs import Load, write_safetensors

DEFAULT_SHARD_BYTES = 5 * 10**9


def write_shards(
    folder: Path, specs: Mapping[str, Any], load: Load, metadata: Mapping[str, str], most_bytes: int
) -> int:
    """Write tensors in one or several files; returns the size of all in bytes.

    One file is `model.safetensors`. Several are numbered, and an index says which holds what.

    Args:
        folder: that is there.
        specs: shape and dtype by name.
        load: gives each tensor, in the order of `specs`.
        metadata: strings that each file carries along.
        most_bytes: of the tensors of a file; a larger tensor has a file of its own.

    Raises:
        Refused: a dtype or a name that the format does not know.
    """
    shards = _shards(specs, most_bytes)
    names = [f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)]
    names = names if len(shards) > 1 else ["model.safetensors"]
    size = sum(
        write_safetensors(folder / name, {key: specs[key] for key in shard}, load, metadata)
        for name, shard in zip(names, shards, strict=True)
    )
    if len(shards) == 1:
        return size
    index = {
        "metadata": {"total_size": sum(map(_bytes, specs.values()))},
        "weight_map": {
            key: name for name, shard in zip(names, shards, strict=True) for key in shard
        },
    }
    text = json.dumps(index, indent=2, sort_keys=True).encode()
    write_atomically(folder / "model.safetensors.index.json", text)
    return size + len(text)


def _shards(specs: Mapping[str, Any], most_bytes: int) -> Sequence[Sequence[str]]:
    """Return the names of the tensors of each file, in order."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, spec in specs.items():
        if shards[-1] and filled + _bytes(spec) > most_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += _bytes(spec)
    return shards


def _bytes(spec: Any) -> int:
    return math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
