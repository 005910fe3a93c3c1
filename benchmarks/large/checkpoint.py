"""A made checkpoint in shards, of the shapes and the spread of scales of a language model.

Rows have log-normal scales, and a few are much larger; so have columns. Normal numbers are drawn
once and reused at other places: no coder sees so far back, and a gigabyte takes seconds.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np

SHARDS = 5
WIDTH = 4096
INDEX = "model.safetensors.index.json"

_BFLOAT16 = 2
_POOL = 1 << 24  # normal numbers that are reused
_ROWS = 256  # written at a time
_ROW_SPREAD, _COLUMN_SPREAD = 0.4, 0.2  # standard deviations of the logarithms of scales
_OUTLIERS, _OUTLIER_SCALE = 0.002, 8.0

Shapes = dict[str, tuple[int, ...]]


def shapes_of(size_bytes: float, *, width: int = WIDTH) -> Shapes:
    """Return names and shapes of a model of about that many bytes in bfloat16.

    Args:
        size_bytes: wanted; at least one block is made.
        width: of the model.
    """
    wide, vocabulary = 7 * width // 2, 125 * width // 16  # 14,336 and 32,000 for 4,096
    block = {
        "self_attn.q_proj": (width, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (wide, width),
        "mlp.up_proj": (wide, width),
        "mlp.down_proj": (width, wide),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
    }
    ends: Shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    blocks = round((size_bytes - _bytes_of(ends)) / _bytes_of(block))
    return ends | {
        f"model.layers.{n}.{name}.weight": shape
        for n in range(max(1, blocks))
        for name, shape in block.items()
    }


def make(folder: Path, shapes: Shapes, *, seed: int = 0) -> None:
    """Write shards and their index, a few rows at a time; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = np.random.default_rng(seed).standard_normal(_POOL, np.float32)
    shards = _in_shards(shapes)
    placed = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        placed |= dict.fromkeys(shard, file)
        header, end = {}, 0
        for name, shape in shard.items():
            start, end = end, end + _BFLOAT16 * math.prod(shape)
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / file, "wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for name, shape in shard.items():
                random = np.random.default_rng([seed, *name.encode()])
                for rows in _numbers(random, shape, pool):
                    out.write(rows.view(np.uint8).data)
    index = {"metadata": {"total_size": _bytes_of(shapes)}, "weight_map": placed}
    (folder / INDEX).write_text(json.dumps(index, indent=1))


def _in_shards(shapes: Shapes) -> list[Shapes]:
    """Return the tensors cut into shards of about equal bytes, in order."""
    total, done = _bytes_of(shapes), 0
    shards: list[Shapes] = [{} for _ in range(SHARDS)]
    for name, shape in shapes.items():
        shards[min(SHARDS - 1, SHARDS * done // total)][name] = shape
        done += _BFLOAT16 * math.prod(shape)
    return [shard for shard in shards if shard]


def _numbers(
    random: np.random.Generator, shape: tuple[int, ...], pool: np.ndarray
) -> Iterator[np.ndarray]:
    """Give the rows of a tensor in bfloat16, some at a time; those of a norm are around 1."""
    if len(shape) == 1:
        yield random.normal(1, 0.1, shape).astype(ml_dtypes.bfloat16)
        return
    rows, columns = shape
    row_scales = _scales(random, rows, _ROW_SPREAD) / math.sqrt(columns)
    column_scales = _scales(random, columns, _COLUMN_SPREAD)
    for start in range(0, rows, _ROWS):
        scales = row_scales[start : start + _ROWS, None]
        place = random.integers(0, len(pool) - len(scales) * columns)
        block = pool[place : place + len(scales) * columns].reshape(-1, columns) * scales
        block *= column_scales
        yield block.astype(ml_dtypes.bfloat16)


def _scales(random: np.random.Generator, count: int, spread: float) -> np.ndarray:
    scales = random.lognormal(0, spread, count)
    scales[random.random(count) < _OUTLIERS] *= _OUTLIER_SCALE
    return scales.astype(np.float32)


def _bytes_of(shapes: Shapes) -> int:
    return _BFLOAT16 * sum(map(math.prod, shapes.values()))
