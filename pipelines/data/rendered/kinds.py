"""The 131 kinds of rendered fruit: each an outline, a palette and a skin."""

from typing import NamedTuple

import numpy as np

from pipelines.data.rendered.outlines import OUTLINES
from pipelines.data.rendered.palettes import PALETTES
from pipelines.data.rendered.skins import SKINS

COUNT = 131  # as many as Fruits-360 of 2020 has
_SEED = 20_200_518
_SKINS_A_PAIR = 2  # must divide the number of skins, or a pair could bear one twice


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

    Outlines meet palettes in pairs, and each pair but the last bears two skins; every skin is as
    frequent as every other.
    """
    shuffle = np.random.RandomState(_SEED).permutation  # a stream that NumPy promises to keep
    pairs = shuffle([(outline, palette) for outline in OUTLINES for palette in PALETTES])
    rounds = -(-COUNT // len(SKINS))
    skins = np.concatenate([shuffle(list(SKINS)) for _ in range(rounds)])
    found = [
        Kind(*map(str, pairs[number // _SKINS_A_PAIR]), skin=str(skins[number]))
        for number in range(COUNT)
    ]
    return tuple(sorted(found, key=lambda kind: kind.name))
