"""What recipes and models have a use for, and so what may be asked for with them."""

from typing import NamedTuple

PRUNING = ("sparsity",)
SHARING = ("quantizer", "clusters", "step_size")
CUTTING = ("remove_channels", "rounds", "round_to", "group_lasso")
QUANTIZING = ("bits", "weight_bits")
DROPPING = ("keep_blocks", "temperature", "soft_weight")
DISTILLING = ("times_smaller", "students", "temperature", "soft_weight")
OF_SOME_RECIPES = frozenset(PRUNING + SHARING + CUTTING + QUANTIZING + DROPPING + DISTILLING)
"""Settings that only some recipes have a use for."""


class Uses(NamedTuple):
    """What the chosen recipe and model have a use for.

    Attributes:
        flags: those that not every recipe has a use for, and this one has.
        image_sizes: of images the model can be built for, the default first.
        branches: the inputs it can fuse; empty for a model that sees the picture alone.
        modules: that must be installed to run integers of 8 bits.
        depth: how many blocks the model has, of which some may be dropped; 0 for none.
    """

    flags: tuple[str, ...]
    image_sizes: tuple[int, ...]
    branches: tuple[str, ...]
    modules: tuple[str, ...] = ()
    depth: int = 0
