"""A budget: a profile, a plan, cuts in rounds with fine-tuning, and weights rounded and trained."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jaxcompress as jc
from jaxcompress.bounds import check_size
from jaxcompress.costs import Timing
from jaxcompress.nnx import Params
from jaxcompress.planner import Plan
from jaxcompress.typing import PyTree
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.stages.distilling import TEACHING, lesson_of
from pipelines.stages.files import (
    BASELINE,
    compressed_size,
    file_of,
    packed,
    read_plain,
    write_plain,
)
from pipelines.stages.planning import (
    BATCHES,
    PLAN,
    PROFILE,
    plan_in,
    plan_within,
    refused,
    task_of,
    work_of,
)
from pipelines.stages.stage import Facts, Recipe, Run, Stage, Trainer, Work
from pipelines.stages.training import adamw

UNITS = (0.65, 0.5, 0.35, 0.25)  # kept of each layer, by the networks that are tried
ROUNDS = 4  # of cutting: plans keep a quarter of the units at least, and a round removes a fifth
_TIMED, _REPEATS = 60, 3  # calls, and how often they are compared
_ROOM = 0.97  # of the size, as training makes the file larger again


def profile(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Measure what each choice costs, and plan within the budget."""
    task, path = task_of(job), job.folder / PROFILE
    faster = job.plan.get("speedup", 1.0) > 1
    measured = partial(jc.planner.profile, task, path, units=UNITS, cut_only=faster, track=job.tell)
    with refused():
        measured()
        # Numbers of a file are rounded: a run that goes on from it makes the same plan.
        found = plan_within(job, measured())
    found.save(job.folder / PLAN)
    return work, {
        "network": found.name,
        "cut": found.cut,
        "size_bytes": round(found.size_bytes),
        "speedups": {str(each.batch_size): each.speedup for each in found.latency},
        "points_lost": None if found.drop is None else found.drop.drop,
    }


# The network


def cut(number: int) -> Run:
    """Return the stage that makes a part of the plan's cut, `number` of `ROUNDS`."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        plan = plan_in(job.folder)
        if not plan.cut:
            return work, {"cut": "nothing: the plan keeps all units and blocks"}
        with refused():
            _, small = jc.planner.cut(work.tree, plan, task_of(job), part=number / ROUNDS)
        counts = {"parameters": jc.count_parameters(small["params"])}
        return job.recalibrated(work_of(small)), counts

    return run


def recover(epochs: Callable[[Settings], int]) -> Run:
    """Return a stage that trains on labels and on the logits of the uncut network."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        count, lesson = epochs(job.plan), lesson_of(job, 0, read_plain(job.folder / BASELINE))
        return job.fit(work, adamw(job, count), epochs=count, lesson=lesson), {}

    return run


def _rounded_epochs(plan: Settings) -> int:
    """Return the epochs of training with rounded weights: a third of those of fine-tuning."""
    return max(plan.finetune_epochs // 3, 1)


def _epochs(number: int) -> Callable[[Settings], int]:
    """Return the epochs of fine-tuning after a cut: of the other two thirds, more for later ones.

    Later cuts remove a larger part of what is left, in smaller networks, whose epochs are shorter.
    """

    def until(number: int, total: int) -> int:
        return total * number * (number + 1) // (ROUNDS * (ROUNDS + 1))

    def epochs(plan: Settings) -> int:
        total = plan.finetune_epochs - _rounded_epochs(plan)
        return max(until(number, total) - until(number - 1, total), 1)

    return epochs


# The weights


def round_weights(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Round weights by choices made anew for the fine-tuned weights."""
    return _encoded(job, plan_in(job.folder), work, room=_ROOM), {}


def tune_rounded(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the weights before rounding on, as rounded; the grids stay."""
    epochs, net = _rounded_epochs(job.plan), job.classifier.net
    held = {"stats": {}} | (work.coded or {})  # checkpoints leave empty dicts out
    plan, view = plan_in(job.folder), jc.planner.rounded(held)
    lesson = lesson_of(job, 0, read_plain(job.folder / BASELINE))
    start = work_of(jc.load(job.folder / file_of(_last_cut())))

    def rounded(params: Params, stats: Params, x: Any) -> Any:
        seen = view({"params": params, "stats": stats})
        return net.apply_training(seen["params"], stats, x)

    nets = {epochs: net._replace(apply_training=rounded)}
    trained = job.fit(start, adamw(job, epochs), epochs=epochs, nets=nets, lesson=lesson)
    coded = jc.planner.encoded_again(trained.tree, held, half=plan.half)
    result = _of_coded(coded)
    size = job.plan.get("size")
    if size is not None and compressed_size(job, result) > size:
        return _encoded(job, plan, trained, room=1.0), {
            "rounded": "anew: training had made the file larger"
        }
    return result, {}


def _encoded(job: Trainer, plan: Plan, work: Work, *, room: float) -> Work:
    """Return the network with weights rounded, in a file of that part of the size."""
    size = job.plan.get("size")
    with refused():
        coded = jc.planner.encoded(
            work.tree,
            plan,
            task_of(job),
            size_bytes=None if size is None else room * size,
            size_of=lambda tree: compressed_size(job, work._replace(coded=tree)),
            track=job.tell,
        )
    return _of_coded(coded)


def _of_coded(coded: PyTree) -> Work:
    return work_of(jc.dense(coded))._replace(coded=coded)


# The proof


def speedups(job: Trainer, work: Work) -> Facts:
    """Measure how many times faster the reloaded network is than the uncompressed one.

    Short calls vary from one compilation to the next: the median of three comparisons counts.
    """
    whole, model = read_plain(job.folder / BASELINE), job.network(0)

    def apply(tree: Params, inputs: Any) -> Any:
        return model.apply(tree["params"], tree["stats"], inputs)

    variants = {"whole": (apply, whole.tree), "small": (job.apply, work.tree)}
    inputs = job.sample(max(BATCHES))
    found: list[Timing] = []
    for batch_size in BATCHES:
        tried = [
            jc.compare_latency(variants, inputs, batches=batch_size, rounds=_TIMED).timings[-1]
            for _ in range(_REPEATS)
        ]
        found.append(sorted(tried, key=lambda timing: timing.speedup)[_REPEATS // 2])
    return {
        "speedups": {str(timing.batch_size): timing.speedup for timing in found},
        "milliseconds": {str(timing.batch_size): timing.median for timing in found},
    }


# Options and recipes


def stages(plan: Settings) -> Sequence[Stage]:
    """Return the stages; their number depends on no profile."""
    del plan
    result = [Stage("profiled", profile, write_plain, file_of("profiled"))]
    for number in range(1, ROUNDS + 1):
        name, epochs = f"cut {number}/{ROUNDS}", _epochs(number)
        result += [packed(name, cut(number)), packed(f"{name} + tuned", recover(epochs), epochs)]
    tuned = packed("rounded + tuned", tune_rounded, _rounded_epochs)
    return (*result, packed("rounded", round_weights), tuned)


def _last_cut() -> str:
    return f"cut {ROUNDS}/{ROUNDS} + tuned"


def _size(settings: Settings) -> int | None:
    return check_size("--size", settings.size) if "size" in settings else None


OPTIONS = (
    Option(
        name="size",
        kind="size",
        default=_size,
        metavar="BYTES",
        help="budget: the compressed file has at most so many bytes, 12KB or 12000",
    ),
    Option(
        name="speedup",
        kind="above",
        bounds=(0, None),
        remedy="2 is twice as fast",
        metavar="X",
        help=f"budget: at least so many times faster, at batch sizes {BATCHES[0]} and {BATCHES[1]}",
    ),
    Option(
        name="drop",
        kind="above",
        bounds=(0, None),
        remedy="1 is a point of accuracy",
        metavar="P",
        help="budget: at most so many points of accuracy below the dense network, trained as long",
    ),
)

BUDGETS = tuple(option.name for option in OPTIONS)


def _needs(settings: Settings) -> str:
    if any(name in settings for name in BUDGETS):
        return ""
    return "a budget; pass --size, --speedup or --drop, or several"


RECIPES = {
    "auto": Recipe(
        "plan within a budget, cut and fine-tune in rounds, round and fine-tune",
        (*BUDGETS, *TEACHING),
        (stages,),
        _needs,
        chosen_by=BUDGETS,
        proof=speedups,
        patience=2,
    ),
}
