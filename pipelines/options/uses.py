"""The settings that recipes and models use, and which are allowed with them."""

from typing import NamedTuple

PRUNING = ("sparsity",)
SHARING = ("quantizer", "clusters", "step_size")
CUTTING = ("remove_channels", "rounds", "round_to", "group_lasso")
QUANTIZING = ("bits", "weight_bits")
DROPPING = ("keep_blocks", "temperature", "soft_weight")
DISTILLING = ("times_smaller", "students", "temperature", "soft_weight")
OF_SOME_RECIPES = frozenset(PRUNING + SHARING + CUTTING + QUANTIZING + DROPPING + DISTILLING)
"""Settings that only some recipes use."""


class Uses(NamedTuple):
    """The settings that the chosen recipe and model use.

    Attributes:
        flags: settings that this recipe uses and not every recipe does.
        image_sizes: of images that the model can be built for, the default first.
        branches: the inputs that it can fuse; empty for a model whose only input is the picture.
        modules: that must be installed to run integers of 8 bits.
        depth: number of blocks of the model, of which some may be dropped; 0 without blocks.
    """

    flags: tuple[str, ...]
    image_sizes: tuple[int, ...]
    branches: tuple[str, ...]
    modules: tuple[str, ...] = ()
    depth: int = 0
