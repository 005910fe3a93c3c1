"""Modules of Flax NNX, Flax Linen and Equinox at the sizes of a tree.

From the bottom up: `_example` (a call), `_containers`, `_integers` (those of a dataclass),
`_solving` (integers from the sizes of arrays), `_linen`, `_equinox` and `_nnx` (one library each),
`_rebuild`. Libraries are imported when a module of theirs is given.

    at_sizes  what `unit_groups` takes as `rebuild`, of a module of Linen
    rebuild   a module from the same code, at the sizes of a tree
"""

from jaxcompress.modules._rebuild import at_sizes, rebuild

__all__ = ["at_sizes", "rebuild"]
