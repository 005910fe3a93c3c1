"""Layer dropping: blocks are removed, and the rest learns from the whole network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

import jaxcompress as jc
from jaxcompress import jit_for_inference
from jaxcompress.prune import BlockRule
from pipelines.models import MODELS
from pipelines.models.train import cross_entropy
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.stages.distilling import TEACHING, lesson_of
from pipelines.stages.files import BASELINE, packed, read_plain
from pipelines.stages.stage import Facts, Recipe, Run, Trainer, Work
from pipelines.stages.training import adamw, pruned_epochs, tune

MEASURED = 1024  # training images on which the importance of blocks is measured

ChooseRule = Callable[[Trainer, Work], BlockRule]
"""From the run and its network to the rule that chooses the blocks to keep."""


def spread_out(job: Trainer, work: Work) -> BlockRule:
    """Keep blocks at even distances, the first and the last among them."""
    del job, work
    return jc.prune.spread_out


def at_random(job: Trainer, work: Work) -> BlockRule:
    """Keep any blocks: the control of every choice."""
    del work
    return jc.prune.random_blocks(jax.random.key(job.plan.seed))


def by_importance(job: Trainer, work: Work) -> BlockRule:
    """Keep the blocks without which the loss on training images grows most."""
    inputs, labels = job.sample(MEASURED), jnp.asarray(job.labels(MEASURED))
    loss = jit_for_inference(lambda tree, x: cross_entropy(job.apply(tree, x), labels))
    at = job.classifier.blocks
    return jc.prune.important_blocks(
        jc.prune.block_importance(lambda tree: loss(tree, inputs), work.tree, at)
    )


def drop(choose: ChooseRule) -> Run:
    """Return the stage that drops blocks until `plan.keep_blocks` are left."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        at = job.classifier.blocks
        depth = jc.prune.count_blocks(work.params, at)
        drops = job.plan.keep_blocks < depth  # else nothing need be measured
        rule = choose(job, work) if drops else jc.prune.first_blocks
        keep = jc.choose_blocks(work.params, at, keep=job.plan.keep_blocks, rule=rule)
        small = jc.drop_blocks(work.tree, at, keep=keep)
        result = work._replace(params=small["params"], stats=small["stats"])
        return job.recalibrated(result), {"blocks": keep, "of": depth}

    return run


def recover(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the rest on labels and on the logits of the whole network for the same images."""
    epochs = pruned_epochs(job.plan)
    lesson = lesson_of(job, 0, read_plain(job.folder / BASELINE))
    return job.fit(work, adamw(job, epochs), epochs=epochs, lesson=lesson), {}


def from_scratch(epochs: Callable[[Settings], int]) -> Run:
    """Return the control of all dropping: a network with as many blocks, trained from scratch."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        del work
        small, _ = drop(spread_out)(job, job.fresh())
        return tune(epochs)(job, small)

    return run


# Options and recipes


def _depth(settings: Settings) -> int:
    return MODELS[settings.model].depth


def _fits(keep: int, settings: Settings) -> str:
    depth, model = _depth(settings), settings.model
    fits = 1 <= keep <= depth
    return "" if fits else f"must be 1 to {depth}, the blocks of {model}, got {keep}"


OPTIONS = (
    Option(
        name="keep_blocks",
        kind="whole",
        default=lambda settings: settings.get("keep_blocks") or max(_depth(settings) // 2, 1),
        shown="half of them",
        fits=_fits,
        remedy="pass how many to keep",
        metavar="N",
        help="blocks of a transformer to keep; the others are dropped",
        recorded="blocks",
        unused=0,
    ),
)


def _needs(settings: Settings) -> str:
    if _depth(settings):
        return ""
    return f"a model with blocks to drop, got {settings.model}; pass --model vit"


def _recipe(summary: str, choose: ChooseRule) -> Recipe:
    recovered = packed("dropped + tuned", recover, pruned_epochs)
    parts = (packed("dropped", drop(choose)), recovered)
    return Recipe(summary, ("keep_blocks", *TEACHING), parts, _needs, from_scratch)


RECIPES = {
    "drop": _recipe(
        "drop blocks at even distances, fine-tune with the whole network as teacher", spread_out
    ),
    "drop-measured": _recipe("drop the blocks without which the loss grows least", by_importance),
    "drop-random": _recipe("drop blocks chosen at random: the control of the choice", at_random),
}
