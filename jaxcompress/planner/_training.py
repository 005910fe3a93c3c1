"""Fine-tuning: the one training step and the one loop of plans."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcompress.compiled import jit_for_inference
from jaxcompress.planner._task import Apply, Task
from jaxcompress.quantization.damages import relative_error
from jaxcompress.trees import PyTree, named_leaves

_STATISTICS = ("batch_stats", "stats", "batchstat", "running_mean", "running_var", "moving_mean")
_STATISTICS_LAST = ("mean", "var", "moving_variance", "num_batches_tracked")

View = Callable[[PyTree], PyTree]
"""From the trained parameters to those with which the network is computed."""


def unchanged(params: PyTree) -> PyTree:
    """Compute with the parameters themselves."""
    return params


def trained_leaves(params: PyTree) -> list[bool]:
    """Return which leaves are trained: floating-point numbers that are no statistics of norms."""
    named = named_leaves(params)
    return [
        jnp.issubdtype(np.asarray(leaf).dtype if np.isscalar(leaf) else leaf.dtype, jnp.floating)
        and not _is_statistic(path)
        for path, leaf in zip(named.paths, named.leaves, strict=True)
    ]


def _is_statistic(path: str) -> bool:
    *parents, last = path.lower().replace(".", "/").split("/")
    return (
        last in _STATISTICS_LAST
        or last in _STATISTICS
        or any(parent in _STATISTICS for parent in parents)
    )


def steps_of(task: Task) -> int:
    """Return the batches of an epoch.

    Raises:
        ValueError: there are none.
    """
    assert task.train is not None
    count = sum(1 for _ in task.train)
    if not count:
        raise ValueError("train: must hold batches, got none; pass a list of them.")
    return count


def inputs_of(task: Task, batch: Any) -> tuple[PyTree, ...] | None:
    """Return the inputs in a batch, None if they cannot be told.

    They are the first parts of a tuple, as many as there are inputs, if these have the axes and
    dtypes of the example beside the first.
    """
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    found = parts[: len(task.example)]
    like, own = jax.tree.leaves(tuple(task.example)), jax.tree.leaves(found)
    if len(like) != len(own) or jax.tree.structure(found) != jax.tree.structure(
        tuple(task.example)
    ):
        return None
    alike = all(
        np.shape(a)[1:] == np.shape(b)[1:] and np.result_type(a).kind == np.result_type(b).kind
        for a, b in zip(like, own, strict=True)
    )
    return found if alike else None


def trained(
    task: Task,
    apply: Apply,
    params: PyTree,
    *,
    steps: int,
    view: View = unchanged,
    teacher: Callable[..., PyTree] | None = None,
    what: str = "fine-tuning",
    track: Callable[[str], None] = lambda text: None,
) -> PyTree:
    """Return parameters after training on the loss of a task, or by its own `fit`.

    Adam with a cosine from `learning_rate` down to 0. With a teacher, the relative squared distance
    to its outputs is added to the loss. Statistics of norms stay as they are.

    Args:
        task: with `loss` and `train`, or `fit`.
        apply: of the network.
        params: where training begins.
        steps: of the optimizer.
        view: what the network is computed with.
        teacher: from inputs to outputs.
        what: the name of the training, for errors.
        track: is told the loss.

    Raises:
        ValueError: a loss that is not finite, or does not depend on the parameters.
    """
    rate = optax.warmup_cosine_decay_schedule(
        0.0, task.learning_rate, max(steps // 20, 1), max(steps, 2)
    )
    tx = optax.adam(rate)
    if task.fit is not None:
        seen = task.fit(lambda tree, *inputs: apply(view(tree), *inputs), params, tx)
        return jax.tree.map(jnp.asarray, seen)
    return _own(task, apply, params, tx, steps, view, teacher, what, track)


def _own(
    task: Task,
    apply: Apply,
    params: PyTree,
    tx: Any,
    steps: int,
    view: View,
    teacher: Callable[..., PyTree] | None,
    what: str,
    track: Callable[[str], None],
) -> PyTree:
    assert task.loss is not None
    named = named_leaves(params)
    which = trained_leaves(params)
    loss_of = task.loss

    def rebuilt(own: Sequence[Any], rest: Sequence[Any]) -> PyTree:
        mine, others = iter(own), iter(rest)
        return named.rebuild([next(mine) if is_own else next(others) for is_own in which])

    def objective(own: Any, rest: Any, batch: Any, taught: Any) -> Any:
        tree = view(rebuilt(own, rest))
        found = jnp.asarray(loss_of(apply, tree, batch), jnp.float32)
        inputs = inputs_of(task, batch)
        if taught is not None and inputs is not None:
            found += relative_error(apply(tree, *inputs), taught)
        return found

    def step(own: Any, state: Any, rest: Any, batch: Any, taught: Any) -> Any:
        value, gradients = jax.value_and_grad(objective)(own, rest, batch, taught)
        updates, state = tx.update(gradients, state, own)
        size = optax.global_norm(gradients)
        return optax.apply_updates(own, updates), state, value, size

    own = [jnp.array(leaf) for leaf, mine in zip(named.leaves, which, strict=True) if mine]
    rest = [leaf for leaf, mine in zip(named.leaves, which, strict=True) if not mine]
    compiled, state = jit_for_inference(step), tx.init(own)
    losses: list[Any] = []
    for number, batch in enumerate(itertools.islice(_forever(task), steps)):
        inputs = inputs_of(task, batch) if teacher is not None else None
        taught = None if teacher is None or inputs is None else teacher(*inputs)
        own, state, value, size = compiled(own, state, rest, batch, taught)
        losses.append(value)
        if number == 0:
            _check_first(what, float(value), float(size))
        if number % 50 == 49:
            track(f"{what}: step {number + 1} of {steps}, loss {float(value):.3f}")
    last = float(losses[-1])
    if not math.isfinite(last):
        raise ValueError(
            f"loss: must stay finite, got {last} in {what}; lower learning_rate, "
            f"{task.learning_rate} now."
        )
    return rebuilt(own, rest)


def _check_first(what: str, value: float, size: float) -> None:
    if not math.isfinite(value) or not math.isfinite(size):
        raise ValueError(
            f"loss: must be finite with finite gradients, got {value} at the first batch of "
            f"{what}; look at the data and the loss."
        )
    if not size:
        raise ValueError(
            f"loss: must depend on the parameters, got a gradient of zeros at the first batch of "
            f"{what}; compute it with the apply and params that it is given."
        )


def _forever(task: Task) -> Iterator[Any]:
    while True:
        yield from task.train or ()
