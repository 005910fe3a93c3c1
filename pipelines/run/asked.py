"""What a stage may ask of its run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.nnx import Net, Params
from pipelines.data.augment import Augment
from pipelines.models import Inputs
from pipelines.models.classifier import Classifier
from pipelines.models.devices import Devices
from pipelines.models.examples import Prepared
from pipelines.models.networks import Network
from pipelines.models.train import (
    FROM_LABELS,
    Lesson,
    TrainState,
    answered,
    batches_of,
    batches_per_epoch,
    copied,
    make_step,
    make_update,
    score,
)
from pipelines.options.settings import Settings
from pipelines.run.fitting import Fitting
from pipelines.stages.stage import Work

_CALIBRATION = 4096  # images on which running statistics are estimated


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The run, as one stage sees it: the `Trainer` of `stages/`.

    Attributes:
        plan: of the run.
        folder: of the run.
        networks: the model, followed by its students.
        student: the number of the network of the stage.
        prepared: returns the data as inputs; they are computed when first needed.
        fitting: the training of the stage.
    """

    plan: Settings
    folder: Path
    networks: Sequence[Network]
    student: int
    prepared: Callable[[], Prepared]
    fitting: Fitting

    @property
    def classifier(self) -> Classifier:
        """The network of the stage in progress."""
        return self.network(self.student)

    @property
    def augment(self) -> Augment:
        """The augmentation of training images."""
        return self.fitting.augment

    @property
    def devices(self) -> Devices:
        """The devices that divide each batch."""
        return self.fitting.devices

    def data(self) -> Prepared:
        """Return all inputs and labels, of which stages may choose by those for validation."""
        return self.prepared()

    def network(self, student: int) -> Classifier:
        """Return the model, 0, or one of its students, from 1."""
        return self.networks[student].classifier

    def fresh(self) -> Work:
        """Return newly initialised parameters, the same at every call."""
        return Work(*self.classifier.net.init(jax.random.key(self.plan.seed)))

    def steps(self, epochs: int) -> int:
        """Return the number of optimizer steps of some epochs."""
        return epochs * batches_per_epoch(len(self.prepared().train), self.plan.batch_size)

    def outputs(self, work: Work, inputs: Inputs) -> np.ndarray:
        """Return the logits for any number of inputs."""
        return self.networks[self.student].logits(work.params, work.stats, inputs)

    def logits(self, work: Work) -> np.ndarray:
        """Return the logits on the validation images."""
        return self.outputs(work, self.prepared().validation.inputs)

    def accuracy(self, work: Work, most: int) -> float:
        """Return the fraction of at most `most` validation images that are classified rightly."""
        data = self.prepared().validation
        inputs = jax.tree.map(lambda rows: rows[:most], data.inputs)
        return score(self.outputs(work, inputs), data.labels[:most]).accuracy

    def tell(self, text: str) -> None:
        """Say now and then what is done.

        Raises:
            Interrupted: the run was asked to stop.
        """
        self.fitting.tell(text)

    def sample(self, count: int) -> Inputs:
        """Return inputs of the first `count` training images."""
        return jax.tree.map(lambda rows: rows[:count], self.prepared().train.inputs)

    def labels(self, count: int) -> np.ndarray:
        """Return labels of the first `count` training images."""
        return self.prepared().train.labels[:count]

    def batches(self, most: int) -> Iterator[Inputs]:
        """Return inputs of at most `most` training images, in batches."""
        batches = batches_of(self.prepared().train, self.plan.batch_size, most)
        return map(self.devices.near_rows, batches)

    def apply(self, tree: Params, inputs: Inputs) -> jax.Array:
        """Return the logits of `{"params": ..., "stats": ...}`, traceable by JAX."""
        return self.classifier.apply(tree["params"], tree["stats"], inputs)

    def recalibrated(self, work: Work) -> Work:
        """Return `work` with running statistics estimated anew on training images."""
        if not work.stats:
            return work
        update = make_update(self.classifier.net, self.classifier.view, work.params)
        stats = jc.prune.recalibrate(update, work.stats, self.batches(_CALIBRATION))
        return work._replace(stats=self.devices.home(stats))

    def fit(
        self,
        work: Work,
        tx: optax.GradientTransformation,
        *,
        epochs: int,
        nets: Mapping[int, Net] | None = None,
        lesson: Lesson = FROM_LABELS,
        keep: int = 0,
    ) -> Work:
        """Return `work` after training.

        Args:
            work: the start.
            tx: the optimizer.
            epochs: number of epochs.
            nets: networks by the epoch until whose end each is trained; by default the stage's.
            lesson: the loss and the teacher.
            keep: the epoch, from 1, after which the network is kept in `early`; 0 for none.

        Raises:
            Interrupted: after a checkpoint, when the run was asked to stop.
            Diverged: the loss is no longer finite.
        """
        steps = {
            until: make_step(net, self.classifier.view, tx, lesson, self.devices)
            for until, net in (nets or {epochs: self.classifier.net}).items()
        }
        state = TrainState(*copied((work.params, work.stats, tx.init(work.params))))
        data = answered(self.prepared().train, lesson, self.fitting.augment, self.devices)
        state, early = self.fitting.train(state, steps, data, keep=keep)
        return work._replace(params=state.params, stats=state.stats, early=early)
