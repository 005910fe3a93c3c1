"""Small pictures as PNG: pixels, and masks of convolutions."""

import base64
import struct
import zlib

import numpy as np

MOST_SIDE = 64
"""Pixels of a side of a mask."""


def mask_picture(tensor: np.ndarray) -> str | None:
    """Return which weights of a convolution are not zero, as the base64 of a grey PNG.

    Rows are positions and inputs, columns outputs. Of large kernels a pixel is the fraction of
    several weights: black for none, white for all.

    Args:
        tensor: a kernel `[..., inputs, outputs]`.

    Returns:
        None where the tensor is no convolution, or has no zeros.

    Example:
        >>> mask_picture(np.ones((3, 3, 4, 8))) is None, mask_picture(np.zeros((4, 8))) is None
        (True, True)
        >>> mask_picture(np.zeros((3, 3, 4, 8)))[:11]
        'iVBORw0KGgo'
    """
    if tensor.ndim < 3 or not tensor.size or np.count_nonzero(tensor) == tensor.size:
        return None
    kept = (tensor != 0).reshape(-1, tensor.shape[-1]).astype(np.float64)
    for axis in (0, 1):
        size = kept.shape[axis]
        starts = np.linspace(0, size, min(size, MOST_SIDE), endpoint=False).astype(np.int64)
        widths = np.diff([*starts, size])
        kept = np.add.reduceat(kept, starts, axis) / np.expand_dims(widths, 1 - axis)
    return base64.b64encode(png(np.round(255 * kept).astype(np.uint8))).decode()


def png(pixels: np.ndarray) -> bytes:
    r"""Return the PNG of pixels, without a filter.

    Args:
        pixels: uint8 `[height, width]` for grey, `[height, width, 3]` for colours.

    Raises:
        ValueError: other arrays.

    Source:
        W3C, Portable Network Graphics (PNG) Specification.

    Example:
        >>> png(np.zeros((1, 1), np.uint8))[:8]
        b'\x89PNG\r\n\x1a\n'
    """
    is_colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (is_colour or pixels.ndim == 2) or not pixels.size:
        raise ValueError(
            f"pixels: must be uint8 [h, w] or [h, w, 3], got {pixels.dtype} of {pixels.shape}; "
            "convert them."
        )
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # 0: no filter
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if is_colour else 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
