"""Recipes and their stages: inputs, results and measurement, and what a stage may ask of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import optax

from jaxcompress.nnx import Net, Params, Stats
from pipelines.data.augment import Augment
from pipelines.models import Inputs
from pipelines.models.classifier import Classifier
from pipelines.models.devices import Devices
from pipelines.models.examples import Prepared
from pipelines.models.train import FROM_LABELS, Lesson
from pipelines.options.settings import Settings


class Work(NamedTuple):
    """The current state of the network in a run.

    Attributes:
        params: dense parameters, with the mask and the sharing already in them.
        stats: running statistics.
        mask: which weights are kept; None before pruning.
        shared: params with `Clustered` leaves; None before sharing.
        quantized: params with `Quantized` leaves; None before rounding.
        ends: the smallest and the largest number `[2]` of the grid of the inputs of each layer, by
            its name, nested; None before rounding.
        coded: `tree` with compressed leaves of any kind; None where the others say all.
        early: `tree` after an early epoch of the last training; None where none was kept.
    """

    params: Params
    stats: Stats
    mask: Params | None = None
    shared: Params | None = None
    quantized: Params | None = None
    ends: Params | None = None
    coded: Params | None = None
    early: Params | None = None

    @property
    def tree(self) -> dict[str, Any]:
        """Parameters and statistics in one tree, the first argument of `Trainer.apply`."""
        return {"params": self.params, "stats": self.stats}


Facts = dict[str, Any]
"""Further results of a stage, for its row in the results."""


class Trainer(Protocol):
    """The parts of a run that a stage may use."""

    @property
    def plan(self) -> Settings:
        """The plan of the run."""
        ...

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        ...

    @property
    def classifier(self) -> Classifier:
        """The network of the stage in progress."""
        ...

    @property
    def augment(self) -> Augment:
        """The augmentation of training images."""
        ...

    @property
    def devices(self) -> Devices:
        """The devices that divide each batch."""
        ...

    def data(self) -> Prepared:
        """Return all inputs and labels, of which stages may choose by those for validation."""
        ...

    def network(self, student: int) -> Classifier:
        """Return the model, 0, or one of its students, from 1."""
        ...

    def fresh(self) -> Work:
        """Return newly initialised parameters, the same at every call."""
        ...

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

        `nets` are by the epoch until whose end each is trained. After epoch `keep`, from 1, the
        network is kept in `early`.
        """
        ...

    def steps(self, epochs: int) -> int:
        """Return the number of optimizer steps of some epochs."""
        ...

    def logits(self, work: Work) -> np.ndarray:
        """Return the logits on the validation images."""
        ...

    def accuracy(self, work: Work, most: int) -> float:
        """Return the fraction of at most `most` validation images that are classified rightly."""
        ...

    def tell(self, text: str) -> None:
        """Say now and then what is done, and stop if the run was asked to."""
        ...

    def sample(self, count: int) -> Inputs:
        """Return inputs of the first `count` training images."""
        ...

    def labels(self, count: int) -> np.ndarray:
        """Return labels of the first `count` training images."""
        ...

    def batches(self, most: int) -> Iterator[Inputs]:
        """Return inputs of at most `most` training images, in batches."""
        ...

    def apply(self, tree: Params, inputs: Inputs) -> Any:
        """Return the logits of `{"params": ..., "stats": ...}`, traceable by JAX."""
        ...

    def recalibrated(self, work: Work) -> Work:
        """Return `work` with running statistics estimated anew on training images."""
        ...


def no_epochs(plan: Settings) -> int:
    """Return the epochs of a stage without training: 0."""
    del plan
    return 0


Run = Callable[[Trainer, Work], tuple[Work, Facts]]
Write = Callable[[Trainer, Path, Work], int]


class Execution(NamedTuple):
    """The execution of a network for measurement.

    Attributes:
        arithmetic: the numbers of the computation: float, simulated (integers) or integers.
        logits: from inputs to logits.
        times_ms: from inputs to milliseconds of each of several calls; None for the times of a
            dense network of these sizes in JAX.
    """

    arithmetic: str
    logits: Callable[[Inputs], np.ndarray]
    times_ms: Callable[[Inputs], Sequence[float]] | None = None


Execute = Callable[[Trainer, Work], Execution]


class Stage(NamedTuple):
    """A stage of a recipe.

    Attributes:
        name: of its row in the table.
        run: `run(job, work) -> (work, facts)`.
        write: `write(job, path, work) -> size in bytes`.
        file: to write, in the run's folder.
        extra_epochs: from the plan to the epochs of training beyond the baseline.
        execute: the execution of its network for measurement; None for JAX and floats.
        student: number of the student, 0 for the model itself; None for that of the stage before.
        sizes: from the run's folder to the sizes of student 1, where only an earlier stage found
            them; None where the plan says them.
    """

    name: str
    run: Run
    write: Write
    file: str
    extra_epochs: Callable[[Settings], int] = no_epochs
    execute: Execute | None = None
    student: int | None = None
    sizes: Callable[[Path], Mapping[str, Any]] | None = None


Parts = Stage | Callable[[Settings], Sequence[Stage]]
"""A stage, or the stages that the settings ask for."""


class Recipe(NamedTuple):
    """A way to compress a network.

    Attributes:
        summary: one line for `--help`.
        options: the names of those that it uses, of the options that families of recipes own.
        parts: the stages between training and reloading the compressed file.
        needs: from the settings to what is missing for it, the end of an error; "" if nothing is.
        from_scratch: from a number of epochs to a control of the same size, trained from scratch.
        controls: its controls, in place of the dense network that is trained on.
        fixed: options that have one value in this recipe, and that nobody passes.
        chosen_by: options of which any chooses this recipe, where none is named.
        proof: further facts of the network that was reloaded.
        patience: by how much its default epochs of fine-tuning are multiplied; 0 if it has none.
        first: its first training; None for that of other recipes.
        reach: `reach(plan, model, pictures)` refuses what no network of the model's family reaches,
            before anything is trained; raises SettingsError.
    """

    summary: str
    options: tuple[str, ...]
    parts: tuple[Parts, ...]
    needs: Callable[[Settings], str] | None = None
    from_scratch: Callable[[Callable[[Settings], int]], Run] | None = None
    controls: Callable[[Settings], Sequence[Stage]] | None = None
    fixed: Mapping[str, Any] = {}  # noqa: RUF012  (nobody writes to it)
    chosen_by: tuple[str, ...] = ()
    proof: Callable[[Trainer, Work], Facts] | None = None
    patience: int = 1
    first: Stage | None = None
    reach: Callable[[Settings, Classifier, np.ndarray], None] | None = None
