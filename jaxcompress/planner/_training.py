"""Fine-tuning: the one training step and the one loop of plans."""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense
from jaxcompress.planner._rows import inputs_of
from jaxcompress.planner._task import Apply, Task
from jaxcompress.quantization.damages import relative_error
from jaxcompress.trees import NamedLeaves, PyTree, is_floating, named_leaves

_STATISTICS = ("batch_stats", "stats", "batchstat", "running_mean", "running_var", "moving_mean")
_STATISTICS_LAST = ("mean", "var", "moving_variance", "num_batches_tracked")

RATES = (3e-3, 1e-3, 3e-4)
"""Learning rates of which the best is taken where the task does not say one."""

Fit = Callable[[Apply, PyTree, Any], PyTree]

View = Callable[[PyTree], PyTree]
"""From the trained parameters to those with which the network is computed."""


def untold(text: str) -> None:
    """Show nothing."""
    del text


def unchanged(params: PyTree) -> PyTree:
    """Compute with the parameters themselves."""
    return params


class Split(NamedTuple):
    """The leaves of a tree, apart: those that are trained, and the rest.

    Attributes:
        named: of the whole tree.
        which: are trained.
    """

    named: NamedLeaves
    which: list[bool]

    @property
    def own(self) -> list[Any]:
        """Leaves that are trained, on the device, in buffers of their own."""
        return [jnp.array(a) for a, mine in zip(self.named.leaves, self.which, strict=True) if mine]

    @property
    def rest(self) -> list[Any]:
        """The other leaves."""
        return [a for a, mine in zip(self.named.leaves, self.which, strict=True) if not mine]

    def rebuild(self, own: Sequence[Any], rest: Sequence[Any]) -> PyTree:
        """Return the tree with these leaves."""
        mine, others = iter(own), iter(rest)
        return self.named.rebuild([next(mine if is_own else others) for is_own in self.which])


def split(params: PyTree, fixed: Collection[str] = ()) -> Split:
    """Return which leaves are trained: floating-point numbers that are no statistics of norms.

    Args:
        params: any pytree of arrays.
        fixed: paths of others that are not.
    """
    named = named_leaves(params)

    def is_trained(path: str, leaf: Any) -> bool:
        return is_floating(leaf) and not _is_statistic(path) and path not in fixed

    return Split(named, list(map(is_trained, named.paths, named.leaves)))


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


class Trained(NamedTuple):
    """A network after training.

    Attributes:
        params: of it.
        first: loss before the first step; NaN where the task has its own `fit`.
        last: mean loss of the last quarter of the steps.
    """

    params: PyTree
    first: float
    last: float


class Lesson(NamedTuple):
    """How a network is trained.

    Attributes:
        steps: of the optimizer.
        rate: highest learning rate.
        view: what the network is computed with.
        teacher: from inputs to outputs.
        what: the name of the training, for errors.
        track: is told the loss.
        fixed: paths of tensors that are not trained.
    """

    steps: int
    rate: float
    view: View = unchanged
    teacher: Callable[..., PyTree] | None = None
    what: str = "fine-tuning"
    track: Callable[[str], None] = untold
    fixed: Collection[str] = ()


def trained(task: Task, apply: Apply, params: PyTree, lesson: Lesson) -> Trained:
    """Return a network after training on the loss of a task, or by its own `fit`.

    Adam with a cosine from the learning rate down to 0. With a teacher, the relative squared
    distance to its outputs is added to the loss. Statistics of norms stay as they are.

    Args:
        task: with `loss` and `train`, or `fit`.
        apply: of the network.
        params: where training begins.
        lesson: how.

    Raises:
        ValueError: a loss that is not finite, or does not depend on the parameters.
    """
    steps = lesson.steps
    tx = optax.adam(
        optax.warmup_cosine_decay_schedule(0.0, lesson.rate, max(steps // 20, 1), max(steps, 2))
    )
    if task.fit is not None:
        return Trained(_by_fit(task.fit, apply, params, tx, lesson), math.nan, math.nan)
    return _own(task, apply, params, tx, lesson)


def _by_fit(fit: Fit, apply: Apply, params: PyTree, tx: Any, lesson: Lesson) -> PyTree:
    """Train by a function of the user's, which must leave fixed tensors as they are."""

    def fixed(tree: PyTree) -> PyTree:
        named = named_leaves(tree)
        return named.rebuild([path in lesson.fixed for path in named.paths])

    tx = optax.chain(tx, optax.masked(optax.set_to_zero(), fixed)) if lesson.fixed else tx
    seen = fit(lambda tree, *inputs: apply(lesson.view(tree), *inputs), params, tx)
    made = jax.tree.map(jnp.asarray, seen)
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(made)):
        raise ValueError(f"fit: must return finite numbers, got others in {lesson.what}.")
    named = named_leaves(made)
    for path, old, new in zip(named.paths, jax.tree.leaves(params), named.leaves, strict=True):
        if path in lesson.fixed and not np.array_equal(old, new):
            raise ValueError(
                f"fit: must leave {path} as it is, got other numbers in {lesson.what}; train with "
                "the tx that is given."
            )
    return made


def _own(task: Task, apply: Apply, params: PyTree, tx: Any, lesson: Lesson) -> Trained:
    assert task.loss is not None
    loss_of, parts = task.loss, split(params, lesson.fixed)

    def objective(own: Any, rest: Any, batch: Any, taught: Any) -> Any:
        tree = lesson.view(parts.rebuild(own, rest))
        found = jnp.asarray(loss_of(apply, tree, batch), jnp.float32)
        inputs = inputs_of(task, batch)
        if taught is not None and inputs is not None:
            found += relative_error(apply(tree, *inputs), taught)
        return found

    def step(own: Any, state: Any, rest: Any, batch: Any, taught: Any) -> Any:
        value, gradients = jax.value_and_grad(objective)(own, rest, batch, taught)
        updates, state = tx.update(gradients, state, own)
        return optax.apply_updates(own, updates), state, value

    own, rest = parts.own, parts.rest
    compiled, state = jit_for_inference(step), tx.init(own)
    losses: list[Any] = []
    what, teacher = lesson.what, lesson.teacher
    for number, batch in enumerate(itertools.islice(_forever(task), lesson.steps)):
        inputs = None if teacher is None else inputs_of(task, batch)
        taught = None if teacher is None or inputs is None else teacher(*inputs)
        own, state, value = compiled(own, state, rest, batch, taught)
        losses.append(value)
        if number % 50 == 49:
            lesson.track(f"{what}: step {number + 1} of {lesson.steps}, loss {float(value):.3f}")
    last = float(np.mean([float(value) for value in losses[-max(len(losses) // 4, 1) :]]))
    if not math.isfinite(last):
        raise ValueError(
            f"loss: must stay finite, got {last} in {what}; give a learning_rate below "
            f"{lesson.rate:g}."
        )
    return Trained(parts.rebuild(own, rest), float(losses[0]), last)


def check_loss(task: Task) -> None:
    """Refuse a loss that cannot be lowered, at the first batch.

    Raises:
        ValueError: no batches, a loss or gradients that are not finite, gradients of zeros.
    """
    assert task.loss is not None and task.apply is not None
    steps_of(task)
    apply, loss_of, batch = task.apply, task.loss, next(_forever(task))
    parts = split(dense(task.params))

    def objective(own: Any) -> Any:
        return loss_of(apply, parts.rebuild(own, parts.rest), batch)

    value, gradients = jit_for_inference(jax.value_and_grad(objective))(parts.own)
    size = float(sum(jnp.sum(jnp.abs(gradient)) for gradient in gradients))
    if not math.isfinite(float(value)) or not math.isfinite(size):
        raise ValueError(
            f"loss: must be finite with finite gradients, got {float(value)} at the first batch; "
            "look at the data and the loss."
        )
    if not size:
        raise ValueError(
            "loss: must depend on the parameters, got gradients of zeros at the first batch; "
            "compute it with the apply and params that it is given."
        )


def _forever(task: Task) -> Iterator[Any]:
    while True:
        yield from task.train or ()
