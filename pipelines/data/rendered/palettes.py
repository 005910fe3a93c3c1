"""Colours of rendered fruit: the ground, and what spots and shoulders are painted in."""

from typing import NamedTuple

import cv2
import numpy as np


class Palette(NamedTuple):
    """Two colours as hue in degrees, saturation and value in 0..1."""

    ground: tuple[float, float, float]
    accent: tuple[float, float, float]

    def varied(self, rng: np.random.Generator) -> np.ndarray:
        """Return both colours of one fruit, RGB in 0..1, `[2, 3]`."""
        colours = np.array([self.ground, self.accent], np.float32)
        colours[:, 0] += rng.normal(0, 4.0)
        colours[:, 1:] += rng.normal(0, 0.05, 2)
        colours[:, 0] %= 360
        colours[:, 1:] = np.clip(colours[:, 1:], 0, 1)
        return cv2.cvtColor(colours[None], cv2.COLOR_HSV2RGB)[0]


PALETTES: dict[str, Palette] = {
    "crimson": Palette((352, 0.85, 0.70), (30, 0.60, 0.85)),
    "cherry": Palette((336, 0.85, 0.48), (320, 0.60, 0.80)),
    "orange": Palette((26, 0.90, 0.92), (12, 0.90, 0.75)),
    "amber": Palette((40, 0.85, 0.90), (28, 0.80, 0.55)),
    "lemon": Palette((54, 0.80, 0.92), (75, 0.70, 0.70)),
    "lime": Palette((85, 0.70, 0.75), (58, 0.60, 0.90)),
    "green": Palette((115, 0.60, 0.55), (90, 0.55, 0.80)),
    "plum": Palette((290, 0.50, 0.45), (330, 0.60, 0.65)),
    "blue": Palette((230, 0.50, 0.50), (260, 0.35, 0.75)),
    "brown": Palette((24, 0.55, 0.50), (34, 0.45, 0.75)),
}
