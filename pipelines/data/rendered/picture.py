"""Drawing one rendered fruit."""

from typing import NamedTuple

import cv2
import numpy as np

from pipelines.data.rendered.kinds import Kind
from pipelines.data.rendered.outlines import OUTLINES
from pipelines.data.rendered.palettes import PALETTES
from pipelines.data.rendered.skins import SKINS

SIDE = 100
_FRACTION_BITS = 4
_ROWS, _COLUMNS = np.indices((SIDE, SIDE), np.float32)


class _Place(NamedTuple):
    """Where a fruit lies: its axes are turned, enlarged and moved."""

    rotation: np.ndarray
    scale: float
    centre: np.ndarray

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return points `[n, 2]` of the fruit in pixels of the picture."""
        return self.scale * points @ self.rotation + self.centre

    def grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return where every pixel lies: right of and below the centre, across and along."""
        x, y = _COLUMNS - np.float32(self.centre[0]), _ROWS - np.float32(self.centre[1])
        (a, b), (c, d) = (self.rotation / self.scale).astype(np.float32)
        return x / self.scale, y / self.scale, a * x + b * y, c * x + d * y


def draw(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Return a picture uint8 `[100, 100, 3]`, RGB, of one fruit on white.

    Each call draws another fruit: its outline, colours and skin vary, and so do size, place,
    rotation, light and stalk.
    """
    scale, turn = 50 * rng.uniform(0.65, 0.92), rng.uniform(-np.pi, np.pi)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    outline = OUTLINES[kind.outline].varied(rng).points(rng)
    outline /= max(np.abs(outline).max(), 1.0)
    place = _Place(rotation, scale, SIDE / 2 + rng.uniform(-5, 5, 2))
    cover = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(cover, [_fixed(place.pixels(outline))], 255, cv2.LINE_AA, _FRACTION_BITS)
    x, y, across, along = place.grid()
    fruit = _lit(_painted(kind, across, along, rng), cover, x, y, rng)
    whole = np.ones((SIDE, SIDE, 3), np.float32)
    _stalk(whole, place, outline, rng)
    opacity = (cover / np.float32(255))[..., None]
    whole += opacity * (fruit - whole)
    noisy = 255 * whole + rng.normal(0, 1.5, whole.shape).astype(np.float32) * opacity
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _painted(
    kind: Kind, across: np.ndarray, along: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return colours, RGB `[h, w, 3]`: ground and accent mixed by the skin and a blush."""
    ground, accent = PALETTES[kind.palette].varied(rng)
    pattern = SKINS[kind.skin](across, along, rng)
    blush = np.clip(0.5 + 0.5 * (along + rng.normal(0, 0.2)), 0, 1) * rng.uniform(0.0, 0.35)
    share = np.clip(0.6 * np.maximum(pattern, -0.5) + blush, 0, 1)[..., None]
    return (ground + share * (accent - ground)) * (1 + 0.15 * pattern)[..., None]


def _fixed(points: np.ndarray) -> np.ndarray:
    """Return points as OpenCV takes them: integers with bits for the fraction."""
    return np.rint(points * 2**_FRACTION_BITS).astype(np.int32)


def _lit(
    fruit: np.ndarray,
    cover: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Shade as a rounded body under one lamp, of random place, strength and warmth."""
    depth = cv2.distanceTransform((cover > 127).astype(np.uint8), cv2.DIST_L2, 3)
    height = np.sqrt(np.minimum(depth / max(float(depth.max()), 1.0), 1.0))
    towards = rng.uniform(-np.pi, np.pi)
    lamp = rng.uniform(0.15, 0.4) * (np.cos(towards) * x + np.sin(towards) * y)
    light = rng.uniform(0.75, 1.1) * (0.62 + 0.38 * height + lamp)
    warmth = 1 + rng.normal(0, 0.035) * np.array([1, 0, -1], np.float32)
    shine = rng.uniform(0, 0.35) * np.exp(
        -12 * ((x + 0.3 * np.cos(towards)) ** 2 + (y + 0.3 * np.sin(towards)) ** 2)
    )
    return np.clip(fruit * (light[..., None] * warmth) + shine[..., None], 0, 1)


def _stalk(
    canvas: np.ndarray, place: _Place, outline: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw a bent stalk from the top of the fruit, on two fruits in three."""
    if rng.random() > 2 / 3:
        return
    root = outline[np.argmin(outline[:, 1])] * 0.9
    length, lean = rng.uniform(0.15, 0.35), rng.normal(0, 0.25)
    steps = np.linspace(0, 1, 5)[:, None]
    bend = np.concatenate([lean * steps**2, -steps], axis=1)
    points = _fixed(place.pixels(root + length * bend))
    colour = (0.35, 0.28, 0.15) if rng.random() < 0.5 else (0.3, 0.42, 0.15)
    cv2.polylines(
        canvas,
        [points],
        isClosed=False,
        color=colour,
        thickness=int(rng.integers(2, 4)),
        lineType=cv2.LINE_AA,
        shift=_FRACTION_BITS,
    )
