"""The planner: from a budget to a file, by what each choice costs and damages.

From the bottom up. What one change does: `_changes` (of tensors) and `_smaller` (of units and
blocks), `_same_numbers` (whether silenced units do what a cut does), `_sensitivities`. What is to
be done: `_words`, `_kinds`, `_text` (files to edit), `_task`, `_record` (a profile as data),
`_reading`, `_building` (trees by settings), `_ladder` (bytes, as they would be coded), `_damage`,
`_rows` (of examples), `_cuts` (smaller networks), `_training`, `_refining` (rounding on data),
`_architecture`, `_measuring`, `_metric` (what a damage is), `_anchors` (whole plans, made and
evaluated), `_trials` (networks cut out and trained a little), `_profiling`. The best of all
choices: `_between`, `_knapsack`, `_prediction`, `_choosing`, `_plan` (as data), `_leaving` (what is
to stay as it is), `_planning`. Which technique: `_techniques` (their names), `_selection`,
`_textbook`, `_recommendation` (as data), `_judge`, `_recommending`, `_redundancy`. The proof:
`_straight_through` (training of rounded weights), `_stages`, `_proof`, `_fitting`, `_run`,
`_carrying`, `_one_call`, `_controls`; `_own_loop` (the same steps one by one). For files of
weights, a tensor at a time: `weights`.

    Advice           a technique, and what speaks for or against it
    blocks           drop one block
    carry_out        cut, fine-tune, round, code, and prove it
    Change           what is done to one part of a network at a time
    Check            one promise of a plan: budget, prediction and measurement
    compress_to      profile, plan, carry out and prove, in one call
    Control          a network that was made in another way
    controls         what the same budget gives without the ideas of the plan
    cut              a part of the cut of a plan
    each_tensor      change one tensor at a time, as a function changes all of them
    encoded          a tree with compressed leaves of a wanted size, for trained weights
    encoded_again    the same grids and codebooks for weights that were trained on
    kl_divergence    `KL(softmax(exact) || softmax(outputs))`
    LayerRedundancy  what a layer has twice, or does not need
    only             a profile of some techniques alone
    Plan             what becomes of each layer
    plan             the network and the choices of least loss within a budget
    Profile          the costs and damages of all choices
    profile          measure what each choice costs and damages
    rank             replace a tensor by a product of two thin matrices
    read_plan        read a plan from a file
    recommend        which technique first, second, and not at all
    Recommendation   techniques, the first first
    Redundancy       what a network has twice, or does not need, by layer
    redundancy       the same of a task: alike filters, ranks, idle weights, dead units
    Result           a compressed network and its proof
    rounded          compute with rounded weights while training
    rounding         round a tensor to a grid of so many bits
    Sensitivities    what each change costs in each place, as a table
    sensitivities    the damage by each change, in one place at a time
    shared_values    let the weights of a tensor share values
    sparsity         remove the weights of the smallest score from a tensor
    step_size        round a tensor to steps relative to its channels
    Task             a network, and what a planner may use
    Trial            parameters that are changed in one place
    units            cut a fraction of the units out of one group
"""

from jaxcompress.planner._carrying import carry_out
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
from jaxcompress.planner._controls import Control, controls
from jaxcompress.planner._one_call import compress_to
from jaxcompress.planner._own_loop import cut, encoded, encoded_again
from jaxcompress.planner._plan import Plan, read_plan
from jaxcompress.planner._planning import plan
from jaxcompress.planner._profiling import profile
from jaxcompress.planner._proof import Check, Result
from jaxcompress.planner._recommendation import Advice, Recommendation
from jaxcompress.planner._recommending import recommend
from jaxcompress.planner._record import Profile
from jaxcompress.planner._redundancy import LayerRedundancy, Redundancy, redundancy
from jaxcompress.planner._selection import only
from jaxcompress.planner._sensitivities import Sensitivities, kl_divergence, sensitivities
from jaxcompress.planner._smaller import blocks, units
from jaxcompress.planner._straight_through import rounded
from jaxcompress.planner._task import Task

__all__ = [
    "Advice",
    "Change",
    "Check",
    "Control",
    "LayerRedundancy",
    "Plan",
    "Profile",
    "Recommendation",
    "Redundancy",
    "Result",
    "Sensitivities",
    "Task",
    "Trial",
    "blocks",
    "carry_out",
    "compress_to",
    "controls",
    "cut",
    "each_tensor",
    "encoded",
    "encoded_again",
    "kl_divergence",
    "only",
    "plan",
    "profile",
    "rank",
    "read_plan",
    "recommend",
    "redundancy",
    "rounded",
    "rounding",
    "sensitivities",
    "shared_values",
    "sparsity",
    "step_size",
    "units",
]
