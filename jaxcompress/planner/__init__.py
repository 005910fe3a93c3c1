"""The planner: what each choice costs.

From the bottom up: `_changes` (of tensors) and `_smaller` (of units and blocks), `_same_numbers`
(whether silenced units do what a cut does), `_sensitivities`.

    blocks         drop one block
    Change         what is done to one part of a network at a time
    each_tensor    change one tensor at a time, as a function changes all of them
    kl_divergence  `KL(softmax(exact) || softmax(outputs))`
    rank           replace a tensor by a product of two thin matrices
    rounding       round a tensor to a grid of so many bits
    Sensitivities  what each change costs in each place, as a table
    sensitivities  the damage by each change, in one place at a time
    shared_values  let the weights of a tensor share values
    sparsity       remove the weights of the smallest score from a tensor
    step_size      round a tensor to steps relative to its channels
    Trial          parameters that are changed in one place
    units          cut a fraction of the units out of one group
"""

from jaxcompress.planner._changes import (
    Change,
    Trial,
    each_tensor,
    rank,
    rounding,
    shared_values,
    sparsity,
    step_size,
)
from jaxcompress.planner._sensitivities import Sensitivities, kl_divergence, sensitivities
from jaxcompress.planner._smaller import blocks, units

__all__ = [
    "Change",
    "Sensitivities",
    "Trial",
    "blocks",
    "each_tensor",
    "kl_divergence",
    "rank",
    "rounding",
    "sensitivities",
    "shared_values",
    "sparsity",
    "step_size",
    "units",
]
