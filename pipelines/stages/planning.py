"""The planner's view of a run: its task, its plan, and refusals as those of the command line."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import jaxcompress as jc
from jaxcompress.nnx import Params
from jaxcompress.planner import Plan, Profile, Task
from jaxcompress.typing import PyTree
from pipelines.errors import SettingsError
from pipelines.models.train import cross_entropy
from pipelines.stages.files import BASELINE, read_plain
from pipelines.stages.stage import Trainer, Work

PROFILE, PLAN = "profile.json", "plan.json"
BATCHES = (1, 64)  # for which speedups count
PROFILED = 128  # training images on which damages are measured
EVALUATED = 2048  # validation images
_TRIALS = 60  # batches of the short training of networks that are compared
_MARGINS = (1.25, 1.15, 1.08)  # of the speed asked for: calls vary by a fifth from run to run


def task_of(job: Trainer) -> Task:
    """Return the trained network as the planner sees it; its quality is accuracy in percent."""
    size = job.plan.batch_size
    inputs, labels = job.sample(_TRIALS * size), job.labels(_TRIALS * size)
    batches = [
        (jax.tree.map(lambda rows: rows[at : at + size], inputs), labels[at : at + size])  # noqa: B023
        for at in range(0, max(len(labels) // size, 1) * size, size)
    ]

    def loss(apply: Callable[..., Any], tree: Params, batch: Any) -> Any:
        return cross_entropy(apply(tree, batch[0]), jnp.asarray(batch[1]))

    def evaluate(apply: Callable[..., Any], tree: Params) -> float:
        del apply  # the same code for all sizes, compiled already
        return 100 * job.accuracy(work_of(tree), EVALUATED)

    blocks = job.classifier.blocks
    return Task(
        job.apply,
        read_plain(job.folder / BASELINE).tree,
        example=(job.sample(PROFILED),),
        loss=loss,
        train=batches,
        evaluate=evaluate,
        blocks=f"params/{blocks}" if blocks else "",
        batches=BATCHES,
        learning_rate=job.plan.lr,
    )


def plan_within(job: Trainer, found: Profile) -> Plan:
    """Return the plan for the budget, if possible with a little more speed than asked for."""
    found = _with_metadata(job, found)
    size, speedup, drop = (job.plan.get(name) for name in ("size", "speedup", "drop"))

    def plan_at(asked: float | None) -> Plan:
        plan = jc.planner.plan(found, size_bytes=size, speedup=asked, drop=drop)
        return plan._replace(budget=plan.budget._replace(speedup=speedup))

    if speedup is not None:
        for margin in _MARGINS:
            with contextlib.suppress(ValueError):  # it may be out of reach
                return plan_at(margin * speedup)
    with refused():
        return plan_at(speedup)


def _with_metadata(job: Trainer, found: Profile) -> Profile:
    """Return a profile of files with the metadata that files of a run have."""
    blank = {"params": {}}
    more = jc.size_bytes(blank, metadata=job.classifier.as_metadata()) - jc.size_bytes(blank)
    return found._replace(networks=[each.with_more(more) for each in found.networks])


def plan_in(folder: Path) -> Plan:
    """Read the plan of a run, which a person may have edited."""
    with refused():
        try:
            return jc.planner.read_plan(folder / PLAN)
        except OSError as error:
            raise ValueError(f"{folder / PLAN}: {error.strerror}; pass another --out.") from None


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Turn refusals of the planner into those of the command line."""
    try:
        yield
    except ValueError as error:
        words = str(error)
        for name in ("size_bytes", "speedup", "drop"):
            if words.startswith(f"{name}:"):
                words = f"--{name.removesuffix('_bytes')}{words.removeprefix(name)}"
        raise SettingsError(words) from None


def work_of(tree: PyTree) -> Work:
    """Return the work of a tree of parameters and statistics."""
    return Work(tree["params"], tree.get("stats", {}))
