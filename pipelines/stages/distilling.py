"""Distillation: students that learn from a teacher, each smaller than the last."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

import jaxcompress as jc
from jaxcompress import jit_for_inference as jit
from nets.students import parameters_in
from pipelines.models import Inputs
from pipelines.models.capacity import stages_for
from pipelines.models.train import Lesson
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.stages.files import BASELINE, packed, read_plain
from pipelines.stages.pruning import PRUNED, PRUNING, SHARED, SHARING
from pipelines.stages.stage import Facts, Recipe, Run, Stage, Trainer, Work
from pipelines.stages.training import adamw, pruned_epochs, tune

_GENTLE = 0.1
"""Fraction of the peak rate for a taught student. On Fashion-MNIST (ResNet-20, 20 times smaller,
3 000 images, one seed, validation images) an epoch at the full rate lost 0.3 points, at this one
0.1."""

TUNE = tune(pruned_epochs, _GENTLE)


def students(plan: Settings) -> Sequence[Stage]:
    """Return the stages of all students, each taught by the one before, the first by the model."""
    count, result = plan.students, []
    for number in range(1, count + 1):
        name = f"distilled {number}/{count}" if count > 1 else "distilled"
        result.append(packed(name, teach(number - 1), taught_epochs, student=number))
    return (*result, packed("distilled + tuned", TUNE, pruned_epochs, student=count))


def controls(plan: Settings) -> Sequence[Stage]:
    """Return controls: the last student without a teacher, and taught by the model itself."""
    count = plan.students
    result = [packed("student from scratch", from_scratch, student=count)]
    if count > 1:
        result += [
            packed("single stage", teach_at_once, student=count),
            packed("single stage + tuned", TUNE, student=count),
        ]
    return result


def taught_epochs(plan: Settings) -> int:
    """Return the epochs of a student: as many as those of the model."""
    return plan.epochs


def teach(teacher: int) -> Run:
    """Return the stage in which a new student learns from a teacher, the network of `work`."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        epochs, lesson = taught_epochs(job.plan), lesson_of(job, teacher, work)
        taught = job.fit(job.fresh(), adamw(job, epochs), epochs=epochs, lesson=lesson)
        return taught, _facts(job, taught)

    return run


def teach_at_once(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Teach a new student by the model itself: the control of stages."""
    del work
    return teach(0)(job, read_plain(job.folder / BASELINE))


def from_scratch(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train a new student on labels alone, for as many epochs as the last student."""
    del work
    trained, _ = tune(lambda plan: taught_epochs(plan) + pruned_epochs(plan))(job, job.fresh())
    return trained, _facts(job, trained)


def lesson_of(job: Trainer, number: int, work: Work) -> Lesson:
    """Return the lesson of a teacher, which sees the same augmented images as the student."""
    teacher, plan = job.network(number), job.plan
    compiled = jit(lambda tree, inputs: teacher.apply(tree["params"], tree["stats"], inputs))
    tree = job.devices.whole(work.tree)
    return taught_by(
        lambda inputs: compiled(tree, inputs),
        temperature=plan.temperature,
        soft_weight=plan.soft_weight,
    )


def taught_by(
    teacher: Callable[[Inputs], Any], *, temperature: float, soft_weight: float
) -> Lesson:
    """Return the lesson of a teacher, a function from inputs to logits.

    Args:
        teacher: in evaluation mode.
        temperature: of `distillation_loss`.
        soft_weight: of `distillation_loss`.
    """

    def loss(logits: jax.Array, labels: jax.Array, taught: jax.Array) -> jax.Array:
        return jc.distillation_loss(
            logits, taught, labels, temperature=temperature, soft_weight=soft_weight
        )

    return Lesson(loss, teacher)


def _facts(job: Trainer, work: Work) -> Facts:
    """Return the sizes of a student, and the ratio of parameters of the model to its own."""
    whole, mine = map(parameters_in, (job.network(0).blank()[0], work.params))
    sizes = dict(job.classifier.sizes)
    return {"sizes": sizes, "parameters": mine, "parameter_ratio": whole / mine}


# Options and recipes


def _students(settings: Settings) -> int:
    return settings.get("students") or stages_for(settings.times_smaller)


OPTIONS = (
    Option(
        name="times_smaller",
        kind="above",
        default=8.0,
        shown="8",
        bounds=(1, None),
        remedy="8 makes a network of an 8th of the parameters",
        metavar="R",
        help="how many times fewer parameters the last student has, above 1",
        recorded="target_ratio",
        unused=0.0,
    ),
    Option(
        name="students",
        kind="whole or auto",
        default=_students,
        shown="auto: 1 up to 4 times smaller, 2 up to 16, else 3",
        bounds=(1, 6),
        metavar="N",
        help="students, each taught by the one before",
    ),
    Option(
        name="temperature",
        kind="temperature",
        default=3.0,
        shown="3",
        metavar="T",
        help="of the softened logits that students learn from",
        recorded="temperature",
        unused=0.0,
    ),
    Option(
        name="soft_weight",
        kind="fraction",
        default=0.7,
        remedy="0.7 is usual",
        metavar="W",
        help="weight of the teacher's term in a student's loss, in [0, 1]; labels have the rest",
        recorded="soft_weight",
        unused=0.0,
    ),
)

TEACHING = ("temperature", "soft_weight")
DISTILLING = ("times_smaller", "students", *TEACHING)

RECIPES = {
    "distill": Recipe(
        "teach smaller networks, each by the one before; fine-tune on labels",
        DISTILLING,
        (students,),
        controls=controls,
    ),
    "distill+shared": Recipe(
        "distill, then prune+share on the student",
        DISTILLING + PRUNING + SHARING,
        (students, *PRUNED, *SHARED),
        controls=controls,
    ),
}
