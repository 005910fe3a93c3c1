"""A run: the stages of a recipe in order, resumable at every step."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import jax

from jaxcompress.nnx import Params
from pipelines.data import Dataset
from pipelines.data.augment import unchanged
from pipelines.models.examples import Prepared, prepare
from pipelines.models.networks import Network
from pipelines.models.train import Position, TrainState
from pipelines.options.settings import Settings
from pipelines.run.alone import write_alone
from pipelines.run.answers import keep_answers
from pipelines.run.asked import Asked
from pipelines.run.boards import Board
from pipelines.run.checkpoints import Checkpoints
from pipelines.run.console import Console
from pipelines.run.fitting import Diverged, Fitting, Interrupted, check_finite
from pipelines.run.folder import STAGES
from pipelines.run.meter import Meter
from pipelines.run.metrics import METRICS, Metrics
from pipelines.run.outputs import digest_of
from pipelines.run.processes import Processes, pack, unpack
from pipelines.run.resume import take_up
from pipelines.run.row import Row
from pipelines.run.standing import Standing, unpacked
from pipelines.stages.stage import Facts, Stage, Work
from pipelines.stages.table import stages_of

__all__ = ["Diverged", "Interrupted", "Job"]


class Job:
    """One run in its folder.

    Args:
        plan: of the run.
        dataset: pictures and labels.
        networks: the model, followed by its students.
        folder: of this run only.
        console: to report to.
        should_stop: called after every step.
        board: is told the numbers of `metrics.jsonl`; None for none.
        processes: that compute together; the first saves checkpoints.

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
        board: Board | None = None,
        processes: Processes = Processes(),  # noqa: B008  (immutable)
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.console = console
        self.stages = stages_of(plan)
        self.rows: list[Row] = []
        self._dataset = dataset
        self._networks = networks
        self._should_stop, self._processes = should_stop, processes
        self._checkpoints = Checkpoints(folder / "checkpoints", console.loud)
        self._meter = Meter()
        self._metrics = Metrics(folder / METRICS, board)
        self._found: Network | None = None

    def run(self) -> list[Row]:
        """Run all stages, from the newest checkpoint on, and return a row for each.

        Raises:
            Interrupted: after a checkpoint, when the run was asked to stop.
            Diverged: the loss is no longer finite.
        """
        (self.folder / STAGES).mkdir(exist_ok=True)  # for files that are written again
        standing = self._taken_up()
        while len(self.rows) < len(self.stages):
            stage, began = self.stages[len(self.rows)], time.monotonic() - standing.elapsed
            self._metrics.start(
                [row.name for row in self.rows], stage.name, standing.position.epoch
            )
            asked = self._asked(standing, began)
            work, facts = stage.run(asked, standing.start)
            self.rows = [*self.rows, self._row(asked, stage, work, facts, began)]
            self._metrics.add(**self.rows[-1].metrics())
            standing = Standing(self.rows, work)
            self._write_checkpoint(standing)
            self.console.line(self.rows[-1].sentence())
            if self._should_stop():
                raise Interrupted(stage.name)
        return self.rows

    @property
    def stage(self) -> str:
        """Name of the stage in progress: a row is added when one is done."""
        return self.stages[min(len(self.rows), len(self.stages) - 1)].name

    def write_alone(self) -> None:
        """Measure the damage of each layer of the finished run alone, for its report."""
        flops = self.rows[0].flops
        classifier = self._networks[0].classifier
        write_alone(self.folder, classifier, self._data.validation, flops=flops)

    @cached_property
    def _data(self) -> Prepared:
        """Inputs and labels for training and measurement, computed when first needed."""
        with self.console.watch() as show:

            def progress(label: str, done: int, total: int) -> None:
                # Of several processes each prepares alone, and none may ask the others.
                if self._processes.count == 1 and self._should_stop():
                    raise Interrupted(self.stage)
                show(label, done, total)

            return prepare(self._networks[0].classifier, self._dataset, progress)

    def _asked(self, standing: Standing, began: float) -> Asked:
        """Return what the stage in progress may ask; it began at that time."""
        named = (stage.student for stage in self.stages[: len(self.rows) + 1])
        *_, student = (0, *(number for number in named if number is not None))
        fitting = Fitting(
            self.stage,
            len(self.rows),
            plan=self.plan,
            devices=self._networks[0].devices,
            # Inputs that are computed from whole pictures cannot be shifted afterwards.
            augment=unchanged if "branches" in self.plan else self._dataset.augment,
            standing=standing,
            save=partial(self._save, standing.start, began),
            should_stop=self._should_stop,
            console=self.console,
            note=partial(self._metrics.add, stage=self.stage),
        )
        return Asked(
            plan=self.plan,
            folder=self.folder,
            networks=self._networks_now(),
            student=student,
            prepared=lambda: self._data,
            fitting=fitting,
        )

    def _networks_now(self) -> Sequence[Network]:
        """Return the networks of the stage in progress, with a student that was found."""
        found = [stage.sizes for stage in self.stages[: len(self.rows) + 1] if stage.sizes]
        if not found:
            return self._networks
        sizes = dict(found[-1](self.folder))
        if self._found is None or self._found.classifier.sizes != sizes:
            whole = self._networks[0].classifier
            self._found = Network(
                dataclasses.replace(whole, sizes=sizes), self._networks[0].devices
            )
        return [self._networks[0], self._found]

    def _save(
        self,
        start: Work,
        began: float,
        state: TrainState,
        position: Position,
        early: Params | None,
    ) -> None:
        """Write a checkpoint in the middle of a training."""
        start = start._replace(early=early) if early else start
        elapsed = time.monotonic() - began
        self._write_checkpoint(
            Standing(self.rows, start, jax.tree.leaves(state), position, elapsed)
        )

    def _write_checkpoint(self, standing: Standing) -> None:
        if self._processes.is_first:
            self._checkpoints.save(*standing.packed())

    def _row(self, asked: Asked, stage: Stage, work: Work, facts: Facts, began: float) -> Row:
        measured = self._meter.measure(asked, stage, work)
        check_finite(stage.name, measured["loss"], self.plan)
        keep_answers(self.folder, stage.name, self._meter.answers, self._dataset)
        path = self.folder / stage.file
        return Row(
            name=stage.name,
            **measured,
            size_bytes=stage.write(asked, path, work),
            sha256=digest_of(path),
            seconds=time.monotonic() - began,
            facts=facts,
        )

    def _taken_up(self) -> Standing:
        """Return where the run stands, after its files are as the stages wrote them."""

        def found() -> Standing:
            return take_up(
                self._checkpoints,
                self.stages,
                self.folder,
                write=self._write_again,
                console=self.console,
            )

        if self._processes.count == 1:
            standing = found()
        else:
            content = self._processes.from_first(lambda: pack(*found().packed(), self.folder))
            standing = unpacked(*unpack(content, self.folder), stages=self.stages)
        self.rows = list(standing.rows)
        return standing

    def _write_again(self, standing: Standing, stage: Stage) -> None:
        self.rows = list(standing.rows[:-1])  # as at the first writing
        asked = self._asked(standing, time.monotonic())
        stage.write(asked, self.folder / stage.file, standing.start)
