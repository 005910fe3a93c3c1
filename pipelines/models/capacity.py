"""The gap between student and teacher: the number of students, their sizes and their loss."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nets.families import sizes_of
from nets.resnet import ResNetConfig
from nets.students import parameter_count, student_for
from pipelines.errors import SettingsError
from pipelines.models.table import MODELS, Shape
from pipelines.options.settings import Settings

MOST_RATIO = {1: 4.0, 2: 16.0}
"""The largest target for each number of students; for larger targets there are three.

Up to a target of 64, each student is smaller by at most 4.
"""

MOST_STAGES = 3


class Loss(NamedTuple):
    """One measured loss of accuracy.

    Attributes:
        ratio: parameters of the teacher over those of the student.
        points: accuracy of the student below its teacher's, in percentage points.
        origin: the data, and the command that measures it again.
    """

    ratio: float
    points: float
    origin: str


MEASURED: dict[type, tuple[Loss, ...]] = {
    ResNetConfig: (
        Loss(20.2, 2.8, "3 000 images of Fashion-MNIST, `python -m benchmarks.distillation`"),
    ),
}
"""Losses by family, at ascending ratios that cause a warning; other families were not measured."""


def stages_for(ratio: float) -> int:
    """Return the number of students, each taught by the one before, for a target ratio.

    Example:
        >>> [stages_for(ratio) for ratio in (2, 4, 4.1, 16, 17, 100)]
        [1, 1, 2, 2, 3, 3]
    """
    enough = (stages for stages, most in MOST_RATIO.items() if ratio <= most)
    return next(enough, MOST_STAGES)


def ratios(target: float, stages: int) -> list[float]:
    """Return the ratio of each student to the first teacher: each shrinks by the same factor.

    Example:
        >>> [round(ratio, 3) for ratio in ratios(8, 3)]
        [2.0, 4.0, 8.0]
    """
    return [target ** (number / stages) for number in range(1, stages + 1)]


def expected_loss(losses: Sequence[Loss], ratio: float) -> str:
    """Return the expected loss at a ratio, from measurements, in words."""
    if not losses:
        return "no loss was measured for this kind of network: compare with --control"
    known = next((loss for loss in losses if loss.ratio >= ratio), losses[-1])
    less = "at least " if known.ratio < ratio else ""
    return f"expect to lose {less}{known.points:.1f} points ({known.ratio:g}x: {known.origin})"


def student_sizes(plan: Settings, classes: int) -> tuple[Mapping[str, Any], ...]:
    """Return the sizes of each student, as JSON; none where the recipe teaches no student.

    Args:
        plan: of the run.
        classes: of the dataset.

    Raises:
        SettingsError: the network cannot become so small.
    """
    if "times_smaller" not in plan:
        return ()
    config = _config(plan, classes)
    full = parameter_count(config)
    try:
        return tuple(
            sizes_of(student_for(config, math.floor(full / ratio)))
            for ratio in ratios(plan.times_smaller, plan.students)
        )
    except ValueError as error:
        raise SettingsError(
            f"--times-smaller: {plan.times_smaller:g} is not possible for the {full:,} parameters "
            f"of {plan.model} ({error}); pass another."
        ) from None


def warning(plan: Settings, classes: int) -> str:
    """Return a warning about students that are very small, empty if they are not."""
    if plan.get("times_smaller", 0) <= MOST_RATIO[2]:
        return ""
    losses = MEASURED.get(type(_config(plan, classes)), ())
    expected = expected_loss(losses, plan.times_smaller)
    return f"a network {plan.times_smaller:g} times smaller is far from its teacher; {expected}"


def _config(plan: Settings, classes: int) -> Any:
    shape = Shape(classes, plan.image_size, plan.get("branches", ()))
    return MODELS[plan.model].config(shape)
