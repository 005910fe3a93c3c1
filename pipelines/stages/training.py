"""Stages of every recipe: the first training, fine-tuning, the dense control, and reloading."""

from collections.abc import Callable

import optax

import jaxcompress as jc
from pipelines.options.settings import Settings
from pipelines.stages.files import (
    BASELINE,
    COMPRESSED,
    read_plain,
    size_of,
    write_compressed,
    write_plain,
)
from pipelines.stages.stage import Facts, Run, Stage, Trainer, Work
from pipelines.stages.start import read_start

WEIGHT_DECAY = 1e-4


def schedule(peak: float, steps: int) -> optax.Schedule:
    """Warm up over a twentieth of the steps, then a cosine down to zero."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, steps // 20, steps)


def adamw(job: Trainer, epochs: int, fraction: float = 1.0) -> optax.GradientTransformation:
    """Return the optimizer of all unshared numbers, at a fraction of the peak rate.

    It is the same for all stages except the last of distillation. On Fashion-MNIST's validation
    images (one seed) half of the rate for the pruned net, and a tenth or a third of it for the
    shared net, were no better.
    """
    rate = schedule(fraction * job.plan.lr, job.steps(epochs))
    return optax.adamw(rate, weight_decay=WEIGHT_DECAY)


def pruned_epochs(plan: Settings) -> int:
    """Return the epochs of fine-tuning of a pruned network."""
    return plan.finetune_epochs


def train(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the dense network from scratch, or take a trained one."""
    del work
    if "start" in job.plan:
        return read_start(job.plan.start, job.classifier), {}
    epochs = job.plan.epochs
    return job.fit(job.fresh(), adamw(job, epochs), epochs=epochs), {}


def tune(epochs: Callable[[Settings], int], fraction: float = 1.0) -> Run:
    """Return a stage that trains the remaining network on labels, at a fraction of the rate."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        count = epochs(job.plan)
        return job.fit(work, adamw(job, count, fraction), epochs=count), {}

    return run


def train_on(extra_epochs: Callable[[Settings], int]) -> Run:
    """Return the control: the dense network, trained on for `extra_epochs(plan)`."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        epochs = extra_epochs(job.plan)
        work = read_plain(job.folder / BASELINE)
        return job.fit(work, adamw(job, epochs), epochs=epochs), {}

    return run


def reload(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Write the compressed file, run the network on it and compare the logits."""
    before = job.logits(work)
    write_compressed(job, job.folder / COMPRESSED, work)
    tree = jc.load(job.folder / COMPRESSED)
    params, stats = tree["params"], tree.get("stats", {})
    job.classifier.check(params, stats)
    loaded = work._replace(params=params, stats=stats)
    exact = job.logits(loaded).tobytes() == before.tobytes()
    return loaded, {"exact": exact}


def proved(run: Run, proof: Callable[[Trainer, Work], Facts]) -> Run:
    """Return a stage with further facts of its network."""

    def both(job: Trainer, work: Work) -> tuple[Work, Facts]:
        work, facts = run(job, work)
        return work, facts | proof(job, work)

    return both


TRAIN = Stage("baseline", train, write_plain, BASELINE)
RELOAD = Stage("reloaded", reload, size_of, COMPRESSED)
