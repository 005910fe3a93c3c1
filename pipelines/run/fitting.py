"""The training of a stage: it saves checkpoints, stops when asked, and goes on where it stopped."""

import math
import time
from collections.abc import Callable, Mapping

from jaxcompress.nnx import Params
from pipelines.data.augment import Augment
from pipelines.models.devices import Devices
from pipelines.models.examples import Examples
from pipelines.models.train import (
    Position,
    Step,
    TrainState,
    batches_per_epoch,
    copied,
    fit,
)
from pipelines.options.settings import Settings
from pipelines.run.console import Console
from pipelines.run.standing import Standing, restored

_SAVE_INTERVAL_S, _TELL_INTERVAL_S = 5.0, 10.0


class Interrupted(Exception):
    """The run was asked to stop, and stopped after writing a checkpoint."""


class Diverged(Exception):
    """The loss of a training is not finite; one line, with the remedy."""


def check_finite(stage: str, loss: float, plan: Settings) -> None:
    """Refuse to go on with a loss that is not finite.

    Raises:
        Diverged: it is not.
    """
    if not math.isfinite(loss):
        raise Diverged(
            f"{stage}: the loss is {loss}; pass a --lr below {plan.lr} and another --out."
        )


class Fitting:
    """The training of one stage.

    Args:
        stage: its name.
        number: of the stage, a part of the seed.
        plan: of the run.
        devices: that divide each batch.
        augment: of the images.
        standing: holds a training to go on with, or none.
        save: writes a checkpoint of a state, its position, and the early network that was kept.
        should_stop: called after every step.
        console: to report to.
        note: is told, by name, epoch, step and loss at the end of each epoch.
    """

    def __init__(
        self,
        stage: str,
        number: int,
        *,
        plan: Settings,
        devices: Devices,
        augment: Augment,
        standing: Standing,
        save: Callable[[TrainState, Position, Params | None], None],
        should_stop: Callable[[], bool],
        console: Console,
        note: Callable[..., None],
    ) -> None:
        self._stage, self._number = stage, number
        self.augment, self._plan, self.devices = augment, plan, devices
        self._standing, self._write = standing, save
        self._should_stop, self._console, self._note = should_stop, console, note
        self._saved = self._told = time.monotonic()

    def train(
        self, state: TrainState, steps: Mapping[int, Step], data: Examples, *, keep: int = 0
    ) -> tuple[TrainState, Params | None]:
        """Return the state after training, and parameters and statistics after an early epoch.

        Args:
            state: the start.
            steps: by the epoch until whose end each is taken.
            data: for training.
            keep: the early epoch, from 1; 0 for none.

        Raises:
            Interrupted: after a checkpoint, when the run was asked to stop.
            Diverged: the loss is no longer finite.
        """
        start, leaves, early = self._standing.position, self._standing.fit, None
        if leaves is not None:
            state = restored(state, leaves, stage=self._stage)
            early = self._standing.start.early
            self._standing = Standing()
        state = self.devices.whole(state)
        batch_size, epochs = self._plan.batch_size, max(steps)
        ticks = fit(
            steps,
            state,
            data,
            batch_size=batch_size,
            seed=(self._plan.seed, self._number),
            start=start,
            augment=self.augment,
            devices=self.devices,
        )
        per_epoch = batches_per_epoch(len(data), batch_size)
        done = start.epoch * per_epoch + start.batch
        with self._console.progress(self._stage, epochs * per_epoch, done) as update:
            for tick in ticks:
                state = tick.state
                done += 1
                update(done, tick.note)
                ended = tick.position.batch == 0
                if tick.position == (keep, 0):  # a copy: the next step takes the buffers
                    kept = {"params": state.params, "stats": state.stats}
                    early = copied(self.devices.home(kept))
                if ended:
                    check_finite(self._stage, float(tick.loss), self._plan)
                    self._note(epoch=tick.position.epoch, step=done, loss=float(tick.loss))
                if self._should_stop():
                    self._save(state, tick.position, early)
                    raise Interrupted(self._stage)
                if ended and tick.position.epoch < epochs and self._save_is_due():
                    self._save(state, tick.position, early)
        return self.devices.home(state), early

    def tell(self, text: str) -> None:
        """Say now and then what is done beside training.

        Raises:
            Interrupted: the run was asked to stop.
        """
        if self._should_stop():
            raise Interrupted(self._stage)
        if time.monotonic() - self._told >= _TELL_INTERVAL_S:
            self._console.line(f"{self._stage}: {text}")
            self._told = time.monotonic()

    def _save_is_due(self) -> bool:
        """Return whether a kill would now lose more time than a checkpoint takes."""
        return time.monotonic() - self._saved >= _SAVE_INTERVAL_S

    def _save(self, state: TrainState, position: Position, early: Params | None) -> None:
        self._write(state, position, early)
        self._saved = time.monotonic()
