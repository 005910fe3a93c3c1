"""What a run is asked to do, checked before anything is trained."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.checks import check_sparsity
from jaxcompress.cluster import check_clusters


class SettingsError(ValueError):
    """A setting that cannot work; one line, with the remedy."""


class Epochs(NamedTuple):
    """Passes over the data in the first training, and in fine-tuning after pruning."""

    train: int
    finetune: int


DEFAULT_SPARSITY, DEFAULT_CLUSTERS = 0.9, 16
DEFAULT_EPOCHS = {
    # CIFAR-10: 22 epochs of 45 000 images, under 20 minutes at 1 000 images a second.
    "cifar10": Epochs(12, 8),
    "fashion_mnist": Epochs(4, 3),
    "digits": Epochs(30, 30),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is asked to do.

    Attributes:
        model: name of the network.
        data: name of the dataset, or `auto`.
        data_dir: where the dataset lies; None looks in the usual places.
        recipe: name of the recipe.
        sparsity: fraction of the kernels' weights to remove, in [0, 1); None takes the default
            where the recipe prunes.
        clusters: values a layer may use beside zero; None takes the default where the recipe
            shares.
        epochs: passes of the first training; None takes the dataset's default.
        finetune_epochs: passes of fine-tuning after pruning, and three times those after sharing;
            None takes the dataset's default.
        batch_size: images a step.
        lr: peak learning rate of the first training; fine-tuning uses fixed fractions of it.
        seed: of the initial weights and the order of the images.
        limit: training images used; None for all.
        control: also train the dense network for as many extra steps.
    """

    model: str = "cifar"
    data: str = "auto"
    data_dir: Path | None = None
    recipe: str = "prune+share"
    sparsity: float | None = None
    clusters: int | None = None
    epochs: int | None = None
    finetune_epochs: int | None = None
    batch_size: int = 64
    lr: float = 1e-3
    seed: int = 0
    limit: int | None = None
    control: bool = False

    def check(self) -> None:
        """Refuse values that cannot work.

        Raises:
            SettingsError: naming the flag, the rule, the value and the remedy.
        """
        try:
            if self.sparsity is not None:
                check_sparsity("--sparsity", self.sparsity)
            if self.clusters is not None:
                check_clusters(self.clusters)
        except (TypeError, ValueError) as error:
            raise SettingsError(str(error).replace("clusters: k", "--clusters:")) from None
        for flag, value in (("--epochs", self.epochs), ("--finetune-epochs", self.finetune_epochs)):
            if value is not None and value < 1:
                raise SettingsError(f"{flag}: must be at least 1, got {value}.")
        if self.batch_size < 1:
            raise SettingsError(f"--batch-size: must be at least 1, got {self.batch_size}.")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise SettingsError(f"--lr: must be above 0, got {self.lr}; 0.001 is usual.")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"--seed: must be in 0 to {2**32 - 1}, got {self.seed}.")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"--limit: must be at least 1 image, got {self.limit}.")

    def for_recipe(self, *, prunes: bool, shares: bool) -> "Settings":
        """Return the settings with the defaults of what the recipe does filled in.

        Raises:
            SettingsError: a setting that the recipe has no use for.
        """
        values = {
            "sparsity": _used("--sparsity", self.sparsity, DEFAULT_SPARSITY, needed=prunes),
            "clusters": _used("--clusters", self.clusters, DEFAULT_CLUSTERS, needed=shares),
        }
        return dataclasses.replace(self, **values)

    def for_data(self, data: str, train_size: int) -> "Settings":
        """Return the settings with the dataset's defaults filled in.

        Raises:
            SettingsError: fewer training images than one batch.
        """
        if train_size < self.batch_size:
            raise SettingsError(
                f"--batch-size: must be at most the {train_size} training images, got "
                f"{self.batch_size}; pass --batch-size {train_size} or raise --limit."
            )
        default = DEFAULT_EPOCHS[data]
        return dataclasses.replace(
            self,
            data=data,
            epochs=self.epochs or default.train,
            finetune_epochs=self.finetune_epochs or default.finetune,
        )

    def as_json(self) -> dict[str, Any]:
        """Return what decides the result, for comparing two runs; the data's place does not."""
        values = dataclasses.asdict(self)
        del values["data_dir"]
        return values


def _used(flag: str, value: Any, default: Any, *, needed: bool) -> Any:
    if value is not None and not needed:
        raise SettingsError(f"{flag}: the recipe has no use for it; leave it out.")
    return default if value is None and needed else value
