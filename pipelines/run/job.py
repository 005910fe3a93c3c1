"""A run: the stages of a recipe in order, resumable at every step."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import jax
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.nnx import Net, Params
from pipelines.data import Dataset
from pipelines.data.augment import unchanged
from pipelines.models import Inputs
from pipelines.models.classifier import Classifier
from pipelines.models.examples import Prepared, prepare
from pipelines.models.networks import Network
from pipelines.models.train import (
    FROM_LABELS,
    Lesson,
    Position,
    TrainState,
    answered,
    batches_of,
    batches_per_epoch,
    copied,
    fit,
    make_step,
    make_update,
)
from pipelines.options.settings import Settings
from pipelines.run.checkpoints import Checkpoints
from pipelines.run.console import Console
from pipelines.run.folder import STAGES
from pipelines.run.meter import Meter
from pipelines.run.outputs import digest_of
from pipelines.run.resume import take_up
from pipelines.run.row import Row
from pipelines.run.standing import Standing, restored
from pipelines.stages.stage import Facts, Stage, Work
from pipelines.stages.table import stages_of

_SAVE_INTERVAL_S = 5.0
_CALIBRATION = 4096  # images on which running statistics are estimated


class Interrupted(Exception):
    """The run was asked to stop, and stopped after writing a checkpoint."""


class Diverged(Exception):
    """The loss of a training is not finite; one line, with the remedy."""


class Job:
    """One run in its folder.

    Args:
        plan: of the run.
        dataset: pictures and labels.
        networks: the model, followed by its students.
        folder: of this run only.
        console: to report to.
        should_stop: called after every step.

    Attributes:
        rows: of the stages that are done.
    """

    def __init__(
        self,
        plan: Settings,
        dataset: Dataset,
        networks: Sequence[Network],
        folder: Path,
        console: Console,
        should_stop: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.console = console
        self.stages = stages_of(plan)
        self._networks = networks
        # Inputs that are computed from whole pictures cannot be shifted afterwards.
        self._augment = unchanged if "branches" in plan else dataset.augment
        self._should_stop = should_stop
        self._dataset = dataset
        self._checkpoints = Checkpoints(folder / "checkpoints", console.loud)
        self._meter = Meter(self, lambda *given: self._network.logits(*given))
        self.rows: list[Row] = []
        self._start = Work({}, {})  # the start of the stage in progress
        self._began = 0.0
        self._saved = time.monotonic()
        self._resumed = Standing()  # holds a training to resume, until a stage asks for it

    @cached_property
    def _data(self) -> Prepared:
        """Inputs and labels for training and measurement, computed when first needed."""
        with self.console.watch() as show:

            def progress(label: str, done: int, total: int) -> None:
                if self._should_stop():
                    raise Interrupted(self.stage)
                show(label, done, total)

            return prepare(self.classifier, self._dataset, progress)

    # For stages.

    @property
    def classifier(self) -> Classifier:
        """The network of the stage in progress."""
        return self._network.classifier

    def network(self, student: int) -> Classifier:
        """Return the model, 0, or one of its students, from 1."""
        return self._networks[student].classifier

    def fresh(self) -> Work:
        """Return newly initialised parameters, the same at every call."""
        return Work(*self.classifier.net.init(jax.random.key(self.plan.seed)))

    def steps(self, epochs: int) -> int:
        """Return the number of optimizer steps of some epochs."""
        return epochs * batches_per_epoch(len(self._data.train), self.plan.batch_size)

    def logits(self, work: Work) -> np.ndarray:
        """Return the logits on the validation images."""
        return self._network.logits(work.params, work.stats, self._data.validation.inputs)

    def sample(self, count: int) -> Inputs:
        """Return inputs of the first `count` training images."""
        return jax.tree.map(lambda rows: rows[:count], self._data.train.inputs)

    def labels(self, count: int) -> np.ndarray:
        """Return labels of the first `count` training images."""
        return self._data.train.labels[:count]

    def batches(self, most: int) -> Iterator[Inputs]:
        """Return inputs of at most `most` training images, in batches."""
        return batches_of(self._data.train, self.plan.batch_size, most)

    def apply(self, tree: Params, inputs: Inputs) -> jax.Array:
        """Return the logits of `{"params": ..., "stats": ...}`, traceable by JAX."""
        return self.classifier.apply(tree["params"], tree["stats"], inputs)

    def recalibrated(self, work: Work) -> Work:
        """Return `work` with running statistics estimated anew on training images."""
        if not work.stats:
            return work
        update = make_update(self.classifier.net, self.classifier.view, work.params)
        stats = jc.prune.recalibrate(update, work.stats, self.batches(_CALIBRATION))
        return work._replace(stats=stats)

    def fit(
        self,
        work: Work,
        tx: optax.GradientTransformation,
        *,
        epochs: int,
        nets: Mapping[int, Net] | None = None,
        lesson: Lesson = FROM_LABELS,
    ) -> Work:
        """Return `work` after training.

        Args:
            work: the start.
            tx: the optimizer.
            epochs: number of epochs.
            nets: networks by the epoch until whose end each is trained; by default the stage's.
            lesson: the loss and the teacher.

        Raises:
            Interrupted: after a checkpoint, when the run was asked to stop.
            Diverged: the loss is no longer finite.
        """
        state = TrainState(*copied((work.params, work.stats, tx.init(work.params))))
        start, leaves = self._resumed.position, self._resumed.fit
        if leaves is not None:
            state = restored(state, leaves, stage=self.stage)
            self._resumed = Standing()
        steps = {
            until: make_step(net, self.classifier.view, tx, lesson)
            for until, net in (nets or {epochs: self.classifier.net}).items()
        }
        ticks = fit(
            steps,
            state,
            answered(self._data.train, lesson, self._augment),
            batch_size=self.plan.batch_size,
            seed=(self.plan.seed, self._index),
            start=start,
            augment=self._augment,
        )
        per_epoch = self.steps(1)
        done = start.epoch * per_epoch + start.batch
        with self.console.progress(self.stage, epochs * per_epoch, done) as update:
            for tick in ticks:
                state = tick.state
                done += 1
                update(done, tick.note)
                ended = tick.position.batch == 0
                if ended:
                    self._check_finite(self.stage, float(tick.loss))
                if self._should_stop():
                    self._save(state, tick.position)
                    raise Interrupted(self.stage)
                if ended and tick.position.epoch < epochs and self._save_is_due():
                    self._save(state, tick.position)
        return work._replace(params=state.params, stats=state.stats)

    def _check_finite(self, stage: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"{stage}: the loss is {loss}; pass a --lr below {self.plan.lr} and another --out."
            )

    # Running.

    def run(self) -> list[Row]:
        """Run all stages, from the newest checkpoint on, and return a row for each.

        Raises:
            Interrupted: after a checkpoint, when the run was asked to stop.
            Diverged: the loss is no longer finite.
        """
        (self.folder / STAGES).mkdir(exist_ok=True)  # for files that are written again
        elapsed = self._resume()
        while self._index < len(self.stages):
            stage = self.stages[self._index]
            self._began = time.monotonic() - elapsed
            elapsed = 0.0
            work, facts = stage.run(self, self._start)
            self.rows, self._start = [*self.rows, self._row(stage, work, facts)], work
            self._save(None, Position())
            self.console.line(self.rows[-1].sentence())
            if self._should_stop():
                raise Interrupted(stage.name)
        return self.rows

    @property
    def _index(self) -> int:
        """Number of the stage in progress: a row is added when one is done."""
        return len(self.rows)

    @property
    def stage(self) -> str:
        """Name of the stage in progress."""
        return self.stages[min(self._index, len(self.stages) - 1)].name

    @property
    def _network(self) -> Network:
        named = (stage.student for stage in self.stages[: self._index + 1])
        *_, student = (0, *(number for number in named if number is not None))
        return self._networks[student]

    def _row(self, stage: Stage, work: Work, facts: Facts) -> Row:
        measured = self._meter.measure(stage, work, self._data)
        self._check_finite(stage.name, measured["loss"])
        path = self.folder / stage.file
        return Row(
            name=stage.name,
            **measured,
            size_bytes=stage.write(self, path, work),
            sha256=digest_of(path),
            seconds=time.monotonic() - self._began,
            facts=facts,
        )

    def _save_is_due(self) -> bool:
        """Return whether a kill would now lose more time than a checkpoint takes."""
        return time.monotonic() - self._saved >= _SAVE_INTERVAL_S

    def _save(self, state: TrainState | None, position: Position) -> None:
        training = state is not None
        elapsed = time.monotonic() - self._began if training else 0.0
        fit = jax.tree.leaves(state) if training else None
        standing = Standing(self.rows, self._start, fit, position, elapsed)
        self._checkpoints.save(*standing.packed())
        self._saved = time.monotonic()

    def _resume(self) -> float:
        """Continue where the run stands; return the seconds spent on the stage in progress."""
        found = take_up(
            self._checkpoints,
            self.stages,
            self.folder,
            write=self._write_again,
            console=self.console,
        )
        self.rows, self._start = list(found.rows), found.start
        self._resumed = found._replace(start=Work({}, {}))
        return found.elapsed

    def _write_again(self, standing: Standing, stage: Stage) -> None:
        self.rows = list(standing.rows[:-1])  # as at the first writing
        stage.write(self, self.folder / stage.file, standing.start)
