"""Pruning: masks of weights by scores; units scored, chosen and cut out; blocks dropped.

From the bottom up, weights: `counts` and `select` (exactly the k smallest), `_scores`, `masks`,
`_controls` (random ones), `_erk`, `zeros` (masks applied), `_compensation` and `_second_order`
(masks whose kept weights make up for the removed ones); units: `_unit_slices`, `_unit_scores`,
`_activations`, `_unit_choice`, `_penalties`, `_owners`, `_factored` and `_states` (optimizer states
in a cut), `_shrink`, `_proof`, `_recalibrate`; blocks: `_blocks`, `_block_choice`.

    across_groups           remove the fraction from all groups together, the lowest scores first
    activation_score        a score of units by their outputs on data
    apply_mask              `params` with exact zeros where `mask` is False
    block_importance        how much the loss grows when a block is dropped, for each block
    BlockRule               `rule(depth, keep)` gives the positions of the blocks that are kept
    by_flops                count a unit by the operations that are removed with it alone
    by_parameters           count a unit by the parameters that it carries alone
    by_units                count every unit once
    Candidate               a group whose units may be removed
    check_shrink            prove a cut: the relative difference to the function with units silenced
    choose_blocks           choose the blocks that are kept
    choose_units            choose the units that are kept: those of the highest scores
    count_blocks            how many blocks a tree has
    divide_by_max           scores in units of their group's largest magnitude
    divide_by_mean          scores in units of the mean of their group's magnitudes
    drop_blocks             keep some blocks of a network, remove the others
    erk_sparsities          spread a sparsity over the leaves by the Erdos-Renyi-Kernel rule
    first_blocks            keep the first blocks
    fit_mask                prune, and let the kept weights make up for what is removed
    FrozenAxis              units that cannot be removed
    geometric_median_score  score a unit by the sum of its distances to the others
    global_mask             remove the weights of the smallest score over all layers together
    group_lasso             the group lasso: the sum over all units of `sqrt(m) * ||w||_2`
    important_blocks        a rule that keeps the most important blocks
    Keep                    by name of the group `[units]` booleans, True where a unit is kept
    l1_score                score a unit by the sum of `|w|` over all its slices
    l2_score                score a unit by the root of the sum of `w^2` over all its slices
    layerwise_mask          remove the weights of the smallest score within each leaf
    magnitude               score every weight by `|w|`
    magnitude_mask          remove the weights of the smallest `|w|` over all layers together
    mean_magnitude          the mean of `|a|` over the samples, `[entries]`
    Measure                 what one unit of a group counts for
    nm_mask                 keep the `n` highest scores of every `m` neighbours along `axis`
    nonzero_fraction        the fraction of the samples that are not zero, `[entries]`: 1 - APoZ
    norm_scale_score        a score that sums `|scale|` of the norms behind a unit
    Normalize               brings the scores of a group to a common scale
    outer_blocks            keep the first and the last blocks
    random_blocks           a rule that keeps random blocks: the control
    random_mask             remove weights at random: the control
    random_score            ignore the weights: the control
    random_unit_score       ignore the weights: the control
    Rebuild                 from shapes of smaller parameters to the `apply` built for them
    recalibrate             running statistics as the plain mean over batches
    Score                   from parameters to how much each weight matters
    shrink                  cut the removed units out of every array
    shuffled_mask           as many kept weights in each leaf, at random places: the control
    Slice                   where a group's units lie along one axis of one leaf
    Spread                  decides how many units each group loses
    spread_out              keep blocks at even distances
    Statistic               from `[entries, samples]` activations to a number for each entry
    summed                  a score of units that sums a score of weights
    taylor_score            how much the loss changes, to first order, without a unit
    unit_groups             find the units of a function by tracing it
    unit_slices             the entries that belong to units, one `[units, m]` array a slice
    UnitGroup               units that look alike
    UnitGroups              all groups of a function, as a table
    UnitScore               from groups and parameters to a number for each unit
    UnitScores              by name of the group `[units]` numbers; the smallest are removed first
    unnormalized            scores as they are
    within_groups           remove the same fraction of each group
"""

from jaxcompress.prune._activations import (
    Statistic,
    activation_score,
    mean_magnitude,
    nonzero_fraction,
)
from jaxcompress.prune._block_choice import (
    BlockRule,
    block_importance,
    choose_blocks,
    first_blocks,
    important_blocks,
    outer_blocks,
    random_blocks,
    spread_out,
)
from jaxcompress.prune._blocks import count_blocks, drop_blocks
from jaxcompress.prune._controls import random_mask, shuffled_mask
from jaxcompress.prune._erk import erk_sparsities
from jaxcompress.prune._penalties import group_lasso
from jaxcompress.prune._proof import check_shrink
from jaxcompress.prune._recalibrate import recalibrate
from jaxcompress.prune._scores import Score, magnitude, random_score
from jaxcompress.prune._second_order import fit_mask
from jaxcompress.prune._shrink import Keep, shrink
from jaxcompress.prune._unit_choice import (
    Candidate,
    Measure,
    Spread,
    across_groups,
    by_flops,
    by_parameters,
    by_units,
    choose_units,
    within_groups,
)
from jaxcompress.prune._unit_scores import (
    Normalize,
    UnitScore,
    UnitScores,
    divide_by_max,
    divide_by_mean,
    geometric_median_score,
    l1_score,
    l2_score,
    norm_scale_score,
    random_unit_score,
    summed,
    taylor_score,
    unnormalized,
)
from jaxcompress.prune._unit_slices import unit_slices
from jaxcompress.prune.masks import global_mask, layerwise_mask, magnitude_mask, nm_mask
from jaxcompress.prune.zeros import apply_mask
from jaxcompress.units import FrozenAxis, Rebuild, Slice, UnitGroup, UnitGroups, unit_groups

__all__ = [
    "BlockRule",
    "Candidate",
    "FrozenAxis",
    "Keep",
    "Measure",
    "Normalize",
    "Rebuild",
    "Score",
    "Slice",
    "Spread",
    "Statistic",
    "UnitGroup",
    "UnitGroups",
    "UnitScore",
    "UnitScores",
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
    "nonzero_fraction",
    "norm_scale_score",
    "outer_blocks",
    "random_blocks",
    "random_mask",
    "random_score",
    "random_unit_score",
    "recalibrate",
    "shrink",
    "shuffled_mask",
    "spread_out",
    "summed",
    "taylor_score",
    "unit_groups",
    "unit_slices",
    "unnormalized",
    "within_groups",
]
