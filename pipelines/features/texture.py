"""Texture as local binary patterns."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress import jit_for_inference as jit

# Rows and columns from the centre, clockwise from the top left; the i-th is bit i.
_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))

_MOST_IMAGES, _MOST_PIXELS = 64, 2**20  # of one call of the kernel


def codes(grey: np.ndarray) -> np.ndarray:
    """Return the local binary pattern of each pixel: 8 neighbours at radius 1.

    `code = sum_i 2^i [neighbour_i >= centre]`, neighbours counted clockwise from the top left,
    which is thus the lowest bit; the left neighbour is the highest. Pixels beyond the border repeat
    those on it. A constant image gives 255 everywhere.

    One call of the kernel always takes as many images, the last filled up with blank ones: it
    compiles once for each size of image, whatever the batch.

    Args:
        grey: uint8 `[n, h, w]`.

    Returns:
        uint8 `[n, h, w]`.

    Source: Ojala, Pietikainen and Harwood, "A comparative study of texture measures with
        classification based on featured distributions", Pattern Recognition 29 (1), 1996.
    """
    count, height, width = grey.shape
    chunk = max(1, min(_MOST_IMAGES, _MOST_PIXELS // (height * width)))
    kernel = _kernel()
    result = np.empty_like(grey)
    for start in range(0, count, chunk):
        part = grey[start : start + chunk]
        blank = ((0, chunk - len(part)), (0, 0), (0, 0))
        full = part if len(part) == chunk else np.pad(part, blank)
        result[start : start + chunk] = np.asarray(kernel(full))[: len(part)]
    return result


@cache
def _kernel() -> Any:
    """Return the compiled kernel; made at first use, as compiling looks for devices."""
    return jit(_codes)


def _codes(grey: jax.Array) -> jax.Array:
    _, height, width = grey.shape
    padded = jnp.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    # Without the barrier, XLA computes the padding anew for each neighbour: four times as slow.
    padded = jax.lax.optimization_barrier(padded)
    code = jnp.zeros_like(grey)
    for bit, (row, column) in enumerate(_NEIGHBOURS):
        top, left = 1 + row, 1 + column
        neighbour = padded[:, top : top + height, left : left + width]
        code |= (neighbour >= grey).astype(jnp.uint8) << bit
    return code
