"""One training step and one fit loop for all networks and stages."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcompress import jit_for_inference as jit
from jaxcompress.nnx import Net, Params, Stats
from pipelines.data.augment import Augment, unchanged
from pipelines.models.devices import ALONE, Devices
from pipelines.models.examples import Examples
from pipelines.models.table import Inputs

EVAL_BATCH = 512

View = Callable[[Any], Any]
Step = Callable[..., tuple["TrainState", jax.Array, jax.Array]]


class TrainState(NamedTuple):
    """Everything that a training step changes."""

    params: Params
    stats: Stats
    opt_state: Any


class Position(NamedTuple):
    """The position in a fit: epoch, and batches taken of it, both counted from 0."""

    epoch: int = 0
    batch: int = 0


class Tick(NamedTuple):
    """One finished training step.

    Attributes:
        state: after the step.
        position: of the next step.
        loss: mean loss of the batch, on the device.
        accuracy: fraction of the batch that was right, on the device.
    """

    state: TrainState
    position: Position
    loss: jax.Array
    accuracy: jax.Array

    def note(self) -> str:
        """Return loss and accuracy in words; this waits for the step to end."""
        return f"loss {float(self.loss):.3f} accuracy {float(self.accuracy):.1%}"


class Score(NamedTuple):
    """The quality of a network on a split."""

    accuracy: float
    loss: float


def copied(tree: Any) -> Any:
    """Return the tree in new buffers, which a training step may reuse."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross entropy of integer labels."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


class Lesson(NamedTuple):
    """The loss of a training, and its teacher.

    Attributes:
        loss: from logits, labels and the teacher's logits for the inputs to a scalar.
        teacher: from the augmented inputs of a step to its logits; None without a teacher.
    """

    loss: Callable[..., jax.Array]
    teacher: Callable[[Inputs], Any] | None = None


FROM_LABELS = Lesson(cross_entropy)


def make_step(
    net: Net,
    view: View,
    tx: optax.GradientTransformation,
    lesson: Lesson = FROM_LABELS,
    devices: Devices = ALONE,
) -> Step:
    """Return the compiled step `(state, inputs, labels) -> (state, loss, accuracy)`.

    A fourth argument replaces the logits of the lesson's teacher for the inputs. On several devices
    sums and means are those of the whole batch, also those of norms; the result is whole on each.
    """

    def step(
        state: TrainState, inputs: Inputs, labels: jax.Array, *taught: Any
    ) -> tuple[TrainState, jax.Array, jax.Array]:
        def objective(params: Params) -> tuple[jax.Array, tuple[jax.Array, Stats]]:
            logits, stats = net.apply_training(params, state.stats, view(inputs))
            return lesson.loss(logits, labels, *taught), (logits, stats)

        (value, (logits, stats)), gradients = jax.value_and_grad(objective, has_aux=True)(
            state.params
        )
        updates, opt_state = tx.update(gradients, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
        return devices.pinned((TrainState(params, stats, opt_state), value, accuracy))

    compiled, teacher = jit(step, donate_argnums=0), lesson.teacher
    if teacher is None:
        return compiled
    return lambda state, inputs, labels, *known: compiled(
        state, inputs, labels, *(known or [teacher(inputs)])
    )


def make_update(net: Net, view: View, params: Params) -> Callable[[Stats, Inputs], Stats]:
    """Return a compiled `(stats, inputs) -> stats`: the update of statistics of a training step."""
    update = jit(lambda params, stats, inputs: net.apply_training(params, stats, view(inputs))[1])
    return lambda stats, inputs: update(params, stats, inputs)


def batches_of(data: Examples, batch_size: int, most: int) -> Iterator[Inputs]:
    """Yield inputs of the first full batches, of at most `most` images, at least one batch."""
    for start in range(0, max(min(len(data), most) // batch_size, 1) * batch_size, batch_size):
        yield jax.tree.map(lambda rows: rows[start : start + batch_size], data.inputs)  # noqa: B023


def batches_per_epoch(size: int, batch_size: int) -> int:
    """Return the full batches of an epoch; the remaining images wait for the next shuffle."""
    return size // batch_size


def fit(
    steps: Mapping[int, Step],
    state: TrainState,
    data: Examples,
    *,
    batch_size: int,
    seed: tuple[int, ...],
    start: Position = Position(),  # noqa: B008  (immutable)
    augment: Augment = unchanged,
    devices: Devices = ALONE,
) -> Iterator[Tick]:
    """Train, and yield after every step.

    This is a Python loop over a compiled step: on a CPU a convolution inside `lax.scan` is several
    times slower. The order of the images depends only on `seed` and the epoch, their augmentation
    also on the batch. So a fit that is resumed at any position continues as if it had never
    stopped.

    Args:
        steps: from `make_step`, each with the number of epochs after which the next one replaces
            it; the last number is the length of the training.
        state: to start from; its arrays are donated to the first step.
        data: for training; with answers only if inputs are not augmented.
        batch_size: images in a step.
        seed: numbers that choose the order of the images.
        start: where to start, to resume.
        augment: of the images of each step.
        devices: that divide each batch, the same as those of `steps` and `state`.
    """
    total = batches_per_epoch(len(data), batch_size)
    for epoch in range(start.epoch, max(steps)):
        step = steps[min(until for until in steps if until > epoch)]
        order = np.random.default_rng([*seed, epoch]).permutation(len(data))
        for batch in range(start.batch if epoch == start.epoch else 0, total):
            chosen = order[batch * batch_size : (batch + 1) * batch_size]
            inputs = jax.tree.map(lambda rows: rows[chosen], data.inputs)  # noqa: B023
            inputs = augment(np.random.default_rng([*seed, epoch, batch]), inputs)
            known = [] if data.answers is None else [data.answers[chosen]]
            fed = devices.rows((inputs, data.labels[chosen], *known))
            state, loss, accuracy = step(state, *fed)
            last = batch + 1 == total
            position = Position(epoch + 1, 0) if last else Position(epoch, batch + 1)
            yield Tick(state, position, loss, accuracy)


def answered(
    data: Examples, lesson: Lesson, augment: Augment, devices: Devices = ALONE
) -> Examples:
    """Return the data with a teacher's logits, if its inputs are the same in each epoch."""
    if lesson.teacher is None or augment is not unchanged:
        return data
    return dataclasses.replace(
        data, answers=by_batches(lesson.teacher, data.inputs, devices=devices)
    )


def make_logits(
    net: Net, view: View, batch_size: int = EVAL_BATCH, devices: Devices = ALONE
) -> Callable[[Params, Stats, Inputs], np.ndarray]:
    """Return `(params, stats, inputs) -> logits` over any number of rows, compiled once."""
    apply = jit(lambda params, stats, inputs: net.apply(params, stats, view(inputs)))

    def logits(params: Params, stats: Stats, inputs: Inputs) -> np.ndarray:
        held = devices.whole((params, stats))
        return by_batches(lambda batch: apply(*held, batch), inputs, batch_size, devices)

    return logits


def by_batches(
    function: Callable[[Inputs], Any],
    inputs: Inputs,
    batch_size: int = EVAL_BATCH,
    devices: Devices = ALONE,
) -> np.ndarray:
    """Return the results of a function for any number of rows, computed in batches."""
    count, batch_size = len(jax.tree.leaves(inputs)[0]), devices.padded(batch_size)
    parts = []
    for start in range(0, count, batch_size):
        batch = jax.tree.map(lambda rows: _batch(rows, start, batch_size), inputs)  # noqa: B023
        parts.append(devices.fetched(function(devices.rows(batch)))[: count - start])
    return np.concatenate(parts)


def _batch(rows: np.ndarray, start: int, size: int) -> np.ndarray:
    """Return `size` rows, padded with zeros."""
    taken = rows[start : start + size]
    return np.pad(taken, [(0, size - len(taken))] + [(0, 0)] * (rows.ndim - 1))


def score(logits: np.ndarray, labels: np.ndarray) -> Score:
    """Return accuracy and mean cross entropy of logits."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    log_sum = top + np.log(np.sum(np.exp(wide - top[:, None]), axis=1))
    loss = float(np.mean(log_sum - wide[np.arange(len(labels)), labels]))
    return Score(accuracy=float(np.mean(logits.argmax(axis=1) == labels)), loss=loss)
