"""The settings of a run, checked before anything is trained."""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from jaxcompress.bounds import check_clusters, check_removed, check_sparsity, check_temperature
from jaxcompress.oneshot import SHARING
from jaxcompress.quantization import MOST_BITS
from pipelines.options.defaults import (
    COARSEST_STEP,
    DEFAULT_BITS,
    DEFAULT_CHANNELS,
    DEFAULT_CLUSTERS,
    DEFAULT_EPOCHS,
    DEFAULT_LAYOUT,
    DEFAULT_QUANTIZER,
    DEFAULT_RATIO,
    DEFAULT_SOFT_WEIGHT,
    DEFAULT_SPARSITY,
    DEFAULT_STEP,
    DEFAULT_TEMPERATURE,
    FINEST_STEP,
    LARGEST_CUT,
    MOST_STUDENTS,
)
from pipelines.options.plan import Plan
from pipelines.options.uses import OF_SOME_RECIPES, Uses


class SettingsError(ValueError):
    """A setting that cannot work; one line, with the remedy."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run.

    Attributes:
        model: name of the network.
        data: name of the dataset, or `auto`.
        data_dir: folder of the dataset; None looks in the usual places.
        recipe: name of the recipe.
        sparsity: fraction of the kernels' weights to remove, in [0, 1); None takes the default
            where the recipe prunes.
        quantizer: name of the quantizer; None takes K-Means if `clusters` is given, else the
            default, where the recipe shares.
        clusters: values of a layer besides zero; None takes the default where the quantizer uses
            it.
        step_size: distance of shared values in the largest layer, in root mean squares of all
            non-zero weights; None takes the default where the quantizer uses it.
        remove_channels: fraction of the units of each group to remove, in [0, 1); None takes the
            default where the recipe cuts.
        rounds: of cutting and fine-tuning; None takes as many as are needed to remove at most a
            fifth in each.
        round_to: the number of kept units of a group is a multiple of this, if it has as many; None
            rounds nothing.
        group_lasso: strength of the penalty on the norms of units in a training before the cuts;
            None trains none.
        keep_blocks: number of blocks to keep; None takes half where the recipe drops some.
        image_size: height and width of the input images, in pixels; None takes the model's default.
        branches: the inputs that the network fuses; None for all.
        epochs: passes of the first training, and of each student's lesson; None takes the
            dataset's default.
        finetune_epochs: passes of fine-tuning after pruning; a third of that after sharing. None
            takes the dataset's default.
        batch_size: images in a step.
        lr: peak learning rate.
        seed: of the initial weights and the order of the images.
        limit: training images used; None for all.
        control: also train the dense network for as many extra steps.
        layout: of the compressed files.
        bits: of the inputs of layers; None takes the default where the recipe rounds.
        weight_bits: of weights; None takes as many as `bits`.
        start: a file of a run, whose network replaces the first training.
        times_smaller: parameters of the model over those of the last student, above 1; None takes
            the default where the recipe distills.
        students: number of students, each taught by the one before; None chooses it by
            `times_smaller`.
        temperature: of softened logits; None takes the default where the recipe teaches.
        soft_weight: weight of the teacher's term in the loss, in [0, 1]; None takes the default
            where the recipe teaches.
    """

    model: str = "cifar"
    data: str = "auto"
    data_dir: Path | None = None
    recipe: str = "prune+share"
    sparsity: float | None = None
    quantizer: str | None = None
    clusters: int | None = None
    step_size: float | None = None
    remove_channels: float | None = None
    rounds: int | None = None
    round_to: int | None = None
    group_lasso: float | None = None
    keep_blocks: int | None = None
    image_size: int | None = None
    branches: tuple[str, ...] | None = None
    epochs: int | None = None
    finetune_epochs: int | None = None
    batch_size: int = 64
    lr: float = 1e-3
    seed: int = 0
    limit: int | None = None
    control: bool = False
    layout: str = DEFAULT_LAYOUT
    bits: int | None = None
    weight_bits: int | None = None
    start: Path | None = None
    times_smaller: float | None = None
    students: int | None = None
    temperature: float | None = None
    soft_weight: float | None = None

    def check(self, uses: Uses) -> None:
        """Refuse values that cannot work, or that recipe or model do not use.

        Raises:
            SettingsError: naming the flag, the rule, the value and the remedy.
        """
        self._check_uses(uses)
        self._check_sizes(uses)
        self._check_start(uses)
        self._check_distillation()
        try:
            check_sparsity("--sparsity", self.sparsity or 0.0)
            check_removed("--remove-channels", self.remove_channels or 0.0)
            check_clusters(DEFAULT_CLUSTERS if self.clusters is None else self.clusters)
            check_temperature(
                "--temperature",
                DEFAULT_TEMPERATURE if self.temperature is None else self.temperature,
            )
        except (TypeError, ValueError) as error:
            raise SettingsError(str(error).replace("clusters: k", "--clusters:")) from None
        step_size = DEFAULT_STEP if self.step_size is None else self.step_size
        if not FINEST_STEP <= step_size <= COARSEST_STEP:
            raise SettingsError(
                f"--step-size: must be in {FINEST_STEP} to {COARSEST_STEP}, got {step_size}; "
                f"{DEFAULT_STEP} is usual."
            )
        for flag, value in (
            ("--rounds", self.rounds),
            ("--round-to", self.round_to),
            ("--epochs", self.epochs),
            ("--finetune-epochs", self.finetune_epochs),
            ("--batch-size", self.batch_size),
            ("--limit", self.limit),
        ):
            if value is not None and value < 1:
                raise SettingsError(f"{flag}: must be at least 1, got {value}.")
        for flag, value, usual in (
            ("--lr", self.lr, "0.001"),
            ("--group-lasso", self.group_lasso, "0.0001"),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{flag}: must be above 0, got {value}; {usual} is usual.")
        for flag, value, least in (
            ("--bits", self.bits, 2),
            ("--weight-bits", self.weight_bits, 1),
        ):
            if value is not None and not least <= value <= MOST_BITS:
                raise SettingsError(f"{flag}: must be {least} to {MOST_BITS}, got {value}.")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"--seed: must be in 0 to {2**32 - 1}, got {self.seed}.")

    def chosen_quantizer(self) -> str:
        """Return the chosen quantizer: a number of clusters alone chooses K-Means."""
        by_clusters = self.clusters is not None and self.step_size is None
        return self.quantizer or ("kmeans" if by_clusters else DEFAULT_QUANTIZER)

    def _check_sizes(self, uses: Uses) -> None:
        """Refuse sizes for which the model cannot be built."""
        if self.image_size is not None and self.image_size not in uses.image_sizes:
            raise SettingsError(
                f"--image-size: must be one of {', '.join(map(str, sorted(uses.image_sizes)))} for "
                f"{self.model}, got {self.image_size}."
            )
        if "keep_blocks" in uses.flags and not uses.depth:
            raise SettingsError(
                f"--recipe: {self.recipe} needs a model with blocks to drop, got {self.model}; "
                "pass --model vit."
            )
        if self.keep_blocks is not None and not 1 <= self.keep_blocks <= uses.depth:
            raise SettingsError(
                f"--keep-blocks: must be 1 to {uses.depth}, the blocks of {self.model}, got "
                f"{self.keep_blocks}; pass how many to keep."
            )
        if unknown := [name for name in self.branches or () if name not in uses.branches]:
            raise SettingsError(
                f"--branches: must be of {', '.join(uses.branches)}, got {unknown[0]!r}."
            )

    def _check_distillation(self) -> None:
        """Refuse students that are not smaller, too many students, and invalid losses."""
        ratio, students, weight = self.times_smaller, self.students, self.soft_weight
        if ratio is not None and not (math.isfinite(ratio) and ratio > 1):
            raise SettingsError(
                f"--times-smaller: must be above 1, got {ratio}; {DEFAULT_RATIO:g} makes a network "
                f"of an {DEFAULT_RATIO:g}th of the parameters."
            )
        if students is not None and not 1 <= students <= MOST_STUDENTS:
            raise SettingsError(
                f"--students: must be auto or 1 to {MOST_STUDENTS}, got {students}."
            )
        if weight is not None and not 0 <= weight <= 1:
            raise SettingsError(f"--soft-weight: must be in [0, 1], got {weight}; 0.7 is usual.")

    def _check_start(self, uses: Uses) -> None:
        """Refuse a start that does not exist, and settings of the training that it replaces."""
        if self.start is None:
            return
        if not self.start.is_file():
            raise SettingsError(f"--start: {self.start} is no file; pass a compressed.npz.")
        if self.epochs is not None and "times_smaller" not in uses.flags:
            raise SettingsError("--epochs: with --start nothing is trained at first; leave it out.")

    def _check_uses(self, uses: Uses) -> None:
        """Refuse settings that recipe, quantizer or model do not use."""
        name = self.chosen_quantizer()
        parameters = sorted({quantizer.parameter for quantizer in SHARING.values()})
        for flag, used, user in (
            *((flag, flag in uses.flags, "recipe") for flag in sorted(OF_SOME_RECIPES)),
            ("branches", bool(uses.branches), f"model {self.model}"),
            *((f, f == SHARING[name].parameter, f"quantizer {name}") for f in parameters),
        ):
            if getattr(self, flag) is not None and not used:
                written = flag.replace("_", "-")
                raise SettingsError(f"--{written}: the {user} has no use for it; leave it out.")
        missing = [module for module in uses.modules if find_spec(module) is None]
        if missing and self.bits in (None, 8):
            raise SettingsError(
                f"--recipe: {self.recipe} needs {', '.join(missing)} to run integers of 8 bits, "
                "which is not installed; pip install -e '.[run,onnx]'."
            )

    def plan(self, uses: Uses, *, data: str, train_size: int) -> Plan:
        """Return the settings with the defaults of recipe, model and dataset filled in.

        Raises:
            SettingsError: fewer training images than one batch.
        """
        if train_size < self.batch_size:
            raise SettingsError(
                f"--batch-size: must be at most the {train_size} training images, got "
                f"{self.batch_size}; pass --batch-size {train_size} or raise --limit."
            )
        default = DEFAULT_EPOCHS[data]
        sparsity = DEFAULT_SPARSITY if self.sparsity is None else self.sparsity
        quantizer = self.chosen_quantizer() if "quantizer" in uses.flags else None
        parameter = SHARING[quantizer].parameter if quantizer else None
        clusters = DEFAULT_CLUSTERS if self.clusters is None else self.clusters
        step_size = DEFAULT_STEP if self.step_size is None else self.step_size
        cuts = "remove_channels" in uses.flags
        remove = DEFAULT_CHANNELS if self.remove_channels is None else self.remove_channels
        quantizes = "weight_bits" in uses.flags
        bits, drops = self.bits or DEFAULT_BITS, "keep_blocks" in uses.flags
        distills, teaches = "times_smaller" in uses.flags, "temperature" in uses.flags
        temperature = DEFAULT_TEMPERATURE if self.temperature is None else self.temperature
        soft_weight = DEFAULT_SOFT_WEIGHT if self.soft_weight is None else self.soft_weight
        enough = max(math.ceil(round(remove / LARGEST_CUT, 9)), 1)
        return Plan(
            model=self.model,
            data=data,
            recipe=self.recipe,
            sparsity=sparsity if "sparsity" in uses.flags else 0.0,
            quantizer=quantizer,
            clusters=clusters if parameter == "clusters" else 0,
            step_size=step_size if parameter == "step_size" else 0.0,
            remove_channels=remove if cuts else 0.0,
            rounds=(self.rounds or enough) if cuts else 0,
            round_to=self.round_to or 1,
            group_lasso=self.group_lasso or 0.0,
            keep_blocks=(self.keep_blocks or max(uses.depth // 2, 1)) if drops else 0,
            image_size=self.image_size or uses.image_sizes[0],
            branches=tuple(b for b in uses.branches if b in (self.branches or uses.branches)),
            epochs=self.epochs or default.train,
            finetune_epochs=self.finetune_epochs or default.finetune,
            batch_size=self.batch_size,
            lr=self.lr,
            seed=self.seed,
            limit=self.limit,
            control=self.control,
            layout=self.layout,
            start=None if self.start is None else str(self.start),
            bits=bits if quantizes else 0,
            weight_bits=(self.weight_bits or bits) if quantizes else 0,
            times_smaller=(self.times_smaller or DEFAULT_RATIO) if distills else 0.0,
            temperature=temperature if teaches else 0.0,
            soft_weight=soft_weight if teaches else 0.0,
        )
