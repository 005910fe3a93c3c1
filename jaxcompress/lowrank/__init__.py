"""Low rank: weights as products of thin matrices, and the choice of matrices and ranks.

From the bottom up: `_svd`, `_splits` (which axes are rows), `_matrices`, `_ranks` (rules that see
all matrices), `_weights` (trees); `_convolutions` (more than two factors, by tensorly).

    across_space           a kernel HWIO as a convolution along the height, then along the width
    Axes                   a tensor as a matrix
    by_budget              spend a number of parameters where the error falls most
    by_energy              keep a fraction of the squared singular values
    by_ratio               keep at most a fraction of the parameters of each matrix
    ConvolutionMethod      from a kernel HWIO and a fraction of its parameters to a product
    convolutions           scope of floating-point leaves of rank 4: kernels HWIO
    cp                     four convolutions: 1x1, along the height, along the width, 1x1
    Decomposition          from a matrix and a rank to singular values and vectors
    exact_svd              the best approximation of a rank, by `numpy.linalg.svd`
    last_axis              the last axis as columns, all axes before it as rows
    low_rank               replace leaves by products of two thin matrices
    low_rank_convolutions  replace kernels by products of three or four factors
    Matrix                 a tensor as one matrix `W`, or as a stack of them, `[layers, m, n]`
    plan_ranks             the ranks that `low_rank` would take
    randomized_svd         nearly the best approximation, from a random sketch
    RankPlan               which tensors become products, and which do not
    RankRule               from the matrices to the rank of each, or the reason to keep it dense
    Split                  decides by path and leaf which axes are rows
    summed_axes            split weights into the axes that products sum over and the others
    Svd                    `(left * values) @ right`
    truncated_svd          `randomized_svd` where it is much faster, else `exact_svd`
    tucker2                three convolutions: 1x1 to fewer channels, one on those, 1x1 back
"""

from jaxcompress.lowrank._convolutions import (
    ConvolutionMethod,
    convolutions,
    cp,
    low_rank_convolutions,
    tucker2,
)
from jaxcompress.lowrank._matrices import Matrix
from jaxcompress.lowrank._ranks import RankRule, by_budget, by_energy, by_ratio
from jaxcompress.lowrank._splits import Axes, Split, across_space, last_axis, summed_axes
from jaxcompress.lowrank._svd import (
    Decomposition,
    Svd,
    exact_svd,
    randomized_svd,
    truncated_svd,
)
from jaxcompress.lowrank._weights import RankPlan, low_rank, plan_ranks

__all__ = [
    "Axes",
    "ConvolutionMethod",
    "Decomposition",
    "Matrix",
    "RankPlan",
    "RankRule",
    "Split",
    "Svd",
    "across_space",
    "by_budget",
    "by_energy",
    "by_ratio",
    "convolutions",
    "cp",
    "exact_svd",
    "last_axis",
    "low_rank",
    "low_rank_convolutions",
    "plan_ranks",
    "randomized_svd",
    "summed_axes",
    "truncated_svd",
    "tucker2",
]
