"""Small pictures as PNG."""

import struct
import zlib

import numpy as np


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
