"""Pruning: masks of weights by scores; units scored, chosen and cut out; blocks dropped.

From the bottom up, weights: `counts` and `select` (exactly the k smallest), `_scores`, `masks`,
`zeros` (masks applied), `_compensation` and `_second_order` (masks whose kept weights make up for
the rest); units: `_unit_scores`, `_activations`, `_unit_choice`, `_penalties`, `_owners`,
`_factored` and `_states` (optimizer states in a cut), `_shrink`, `_proof`, `_recalibrate`; blocks:
`_blocks`, `_block_choice`.
"""

from jaxcompress.prune._activations import activation_score, mean_magnitude, nonzero_share
from jaxcompress.prune._block_choice import (
    block_importance,
    choose_blocks,
    first_blocks,
    important_blocks,
    outer_blocks,
    random_blocks,
    spread_out,
)
from jaxcompress.prune._blocks import count_blocks, drop_blocks
from jaxcompress.prune._penalties import group_lasso
from jaxcompress.prune._proof import check_shrink
from jaxcompress.prune._recalibrate import recalibrate
from jaxcompress.prune._scores import Score, magnitude, random_score
from jaxcompress.prune._second_order import fit_mask
from jaxcompress.prune._shrink import shrink
from jaxcompress.prune._unit_choice import (
    across_groups,
    by_flops,
    by_parameters,
    by_units,
    choose_units,
    within_groups,
)
from jaxcompress.prune._unit_scores import (
    divide_by_max,
    divide_by_mean,
    geometric_median_score,
    l1_score,
    l2_score,
    norm_scale_score,
    random_unit_score,
    summed,
    taylor_score,
    unit_slices,
    unnormalized,
)
from jaxcompress.prune.masks import (
    erk_sparsities,
    global_mask,
    layerwise_mask,
    magnitude_mask,
    nm_mask,
    random_mask,
)
from jaxcompress.prune.zeros import apply_mask
from jaxcompress.units import FrozenAxis, Slice, UnitGroup, UnitGroups, unit_groups

__all__ = [
    "FrozenAxis",
    "Score",
    "Slice",
    "UnitGroup",
    "UnitGroups",
    "across_groups",
    "activation_score",
    "apply_mask",
    "block_importance",
    "by_flops",
    "by_parameters",
    "by_units",
    "check_shrink",
    "choose_blocks",
    "choose_units",
    "count_blocks",
    "divide_by_max",
    "divide_by_mean",
    "drop_blocks",
    "erk_sparsities",
    "first_blocks",
    "fit_mask",
    "geometric_median_score",
    "global_mask",
    "group_lasso",
    "important_blocks",
    "l1_score",
    "l2_score",
    "layerwise_mask",
    "magnitude",
    "magnitude_mask",
    "mean_magnitude",
    "nm_mask",
    "nonzero_share",
    "norm_scale_score",
    "outer_blocks",
    "random_blocks",
    "random_mask",
    "random_score",
    "random_unit_score",
    "recalibrate",
    "shrink",
    "spread_out",
    "summed",
    "taylor_score",
    "unit_groups",
    "unit_slices",
    "unnormalized",
    "within_groups",
]
