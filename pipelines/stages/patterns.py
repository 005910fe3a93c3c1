"""Pruning to 2:4: of four neighbours that an output sums, two are removed, as sparse units expect.

Such a network is no faster here: JAX computes with dense arrays, on a CPU and on a GPU.
"""

from collections import defaultdict
from typing import Any

import jax
import jax.numpy as jnp

import jaxcompress as jc
from jaxcompress.scopes import kernels, named_leaves
from pipelines.options.option import Option
from pipelines.stages.files import packed
from pipelines.stages.pruning import PRUNED, SHARED, SHARING, masked
from pipelines.stages.stage import Facts, Recipe, Trainer, Work

KEPT, NEIGHBOURS = 2, 4
TRACED = 2  # images; their number does not change the axes


def prune(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Remove the smaller half of every four neighbours; kernels that they do not fit stay whole.

    Neighbours lie along the last axis that a product sums over: the input channels of dense layers
    and convolutions. Lengths that are no multiple of four do not fit. Weights in no product, such
    as biases of rank 2, are not pruned.
    """
    outputs = jc.quantization.channel_axes(job.apply, work.tree, job.sample(TRACED))
    by_axis: dict[int, set[str]] = defaultdict(set)
    whole = []
    named = named_leaves(work.params)
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        channels = outputs.get(f"params/{path}")
        if channels is None or not kernels(path, leaf):
            continue
        axis = max(set(range(leaf.ndim)) - set(channels))
        if leaf.shape[axis] % NEIGHBOURS:
            whole.append(path)
        else:
            by_axis[axis - leaf.ndim].add(path)

    if not by_axis:
        raise ValueError(
            f"{whole[0] if whole else 'params'}: no kernel sums over a multiple of {NEIGHBOURS} "
            "inputs; choose another recipe."
        )

    def mask_along(axis: int) -> Any:
        def scope(path: str, leaf: Any) -> bool:
            del leaf
            return path in by_axis[axis]

        return jc.prune.nm_mask(work.params, KEPT, NEIGHBOURS, axis=axis, scope=scope)

    mask = jax.tree.map(lambda *masks: jnp.all(jnp.stack(masks), 0), *map(mask_along, by_axis))
    return masked(work, mask), {"pattern": f"{KEPT}:{NEIGHBOURS}", "whole": whole}


OPTIONS: tuple[Option, ...] = ()

RECIPES = {
    "prune-2:4": Recipe(
        "prune+share with two of four neighbours removed; no faster on a CPU",
        SHARING,
        (packed("pruned 2:4", prune)._replace(file=PRUNED[0].file), PRUNED[1], *SHARED),
    ),
}
