"""What goes: weights by masks from scores; whole units by groups, found by tracing, cut out."""

from jaxcompress.prune.activations import activation_score, mean_magnitude, nonzero_share
from jaxcompress.prune.block_choice import (
    block_importance,
    choose_blocks,
    first_blocks,
    important_blocks,
    outer_blocks,
    random_blocks,
    spread_out,
)
from jaxcompress.prune.blocks import count_blocks, drop_blocks
from jaxcompress.prune.masks import (
    erk_sparsities,
    global_mask,
    layerwise_mask,
    magnitude_mask,
    nm_mask,
    random_mask,
)
from jaxcompress.prune.penalties import group_lasso
from jaxcompress.prune.proof import check_shrink
from jaxcompress.prune.recalibrate import recalibrate
from jaxcompress.prune.scores import Score, magnitude, random_score
from jaxcompress.prune.shrink import shrink
from jaxcompress.prune.unit_scores import (
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
from jaxcompress.prune.units import (
    across_groups,
    by_flops,
    by_parameters,
    by_units,
    choose_units,
    within_groups,
)
from jaxcompress.prune.zeros import apply_mask
from jaxcompress.units.find import unit_groups
from jaxcompress.units.groups import FrozenAxis, Slice, UnitGroup, UnitGroups

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
