"""Skins of rendered fruit: patterns over the surface, from -1 (ground) to 1 (accent)."""

from collections.abc import Callable

import cv2
import numpy as np

Skin = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""From coordinates across and along the fruit, `[h, w]` in about -1..1, to a pattern `[h, w]`."""

_SPECKLES = 260
_BITS = 4  # of a pixel's fraction, as OpenCV draws


def _smooth(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del along, rng
    return np.zeros_like(across)


def _waves(phase: np.ndarray, waves: float, rng: np.random.Generator) -> np.ndarray:
    return np.sin(np.pi * waves * rng.normal(1, 0.06) * phase + rng.uniform(0, 2 * np.pi))


def _ribbed(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Meridians: closer together towards the poles."""
    return _waves(across / np.sqrt(np.maximum(1.15 - along**2, 0.15)), 6, rng)


def _banded(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _waves(along + 0.1 * across**2, 6, rng)


def _netted(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    crossed = _waves(across + along, 7, rng) * _waves(across - along, 7, rng)
    return np.where(np.abs(crossed) < 0.12, 0.9, -0.2).astype(np.float32)


def _speckled(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del along
    pattern = np.zeros(across.shape, np.float32)
    height, width = across.shape
    places = rng.uniform(0, (width, height), (_SPECKLES, 2))
    for (x, y), radius in zip(places, rng.uniform(0.5, 1.1, _SPECKLES), strict=True):
        centre = (round(2**_BITS * x), round(2**_BITS * y))
        cv2.circle(pattern, centre, round(2**_BITS * radius), 1.0, -1, cv2.LINE_AA, _BITS)
    return pattern


def _noise(shape: tuple[int, ...], cell: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise whose grains are about `cell` pixels."""
    height, width = shape
    small = rng.normal(0, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _blotched(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del along
    return np.tanh(2 * _noise(across.shape, 14, rng))


def _grainy(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del along
    return 0.35 * rng.normal(0, 1, across.shape).astype(np.float32)


def _woven(across: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del across
    rows, columns = np.indices(along.shape)
    offset = rng.integers(0, 4, 2)
    checks = ((rows + offset[0]) // 2 + (columns + offset[1]) // 2) % 2
    return (0.5 * checks - 0.25).astype(np.float32)


SKINS: dict[str, Skin] = {
    "smooth": _smooth,
    "ribbed": _ribbed,
    "banded": _banded,
    "netted": _netted,
    "speckled": _speckled,
    "blotched": _blotched,
    "grainy": _grainy,
    "woven": _woven,
}
