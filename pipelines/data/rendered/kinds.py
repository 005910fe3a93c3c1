"""The 131 kinds of rendered fruit: each an outline, a palette and a skin."""

from typing import NamedTuple

import numpy as np

from pipelines.data.rendered.outlines import OUTLINES
from pipelines.data.rendered.palettes import PALETTES
from pipelines.data.rendered.skins import SKINS

COUNT = 131  # as many as Fruits-360 of 2020 has
_SEED = 20_200_518
_SKINS_A_PAIR = 2


class Kind(NamedTuple):
    """What one class looks like, by the names of its three parts."""

    outline: str
    palette: str
    skin: str

    @property
    def name(self) -> str:
        """The name of the class."""
        return f"{self.palette} {self.skin} {self.outline}"


def kinds() -> tuple[Kind, ...]:
    """Return the kinds in the order of their names.

    Outlines meet palettes in pairs, each pair bears two skins: two parts never tell the kind, and
    every part is shared by about a tenth of all kinds.
    """
    draw = np.random.RandomState(_SEED)  # whose stream NumPy promises never to change
    pairs = [(outline, palette) for outline in OUTLINES for palette in PALETTES]
    skins = list(SKINS)
    found: list[Kind] = []
    for number, pair in enumerate(draw.permutation(len(pairs))):
        outline, palette = pairs[pair]
        if number % len(skins) == 0:
            order = draw.permutation(len(skins))
            turn = 1 + draw.randint(len(skins) - 1)
        first = number % len(skins)
        for skin in (order[first], order[(first + turn) % len(skins)])[:_SKINS_A_PAIR]:
            found.append(Kind(outline, palette, skins[skin]))
    return tuple(sorted(found[:COUNT], key=lambda kind: kind.name))
