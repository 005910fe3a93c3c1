"""The steps of a plan one by one, for a training loop of one's own."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from jaxcompress.artifact import size_bytes as file_size
from jaxcompress.leaves import Half, is_compressed
from jaxcompress.planner._building import built
from jaxcompress.planner._cuts import cut_out, groups_of, partly, parts_of, rebuilt, sizes_of
from jaxcompress.planner._fitting import fitted_to
from jaxcompress.planner._leaving import honoured
from jaxcompress.planner._plan import Plan
from jaxcompress.planner._refining import refining
from jaxcompress.planner._straight_through import on_same_grids
from jaxcompress.planner._task import Task, apply_of
from jaxcompress.prune import count_blocks
from jaxcompress.trees import PyTree


def cut(
    params: PyTree, given: Plan, task: Task, *, part: float = 1.0
) -> tuple[Callable[..., PyTree], PyTree]:
    """Return the network after a part of the cut of a plan.

    Of each group `(1 - part) whole + part kept` units are left, those with the largest weights.
    Blocks are dropped all at once, whatever the part. Fine-tune after each part, and none should
    remove more than a fifth of the units.

    Args:
        params: of the whole network, or after a smaller part.
        given: the plan.
        task: of the whole network.
        part: of the cut, above 0 to 1, counted from the whole network.

    Raises:
        ValueError: groups or places that there are not, or fewer units than the plan keeps.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.planner import Task, plan, profile
        >>> task = Task(None, {"w": np.random.default_rng(0).standard_normal((64, 64))})
        >>> found = plan(profile(task), size_bytes="3KB")  # without an example nothing is cut
        >>> cut(task.params, found, task)[1] is task.params
        True
    """
    if not 0 < part <= 1:
        raise ValueError(f"part: must be above 0 and at most 1, got {part}; pass 1 for all of it.")
    apply = apply_of(task)
    if given.cut and not task.is_run:
        return cut_out(task, apply, params, given.cut)  # refuses
    whole = functools.cache(lambda: groups_of(task, apply, task.params))
    wanted = honoured(given, lambda: parts_of(task, whole()))
    if "blocks" in wanted and count_blocks(params, task.blocks) == len(wanted["blocks"]):
        return apply, params
    if "units" in wanted:
        wanted = partly(wanted, sizes_of(whole()), part)
    return cut_out(task, apply, params, wanted)


def encoded(
    params: PyTree,
    given: Plan,
    task: Task,
    *,
    size_bytes: float | None = None,
    size_of: Callable[[PyTree], int] = file_size,
    track: Callable[[str], None] = lambda text: None,
) -> PyTree:
    """Return a tree with compressed leaves for trained weights, whose file has a wanted size.

    Without a size, and where a person has changed the plan, weights are rounded as it says. Else
    the choices are those of least damage to the weights as they are now: those of the plan were
    made before the cut and the training.

    Args:
        params: of the network after the cut.
        given: the plan.
        task: of the whole network.
        size_bytes: of the file, at most; if no choices give it, it is the smallest one.
        size_of: from the tree to the bytes of its file, for files with metadata.
        track: is told what is done.

    Raises:
        ValueError: settings that cannot be carried out.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.planner import Task, plan, profile
        >>> task = Task(None, {"w": np.random.default_rng(0).standard_normal((64, 64))})
        >>> found = plan(profile(task), size_bytes="3KB")
        >>> file_size(encoded(task.params, found, task, size_bytes=2000)) <= 2000
        True
    """
    apply = None if task.apply is None else rebuilt(task, task.apply, params)
    refine = refining(task, apply, params)
    if size_bytes is None or given.is_edited:
        return built(params, given.settings, half=given.half, refine=refine.full)
    return fitted_to(
        task,
        apply,
        params,
        given,
        most=size_bytes,
        refine=refine,
        size_of=size_of,
        track=track,
    )


def encoded_again(params: PyTree, compressed: PyTree, *, half: bool = True) -> PyTree:
    """Return a tree with compressed leaves for weights trained as `rounded`.

    Weights are on the grids and codebooks that the tree has already.

    Args:
        params: after training with `rounded(compressed)`.
        compressed: from `encoded`.
        half: whether those of sixteen bits have them again, where that is still enough.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.leaves import Quantized
        >>> leaf = Quantized(values=np.int8([[1, 0]]), scale=np.float32([[0.5]]), bits=4)
        >>> encoded_again({"w": np.array([[0.9, 0.7]])}, {"w": leaf})["w"].values.tolist()
        [[2, 0]]
    """
    found = on_same_grids(params, compressed)
    if not any(
        isinstance(leaf, Half) for leaf in jax.tree.leaves(compressed, is_leaf=is_compressed)
    ):
        return found
    vectors = built(jax.tree.map(np.asarray, params), {}, half=half)
    return jax.tree.map(
        lambda old, leaf, vector: vector if isinstance(old, Half) else leaf,
        compressed,
        found,
        vectors,
        is_leaf=is_compressed,
    )
