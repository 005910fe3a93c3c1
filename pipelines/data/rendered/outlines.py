"""Outlines of rendered fruit: one curve, bent and lobed in ten ways."""

from dataclasses import dataclass, replace

import numpy as np

_POINTS = 96


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A closed curve about the origin, of height 2.

    Attributes:
        width: Width over height.
        squareness: Exponent of the superellipse; 2 is an ellipse, more is boxier, less pointed.
        taper: How much wider the bottom is than the middle, and the top narrower.
        lobes: Number of bulges around it.
        depth: How far they stand out, as a fraction of the radius.
        bend: How far the middle leaves the axis.
    """

    width: float = 1.0
    squareness: float = 2.0
    taper: float = 0.0
    lobes: int = 0
    depth: float = 0.0
    bend: float = 0.0

    def varied(self, rng: np.random.Generator) -> "Outline":
        """Return the outline of one fruit of this kind."""
        width, squareness, taper, depth, bend = 1 + rng.normal(0, 0.045, 5)
        return replace(
            self,
            width=self.width * width,
            squareness=self.squareness * squareness,
            taper=self.taper * taper + rng.normal(0, 0.02),
            depth=self.depth * depth,
            bend=self.bend * bend + rng.normal(0, 0.02),
        )

    def points(self, rng: np.random.Generator) -> np.ndarray:
        """Return points `[n, 2]` of x (right) and y (down), with the dents of one fruit."""
        angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
        power = 2 / self.squareness
        x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
        y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
        radius = 1 + self.depth * np.cos(self.lobes * (angle + np.pi / 2))
        for waves in (2, 3, 4):
            radius += rng.normal(0, 0.009) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
        x, y = self.width * radius * x, radius * y
        x = x * (1 + self.taper * y) + self.bend * (y**2 - 0.4)
        return np.stack([x, y], axis=-1)


OUTLINES: dict[str, Outline] = {
    "ball": Outline(),
    "egg": Outline(width=0.8, taper=0.14),
    "disc": Outline(width=1.32),
    "finger": Outline(width=0.42, squareness=2.6),
    "crescent": Outline(width=0.42, bend=0.5),
    "pear": Outline(width=0.72, taper=0.38),
    "box": Outline(width=0.92, squareness=4.0),
    "spindle": Outline(width=0.72, squareness=1.5),
    "star": Outline(width=0.98, lobes=5, depth=0.16),
    "pumpkin": Outline(width=1.16, lobes=8, depth=0.05),
}
