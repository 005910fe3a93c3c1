"""Recipes: the stages of each, in order."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

from pipelines.models import MODELS
from pipelines.options.plan import Plan
from pipelines.options.uses import CUTTING, DISTILLING, DROPPING, PRUNING, QUANTIZING, SHARING, Uses
from pipelines.stages import common as stages
from pipelines.stages import distilling, dropping
from pipelines.stages import integers as quantizing
from pipelines.stages import structured as cutting
from pipelines.stages.common import BASELINE, COMPRESSED, packed, pruned_epochs, shared_epochs
from pipelines.stages.stage import Run, Stage


class Recipe(NamedTuple):
    """A way to compress a network.

    Attributes:
        summary: one line for `--help`.
        flags: the settings that it uses, of those that not every recipe uses.
        stages: from the plan to the stages, from training to the compressed file and back.
        modules: that it needs to run integers.
        from_scratch: from a number of epochs to a control of the same size, trained from scratch.
    """

    summary: str
    flags: tuple[str, ...]
    stages: Callable[[Plan], tuple[Stage, ...]]
    modules: tuple[str, ...] = ()
    from_scratch: Callable[[Callable[[Plan], int]], Run] | None = None


_TRAIN = Stage("baseline", stages.train, stages.write_plain, BASELINE)
_RELOAD = Stage("reloaded", stages.reload, stages.size_of, COMPRESSED)
_PRUNE = packed("pruned", stages.prune)
_PRUNE_RANDOMLY = packed("pruned at random", stages.prune_randomly)._replace(file=_PRUNE.file)
_PRUNE_GRADUALLY = packed("pruned gradually", stages.prune_gradually, pruned_epochs)._replace(
    file=_PRUNE.file
)
_TUNE_PRUNED = packed("pruned + tuned", stages.tune_pruned, pruned_epochs)
_SHARE = packed("shared", stages.share)
_TUNE_SHARED = packed("shared + tuned", stages.tune_shared, shared_epochs)

_PRUNED = (_PRUNE, _TUNE_PRUNED)
_SHARED = (_SHARE, _TUNE_SHARED)
_CUT = cutting.rounds(cutting.by_magnitude)
_CUT_RANDOMLY = cutting.rounds(cutting.at_random)


def _dropped(choose: dropping.ChooseRule) -> tuple[Stage, Stage]:
    recovered = packed("dropped + tuned", dropping.recover, pruned_epochs)
    return packed("dropped", dropping.drop(choose)), recovered


def _between(*parts: Stage | Callable[[Plan], Sequence[Stage]]) -> Callable[..., tuple[Stage, ...]]:
    """Return the stages between training and reloading; some depend on the plan."""

    def stages(plan: Plan) -> tuple[Stage, ...]:
        between = [[part] if isinstance(part, Stage) else part(plan) for part in parts]
        return (_TRAIN, *chain(*between), _RELOAD)

    return stages


RECIPES: dict[str, Recipe] = {
    "prune+share": Recipe(
        "prune by magnitude, fine-tune, share weights, fine-tune",
        PRUNING + SHARING,
        _between(*_PRUNED, *_SHARED),
    ),
    "gradual+share": Recipe(
        "prune gradually while training, share weights, fine-tune",
        PRUNING + SHARING,
        _between(_PRUNE_GRADUALLY, *_SHARED),
    ),
    "random+share": Recipe(
        "prune+share with a random mask: the control of pruning",
        PRUNING + SHARING,
        _between(_PRUNE_RANDOMLY, _TUNE_PRUNED, *_SHARED),
    ),
    "prune": Recipe(
        "prune by magnitude, fine-tune; float values stay", PRUNING, _between(*_PRUNED)
    ),
    "share": Recipe("share weights, fine-tune; no weight is removed", SHARING, _between(*_SHARED)),
    "structured": Recipe(
        "cut channels out by L1 norm and fine-tune, in rounds: smaller and faster",
        CUTTING,
        _between(_CUT),
        from_scratch=cutting.from_scratch,
    ),
    "structured+shared": Recipe(
        "structured, then prune+share on what is left",
        CUTTING + PRUNING + SHARING,
        _between(_CUT, *_PRUNED, *_SHARED),
        from_scratch=cutting.from_scratch,
    ),
    "structured-random": Recipe(
        "structured with channels chosen at random: the control of pruning",
        CUTTING,
        _between(_CUT_RANDOMLY),
        from_scratch=cutting.from_scratch,
    ),
    "drop": Recipe(
        "drop blocks at even distances, fine-tune with the whole network as teacher",
        DROPPING,
        _between(*_dropped(dropping.spread_out)),
        from_scratch=dropping.from_scratch,
    ),
    "drop-measured": Recipe(
        "drop the blocks without which the loss grows least",
        DROPPING,
        _between(*_dropped(dropping.by_importance)),
        from_scratch=dropping.from_scratch,
    ),
    "drop-random": Recipe(
        "drop blocks chosen at random: the control of the choice",
        DROPPING,
        _between(*_dropped(dropping.at_random)),
        from_scratch=dropping.from_scratch,
    ),
    "distill": Recipe(
        "teach smaller networks, each by the one before; fine-tune on labels",
        DISTILLING,
        _between(distilling.students),
    ),
    "distill+shared": Recipe(
        "distill, then prune+share on the student",
        DISTILLING + PRUNING + SHARING,
        _between(distilling.students, *_PRUNED, *_SHARED),
    ),
    "int8": Recipe(
        "fold norms, calibrate, round to integers, export to ONNX and run that",
        ("weight_bits",),
        _between(*quantizing.ROUNDED),
        quantizing.MODULES,
    ),
    "qat": Recipe(
        "int8, with training that sees the rounding, to any number of bits",
        QUANTIZING,
        _between(quantizing.trained),
        quantizing.MODULES,
    ),
}


def uses(recipe: str, model: str) -> Uses:
    """Return the settings that a recipe and a model use."""
    way, network = RECIPES[recipe], MODELS[model]
    return Uses(way.flags, network.image_sizes, network.branches, way.modules, network.depth)


def stages_of(plan: Plan) -> tuple[Stage, ...]:
    """Return the stages of a plan, and its controls if it asks for them.

    The controls are the dense network, trained on for as many extra epochs, and, where units or
    blocks are removed, a network of the final sizes, trained from scratch for all epochs. Students
    have their own controls.
    """
    between = RECIPES[plan.recipe].stages(plan)
    if not plan.control:
        return between
    if plan.students:
        return (*between, *distilling.controls(plan))

    def extra(plan: Plan) -> int:
        return sum(stage.extra_epochs(plan) for stage in between)

    dense = stages.train_on(extra)
    control = [Stage("control", dense, stages.write_plain, "stages/control.npz")]
    if from_scratch := RECIPES[plan.recipe].from_scratch:
        small = from_scratch(lambda plan: plan.epochs + extra(plan))
        file = "stages/from_scratch.npz"
        control.append(Stage("small from scratch", small, stages.write_plain, file))
    return (*between, *control)
