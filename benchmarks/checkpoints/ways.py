"""Ways to make a checkpoint smaller: options of `pack`, and blocks as GGUF has them."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxcompress as jc
from jaxcompress.scopes import named_leaves


class Way(NamedTuple):
    """A column of the table.

    Attributes:
        name: of the column.
        options: of `pack`.
        fraction: of the bytes in float32 that the file may have, if it shall have a size.
    """

    name: str
    options: tuple[str, ...] = ()
    fraction: float | None = None

    def command(self, size: int) -> tuple[str, ...]:
        """Return the options for a checkpoint of so many bytes in float32."""
        if self.fraction is None:
            return self.options
        return (*self.options, "--target-size", f"{round(size * self.fraction)}B")


WAYS = (
    Way("default"),
    Way("8 bits", ("--bits", "8")),
    Way("4 bits, blocks", ("--bits", "4", "--block", "32")),
    Way("a quarter", fraction=1 / 4),
    Way("an eighth", fraction=1 / 8),
)


class Refusal(Exception):  # noqa: N818
    """What the command said instead of writing a file."""


class Small(NamedTuple):
    """A smaller checkpoint.

    Attributes:
        size: bytes of the file.
        weights: that it holds, dense.
        seconds: of one core, to write it.
    """

    size: int
    weights: dict[str, np.ndarray]
    seconds: float


def packed(model: Path, weights: Mapping[str, np.ndarray], way: Way, folder: Path) -> Small:
    """Pack a file by the command, and read the weights of these names back.

    A few that are not in the file, constants of a graph, stay as they are.
    """
    small = folder / "small.npz"
    small.unlink(missing_ok=True)
    options = way.command(float32_bytes(weights))
    program = [sys.executable, "-m", "jaxcompress.cli", "pack", model, "-o", small, "--restart"]
    start = os.times()
    done = subprocess.run([*program, *options], capture_output=True, text=True)
    seconds = sum(os.times()[2:4]) - sum(start[2:4])
    if done.returncode:
        raise Refusal(" ".join(done.stderr.split())[:300])
    found = named_leaves(jc.dense(jc.load(small)))
    arrays = dict(zip(found.paths, map(np.asarray, found.leaves), strict=True))
    there = [name for name in weights if name in arrays]
    if sum(weights[name].size for name in there) < 0.99 * sum(a.size for a in weights.values()):
        raise KeyError(f"{small}: has no {sorted(set(weights) - set(there))[:5]}")
    return Small(small.stat().st_size, {**weights, **{k: arrays[k] for k in there}}, seconds)


def float32_bytes(weights: Mapping[str, np.ndarray]) -> int:
    """Return bytes of all weights as float32, without names and shapes."""
    return 4 * sum(array.size for array in weights.values())


def _eighth(blocks: np.ndarray) -> np.ndarray:
    """Return the values of Q8_0: a float16 scale and 32 integers of 8 bits a block."""
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    levels = np.rint(np.divide(blocks, scale, where=scale > 0, out=np.zeros_like(blocks)))
    return levels * scale.astype(np.float16).astype(np.float32)


def _fourth(blocks: np.ndarray) -> np.ndarray:
    """Return the values of Q4_0: the largest weight of a block is at -8 of -8 to 7."""
    at = np.abs(blocks).argmax(axis=1)[:, None]
    scale = np.take_along_axis(blocks, at, axis=1) / -8
    shares = np.divide(blocks, scale, where=scale != 0, out=np.zeros_like(blocks))
    levels = np.clip(np.trunc(shares + np.float32(8.5)), 0, 15) - 8
    return levels * scale.astype(np.float16).astype(np.float32)


Blocks = Callable[[np.ndarray], np.ndarray]
CONTROLS: Mapping[str, tuple[Blocks, int]] = {"Q8_0": (_eighth, 34), "Q4_0": (_fourth, 18)}
"""What GGUF does with blocks of 32 weights, and how many bytes a block takes."""


def blocked(weights: Mapping[str, np.ndarray], control: str) -> Small:
    """Return a checkpoint in blocks of 32 along the last axes; vectors stay as they are."""
    values, size = CONTROLS[control]
    found, total = {}, 0
    for name, array in weights.items():
        if array.ndim < 2 or not np.isfinite(array).all():
            found[name], total = array, total + 4 * array.size
            continue
        count = -(-array.size // 32)
        blocks = np.zeros(32 * count, np.float32)
        blocks[: array.size] = array.ravel()
        dense = values(blocks.reshape(-1, 32)).ravel()[: array.size]
        found[name], total = dense.reshape(array.shape), total + size * count
    return Small(total, found, 0.0)
