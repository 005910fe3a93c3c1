"""Distillation: a student beside the same student from scratch, and with students between.

    python -m benchmarks.distillation --folder runs --seeds 0 1 2

Fashion-MNIST, ResNet-20. Every row is what `python run.py --model resnet20 --data fashion_mnist
--recipe distill --control --start TEACHER` gives with the settings below. TEACHER holds the network
that the first stage of a run trains, once for each seed and number of images. A row is written
after each run; existing rows are not made again.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.distillation.table import DISTILLATION
from benchmarks.lib import runs
from benchmarks.lib.record import merge, rows_of
from pipelines.data import load
from pipelines.options.plan import planned
from pipelines.run.row import Row

MODEL, DATA = "resnet20", "fashion_mnist"
TEMPERATURE, SOFT_WEIGHT, BATCH_SIZE, LR = 4.0, 0.9, 32, 0.003
"""Chosen by the accuracy on validation images: with 64 images a step and a rate of 0.001, 1 100
steps are too few for a student to come near its teacher."""


class Teacher(NamedTuple):
    """How a teacher is trained.

    Attributes:
        images: the first so many.
        epochs: over them.
    """

    images: int
    epochs: int


class Task(NamedTuple):
    """What students are asked.

    Attributes:
        teacher: from whom they learn.
        ratio: how many times fewer parameters than the teacher.
        stages: how many students, each taught by the one before; None for what the ratio asks for.
        images: that students see, the first so many of the teacher's.
        epochs: that each student is taught.
        finetune_epochs: on labels alone, after that.
        seeds: for which it is made.
    """

    teacher: Teacher
    ratio: float
    stages: int | None
    images: int
    epochs: int
    finetune_epochs: int
    seeds: tuple[int, ...] = (0, 1, 2)


SOME, ALL = Teacher(12_000, 6), Teacher(55_000, 4)
TASKS = (
    Task(SOME, 8.0, 1, 3_000, 24, 1),
    Task(SOME, 20.0, None, 3_000, 24, 1),
    Task(SOME, 8.0, 1, SOME.images, 6, 1, (0,)),
    Task(ALL, 8.0, 1, ALL.images, 4, 1, (0,)),
)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, help="where teachers are kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        teachers = arguments.folder or Path(temporary)
        for order, task in enumerate(TASKS):
            for seed in arguments.seeds:
                known = {(row["order"], row["seed"]) for row in rows_of(DISTILLATION)}
                if seed in task.seeds and (order, seed) not in known:
                    folder = Path(temporary) / f"{order}-{seed}"
                    rows = _distilled(task, seed, trained(task.teacher, teachers, seed), folder)
                    asked = task._asdict() | {"teacher": task.teacher._asdict()}
                    row = {"order": order, "seed": seed} | asked | _figures(rows)
                    merge(DISTILLATION, row, key=_key, command=_command)


def trained(teacher: Teacher, folder: Path, seed: int) -> Path:
    """Return the file of a trained network, which is made if it is not there."""
    limit, epochs = teacher
    plan = planned(limit, data=DATA, model=MODEL, limit=limit, epochs=epochs, seed=seed)
    return runs.trained(plan, load(DATA, limit=limit), folder / f"{MODEL}-{limit}-{seed}")


def _distilled(task: Task, seed: int, start: Path, folder: Path) -> list[Row]:
    plan = planned(
        task.images,
        data=DATA,
        model=MODEL,
        recipe="distill",
        start=start,
        times_smaller=task.ratio,
        students=task.stages,
        batch_size=BATCH_SIZE,
        lr=LR,
        temperature=TEMPERATURE,
        soft_weight=SOFT_WEIGHT,
        limit=task.images,
        epochs=task.epochs,
        finetune_epochs=task.finetune_epochs,
        seed=seed,
        control=True,
    )
    return runs.run(plan, load(DATA, limit=task.images), folder)


def _figures(rows: list[Row]) -> dict[str, Any]:
    """Return what the table needs of a run."""
    by_name = {row.name: row for row in rows}
    student = by_name["student from scratch"].facts
    return {
        "taught": sum(row.name.startswith("distilled") and "+" not in row.name for row in rows),
        "sizes": student["sizes"],
        "parameters": student["parameters"],
        "parameter_ratio": round(student["parameter_ratio"], 3),
        "accuracy": {row.name: row.accuracy for row in rows},
        "validation": {row.name: row.validation_accuracy for row in rows},
        "latency_ms": {row.name: row.latency_ms for row in rows},
        "seconds": round(sum(row.seconds for row in rows), 1),
    }


def _key(row: dict[str, Any]) -> tuple[int, int]:
    return row["order"], row["seed"]


def _command(figures: list[dict[str, Any]]) -> str:
    seeds = " ".join(map(str, sorted({row["seed"] for row in figures})))
    return f"python -m benchmarks.distillation --seeds {seeds}"
