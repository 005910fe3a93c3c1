"""Weights as products of thin matrices: how tensors become matrices, of which rank."""

from jaxcompress.lowrank._convolutions import convolutions, cp, low_rank_convolutions, tucker2
from jaxcompress.lowrank._ranks import by_budget, by_energy, by_ratio
from jaxcompress.lowrank._splits import across_space, last_axis, summed_axes
from jaxcompress.lowrank._svd import exact_svd, randomized_svd, truncated_svd
from jaxcompress.lowrank._weights import RankPlan, low_rank, plan_ranks

__all__ = [
    "RankPlan",
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
