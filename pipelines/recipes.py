"""Recipes: which stages, in which order."""

from collections.abc import Callable
from typing import NamedTuple

from pipelines import stages
from pipelines.models import MODELS
from pipelines.settings import Plan, Uses
from pipelines.stages import BASELINE, COMPRESSED, Run, Stage, pruned_epochs, shared_epochs


class Recipe(NamedTuple):
    """A way to compress a network.

    Attributes:
        summary: one line for `--help`.
        stages: from training to the compressed file and back.
    """

    summary: str
    stages: tuple[Stage, ...]

    @property
    def prunes(self) -> bool:
        """Whether any stage removes weights."""
        return any(stage in self.stages for stage in _PRUNINGS)

    @property
    def shares(self) -> bool:
        """Whether any stage shares weights."""
        return _SHARE in self.stages


def _packed(name: str, run: Run, file: str, **more: Callable[[Plan], int]) -> Stage:
    return Stage(name, run, stages.write_compressed, f"stages/{file}.npz", **more)


_TRAIN = Stage("baseline", stages.train, stages.write_plain, BASELINE)
_RELOAD = Stage("reloaded", stages.reload, stages.size_of, COMPRESSED)
_PRUNE = _packed("pruned", stages.prune, "pruned")
_PRUNE_RANDOMLY = _packed("pruned at random", stages.prune_randomly, "pruned")
_PRUNE_GRADUALLY = _packed(
    "pruned gradually", stages.prune_gradually, "pruned", extra_epochs=pruned_epochs
)
_PRUNINGS = (_PRUNE, _PRUNE_RANDOMLY, _PRUNE_GRADUALLY)
_TUNE_PRUNED = _packed(
    "pruned + tuned", stages.tune_pruned, "pruned_tuned", extra_epochs=pruned_epochs
)
_SHARE = _packed("shared", stages.share, "shared")
_TUNE_SHARED = _packed(
    "shared + tuned", stages.tune_shared, "shared_tuned", extra_epochs=shared_epochs
)

RECIPES: dict[str, Recipe] = {
    "prune+share": Recipe(
        "prune by magnitude, fine-tune, share weights, fine-tune",
        (_TRAIN, _PRUNE, _TUNE_PRUNED, _SHARE, _TUNE_SHARED, _RELOAD),
    ),
    "gradual+share": Recipe(
        "prune gradually while training, share weights, fine-tune",
        (_TRAIN, _PRUNE_GRADUALLY, _SHARE, _TUNE_SHARED, _RELOAD),
    ),
    "random+share": Recipe(
        "prune+share with a random mask: the control of pruning",
        (_TRAIN, _PRUNE_RANDOMLY, _TUNE_PRUNED, _SHARE, _TUNE_SHARED, _RELOAD),
    ),
    "prune": Recipe(
        "prune by magnitude, fine-tune; float values stay",
        (_TRAIN, _PRUNE, _TUNE_PRUNED, _RELOAD),
    ),
    "share": Recipe(
        "share weights, fine-tune; no weight is removed",
        (_TRAIN, _SHARE, _TUNE_SHARED, _RELOAD),
    ),
}


def uses(recipe: str, model: str) -> Uses:
    """Return what a recipe and a model have a use for."""
    way, network = RECIPES[recipe], MODELS[model]
    return Uses(way.prunes, way.shares, network.image_sizes, network.branches)


def with_control(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages, and the dense network trained for as many extra steps."""

    def extra_epochs(plan: Plan) -> int:
        return sum(stage.extra_epochs(plan) for stage in recipe.stages)

    control = Stage(
        "control", stages.train_on(extra_epochs), stages.write_plain, "stages/control.npz"
    )
    return (*recipe.stages, control)
