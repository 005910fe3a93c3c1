"""The table of distillation."""

from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import TRAINING
from benchmarks.lib.record import Figures, Record

_TAUGHT, _ALONE, _AT_ONCE = "distilled + tuned", "student from scratch", "single stage + tuned"


def distillation(record: Figures) -> list[str]:
    """Return rows for each task: the student from scratch, taught at once, taught by students."""
    rows = []
    for _, group in groupby(record["figures"], lambda run: run["order"]):
        runs = list(group)
        first, stages = runs[0], runs[0]["accuracy"]
        taught = "taught by the teacher" if _AT_ONCE not in stages else f"last of {first['taught']}"
        ways = {_ALONE: "from scratch", _AT_ONCE: "taught by the teacher", _TAUGHT: taught}
        rows += [
            [
                f"{first['parameter_ratio']:.1f}x",
                f"{first['teacher']['images']:,}",
                f"{first['images']:,}",
                label,
                ", ".join(str(run["seed"]) for run in runs),
                _percent(runs, "baseline"),
                _percent(runs, stage),
                spread([100 * (_of(run, stage) - _of(run, _ALONE)) for run in runs])
                if stage != _ALONE
                else "",
            ]
            for stage, label in ways.items()
            if stage in stages
        ]
    header = ["fewer parameters", "teacher's images", "student's images", "student", "seeds"]
    header += ["teacher %", "student %", "against scratch, points"]
    more = (
        " Mean (range) over the seeds; test images. "
        f"Epochs of teachers: {_lengths([run['teacher'] for run in record['figures']])}. "
        f"Of students: {_lengths(record['figures'])}, and one of labels after that."
    )
    return markdown(header, rows) + footnote(record, more)


def _lengths(trainings: list[dict[str, Any]]) -> str:
    lengths = {training["images"]: training["epochs"] for training in trainings}
    return ", ".join(f"of {images:,} images {count}" for images, count in lengths.items())


def _of(run: dict[str, Any], stage: str) -> float:
    return run["accuracy"][stage]


def _percent(runs: list[dict[str, Any]], stage: str) -> str:
    return spread([100 * _of(run, stage) for run in runs])


RECORDS = (
    DISTILLATION := Record(
        "distillation",
        "a student taught by its teacher, and by students between, beside one from scratch",
        (
            *TRAINING,
            "jaxcompress/distill",
            "nets/resnet.py",
            "nets/students.py",
            "pipelines/models/capacity.py",
            "pipelines/stages/distilling.py",
        ),
        {"distillation": distillation},
        "60 a seed",
    ),
)
