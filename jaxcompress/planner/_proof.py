"""The proof of a plan: what was promised, predicted and measured."""

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.artifact import load_into, save
from jaxcompress.costs import peak_bytes
from jaxcompress.leaves import dense
from jaxcompress.planner._measuring import evaluated, timings
from jaxcompress.planner._plan import Plan
from jaxcompress.planner._task import Apply, Task
from jaxcompress.planner._text import plain
from jaxcompress.planner._words import number
from jaxcompress.programs import ship
from jaxcompress.report import of_result, write
from jaxcompress.text import as_html, table_lines
from jaxcompress.trees import PyTree

SPEED = "times faster"
"""Begins the name of a check."""

LOST = "quality lost"
"""The name of a check."""


class Check(NamedTuple):
    """One promise of a plan.

    Attributes:
        name: what is measured, with its unit.
        budget: None if nothing was asked.
        predicted: by the plan; None if it could not say.
        measured: of the file that was written and read again.
        is_met: whether the budget holds.
    """

    name: str
    budget: float | None
    predicted: float | None
    measured: float
    is_met: bool = True


class Step(NamedTuple):
    """One step of carrying a plan out.

    Attributes:
        name: of it.
        size_bytes: of the file at its end.
        quality: at its end; None without `evaluate`.
        note: what was done.
    """

    name: str
    size_bytes: int
    quality: float | None
    note: str = ""


class Result(NamedTuple):
    """A compressed network and the proof that it keeps what was promised; `print` shows it.

    Attributes:
        params: with compressed leaves, for `save` and `execute`.
        apply: of the network, which may be smaller than the whole one.
        plan: the last one, corrected by what was measured.
        steps: what was done.
        checks: size, latency, quality and memory.
        control: quality of the uncompressed network, trained as long, or as it was if that is
            better; None without `evaluate`.
    """

    params: PyTree
    apply: Apply | None
    plan: Plan
    steps: list[Step]
    checks: list[Check]
    control: float | None

    @property
    def missed(self) -> list[Check]:
        """Checks whose budget does not hold."""
        return [check for check in self.checks if not check.is_met]

    @property
    def is_met(self) -> bool:
        """Whether all budgets hold."""
        return not self.missed

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        """Return the steps, and a table of budgets, predictions and measurements."""
        steps = [["step", "bytes", "quality", ""]]
        for step in self.steps:
            quality = "" if step.quality is None else number(step.quality)
            steps.append([step.name, f"{step.size_bytes:,}", quality, step.note])
        rows = [["check", "budget", "predicted", "measured", ""]]
        for check in self.checks:
            told = ("" if v is None else number(v) for v in (check.budget, check.predicted))
            asked = "" if check.budget is None else "met" if check.is_met else "MISSED"
            rows.append([check.name, *told, number(check.measured), asked])
        return "\n".join([*table_lines(steps), *table_lines(rows)])

    def save(self, path: str | os.PathLike[str], **metadata: Any) -> int:
        """Write the file, and return its size in bytes.

        Args:
            path: to write.
            **metadata: for `save`, as JSON.
        """
        return save(path, self.params, metadata=metadata or None)

    def as_dict(self) -> dict[str, Any]:
        """Return plan, steps, checks and quality of the control as JSON, for `made=` of `ship`."""
        told = {"plan": self.plan.as_dict(), "steps": self.steps, "checks": self.checks}
        return plain(told | {"control": self.control})

    def ship(self, path: str | os.PathLike[str], *inputs: PyTree, **options: Any) -> int:
        """Write the file with its function and with how it was made; return its size in bytes.

        Args:
            path: to write.
            *inputs: of one example call, as for `jc.ship`.
            **options: of `jc.ship`.

        Raises:
            ValueError: as `jc.ship`; the network has no function, as it was never run.
        """
        if self.apply is None:
            raise ValueError(
                "apply: must be a function to be shipped, got none; pass one to Task, or use save."
            )
        told: dict[str, Any] = {"made": self.as_dict()} | options
        return ship(path, self.apply, self.params, *inputs, **told)

    def report(
        self, path: str | os.PathLike[str], *, before: PyTree | None = None
    ) -> dict[str, Any]:
        """Write a page of the result, and its numbers and a model card beside it.

        Args:
            path: of the page, such as `report.html`.
            before: the parameters before compression, for shapes and histograms.

        Returns:
            The record, as in `report.json`.

        Raises:
            ValueError: a path that does not end in `.html`.
            OSError: a file cannot be written.
        """
        record = of_result(self, before=before)
        write(path, record)
        return record


def reloaded(params: PyTree, like: PyTree) -> tuple[int, PyTree]:
    """Return the bytes of the file of a tree, and the dense tree that is read from it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "m.npz")
        size = save(file, params)
        return size, load_into(file, like)


def checks_of(
    task: Task, plan: Plan, apply: Apply | None, params: PyTree, control: float | None
) -> list[Check]:
    """Write the file, read it again, and measure what was promised.

    Args:
        task: of the whole network.
        plan: with budgets and predictions.
        apply: of the small network.
        params: with compressed leaves.
        control: quality that counts as no loss; None without `evaluate`.
    """
    budget = plan.budget
    size, tree = reloaded(params, dense(params))
    limit = budget.size_bytes
    found = [Check("bytes", limit, plan.size_bytes, size, limit is None or size <= limit)]
    if task.is_run and apply is not None and task.apply is not None:
        found += _times(task, plan, apply, tree)
    if control is not None and apply is not None:
        lost = control - evaluated(task, apply, tree)
        predicted = None if plan.drop is None else plan.drop.drop
        is_met = budget.drop is None or lost <= budget.drop
        found.append(Check(LOST, budget.drop, predicted, lost, is_met))
    return found


def _times(task: Task, plan: Plan, apply: Apply, tree: PyTree) -> list[Check]:
    assert task.apply is not None
    pair = {"whole": (task.apply, dense(task.params)), "small": (apply, tree)}
    latency = timings(pair, task)["small"]
    predicted = {each.batch_size: each for each in plan.latency}
    pairs = [(each, predicted.get(each.batch_size)) for each in latency]
    asked = plan.budget.speedup
    found = [
        Check(
            f"{SPEED}, batch {each.batch_size}",
            asked,
            told and told.speedup,
            each.speedup,
            asked is None or each.speedup >= asked,
        )
        for each, told in pairs
    ]
    found += [
        Check(f"ms, batch {each.batch_size}", None, told and told.ms, each.ms)
        for each, told in pairs
    ]
    memory = peak_bytes(apply, tree, *task.example)
    return found if memory is None else [*found, Check("bytes of memory", None, None, memory)]
