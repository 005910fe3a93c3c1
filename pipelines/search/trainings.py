"""Short trainings, each of which goes on from the last of the same network, kept in a file."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from pipelines.data.augment import Augment
from pipelines.models.classifier import Classifier
from pipelines.models.examples import Examples, Prepared
from pipelines.models.train import (
    Position,
    Score,
    TrainState,
    batches_per_epoch,
    copied,
    fit,
    make_logits,
    make_step,
    score,
)
from pipelines.search.costs import key_of, read_kept, write_kept

_WARM_UP = 20  # steps; the rate stays after them, so that a training can go on
_ORDER = 1_000  # a part of the seed of the order of images, which no stage has

_QUICK = {"xla_backend_optimization_level": 0}


class Result(NamedTuple):
    """The quality of a network after a training.

    Attributes:
        accuracy: fraction of validation images that are classified rightly; None if the loss was
            not finite.
        loss: mean cross entropy of validation images, None likewise.
    """

    accuracy: float | None
    loss: float | None


class _Learner(NamedTuple):
    """A network in training: its state after some epochs, its step and its logits, compiled."""

    state: TrainState
    epochs: int
    step: Any
    logits: Any


class Trainings:
    """Trains members of a family for some epochs, from labels, at a constant rate.

    Args:
        whole: the classifier of the whole network.
        data: to train and to validate on.
        augment: of the training images.
        batch_size: images in a step.
        lr: the rate.
        seed: of weights and of the order of images, the same for all members.
        weight_decay: of AdamW.
        path: of the file of results; None to keep them in memory only.
        tell: called at every step; may raise to stop.
        judge: further examples, for benchmarks: nothing is chosen by them.

    Attributes:
        judged: accuracy on these, by name of the member and epochs.

    Raises:
        FolderError: the file is damaged.
    """

    def __init__(
        self,
        whole: Classifier,
        data: Prepared,
        *,
        augment: Augment,
        batch_size: int,
        lr: float,
        seed: int,
        weight_decay: float,
        path: Path | None = None,
        tell: Callable[[str], None] = lambda text: None,
        judge: Examples | None = None,
    ) -> None:
        self.judged: dict[tuple[str, int], float] = {}
        self._judge = judge
        self._whole, self._data, self._augment = whole, data, augment
        self._batch_size, self._seed, self._tell = batch_size, seed, tell
        self._tx = optax.adamw(optax.linear_schedule(0, lr, _WARM_UP), weight_decay=weight_decay)
        self._path, self._learners = path, dict[str, _Learner]()
        kept = read_kept(path, {}) if path else {}
        self._results: dict[str, dict[str, list[float] | None]] = kept.get("results", {})

    @property
    def images_per_epoch(self) -> int:
        """How many images an epoch passes through a network."""
        return self._batch_size * batches_per_epoch(len(self._data.train), self._batch_size)

    def result(self, sizes: Mapping[str, Any], epochs: int) -> Result:
        """Return the quality of a member after so many epochs in all, trained unless known."""
        key = key_of(sizes)
        known = self._results.setdefault(key, {})
        if str(epochs) not in known:
            found = self._trained(key, sizes, epochs)
            known[str(epochs)] = None if found is None else list(found)
            if self._path:
                write_kept(self._path, {"results": self._results})
        return Result(*(known[str(epochs)] or (None, None)))

    def forget(self) -> None:
        """Let the networks go; their results are kept."""
        self._learners.clear()

    def _trained(self, key: str, sizes: Mapping[str, Any], epochs: int) -> Any:
        learner = self._learners.pop(key, None) or self._new(sizes)
        state, per_epoch = learner.state, self.images_per_epoch // self._batch_size
        ticks = fit(
            {epochs: learner.step},
            state,
            self._data.train,
            batch_size=self._batch_size,
            seed=(self._seed, _ORDER),
            start=Position(learner.epochs),
            augment=self._augment,
        )
        done = 0
        for tick in ticks:
            state, done = tick.state, done + 1
            self._tell(f"{key}: step {done} of {(epochs - learner.epochs) * per_epoch}")
            if tick.position.batch == 0 and not math.isfinite(tick.loss):
                return None

        def judged(data: Examples) -> Score:
            return score(learner.logits(state.params, state.stats, data.inputs), data.labels)

        found = judged(self._data.validation)
        if not math.isfinite(found.loss):
            return None
        if self._judge is not None:
            self.judged[key, epochs] = judged(self._judge).accuracy
        self._learners[key] = learner._replace(state=state, epochs=epochs)
        return found

    def _new(self, sizes: Mapping[str, Any]) -> _Learner:
        member = dataclasses.replace(self._whole, sizes=dict(sizes))
        init = jax.jit(member.net.init, compiler_options=_QUICK)  # else most of a short training
        params, stats = copied(init(jax.random.key(self._seed)))
        return _Learner(
            TrainState(params, stats, self._tx.init(params)),
            0,
            make_step(member.net, member.view, self._tx),
            make_logits(member.net, member.view),
        )
