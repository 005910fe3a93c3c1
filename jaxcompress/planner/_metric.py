"""What a damage is: how far outputs are from those of the whole network, as one number."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.compiled import jit_for_inference
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._building import surveyed
from jaxcompress.planner._measuring import alike, evaluated
from jaxcompress.planner._prediction import in_proportion, isotonic
from jaxcompress.planner._record import OF_WEIGHTS, Settings
from jaxcompress.planner._sensitivities import kl_divergence
from jaxcompress.planner._task import Task
from jaxcompress.quantization.damages import Damage, relative_error
from jaxcompress.trees import PyTree

_OWN: Mapping[str, Damage] = {
    "relative_error": relative_error,
    "kl_divergence": kl_divergence,
}

_PILOTS: tuple[Settings, ...] = (
    {"step_size": 4.0},
    {"step_size": 2.0},
    {"keep_low_rank": 0.25, "step_size": 0.3},
    {"keep_low_rank": 0.5, "step_size": 0.3},
    {"sparsity": 0.5, "step_size": 0.3},
    {"sparsity": 0.75, "step_size": 0.3},
    {"clusters": 3},
    {"clusters": 6},
)
"""Damages of four kinds, each a large and a smaller one, all tensors alike."""

_CONFIDENT = 0.5


def metric_of(task: Task, name: str) -> Damage:
    """Return the metric of a name, or that of a task.

    Raises:
        ValueError: a name of none, or another than that of the task.
    """
    if not task.is_run:
        return relative_error  # of no outputs
    if task.damage is not None:
        if name != _name(task.damage):
            raise ValueError(
                f"damage: must be {name}, as in the profile, got {_name(task.damage)}; measure a "
                "new profile."
            )
        return task.damage
    if name not in _OWN:
        raise ValueError(
            f"metric: must be one of {', '.join(_OWN)}, or that of the task, got {name!r}; give "
            "the task its damage."
        )
    return _OWN[name]


def name_of_metric(
    task: Task,
    params: PyTree,
    outputs: Callable[[], PyTree],
    value: float | None,
    track: Callable[[str], None],
) -> str:
    """Return the name of the metric by which choices of a network are compared.

    That is the one of the task, or the relative error. Where outputs are those of a confident
    classifier, and there is an evaluation, a few coarse roundings of the whole network decide: it
    is the Kullback-Leibler divergence if that tells their losses of quality in better order.

    Args:
        task: with or without a metric.
        params: dense.
        outputs: of the network on the example.
        value: quality of the network; None without an evaluation.
        track: is told what is done.
    """
    if not task.is_run:
        return OF_WEIGHTS
    if task.damage is not None:
        return _name(task.damage)
    if value is None or not _is_confident(outputs()):
        return "relative_error"
    assert task.apply is not None
    compiled, exact = jit_for_inference(task.apply), outputs()
    found = surveyed(TreeSource(params))
    losses: list[float] = []
    damages: dict[str, list[float]] = {name: [] for name in _OWN}
    for settings in _PILOTS:
        track(f"which metric: {settings}")
        tree = alike(found, settings)
        changed = compiled(tree, *task.example)
        losses.append(value - evaluated(task, task.apply, tree))
        for name, metric in _OWN.items():
            damages[name].append(float(metric(changed, exact)))
    return min(_OWN, key=lambda name: disorder(damages[name], losses))  # the first, if alike


def disorder(damages: list[float], losses: list[float]) -> float:
    """Return how far losses are from rising with damages.

    It is the least `sum |a - b|` to rising numbers `b`, of losses `in_proportion`.

    Example:
        >>> disorder([0.1, 0.2, 0.3], [1.0, 2.0, 8.0]), disorder([0.1, 0.3, 0.2], [1.0, 2.0, 2.0])
        (0.0, 0.0)
        >>> round(disorder([0.1, 0.3, 0.2], [1.0, 2.0, 8.0]), 1)
        1.4
    """
    order = np.argsort(damages, kind="stable")
    scaled = in_proportion(np.array(losses)[order])
    return float(np.abs(scaled - isotonic(scaled)).sum())


def _name(damage: Any) -> str:
    return getattr(damage, "__name__", type(damage).__name__)


def _is_confident(outputs: PyTree) -> bool:
    """Whether outputs are logits of one array, most of whose rows are sure of their class."""
    leaves = jax.tree.leaves(outputs)
    if len(leaves) != 1 or leaves[0].ndim < 2 or leaves[0].shape[-1] < 2:
        return False
    if not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        return False
    return float(jnp.mean(jnp.max(jax.nn.softmax(leaves[0]), axis=-1))) > _CONFIDENT
