"""Pruning and sharing: weights are removed by magnitude, the others share a few values."""

import jax
import optax

import jaxcompress as jc
from jaxcompress.nnx import Params
from jaxcompress.oneshot import SHARING as QUANTIZERS
from jaxcompress.oneshot import weights_of
from pipelines.options.option import Option, User
from pipelines.options.settings import Settings
from pipelines.stages.files import packed
from pipelines.stages.stage import Facts, Recipe, Trainer, Work
from pipelines.stages.training import adamw, pruned_epochs, schedule


def prune(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Remove the smallest weights of all layers together."""
    return masked(work, jc.magnitude_mask(work.params, job.plan.sparsity)), {}


def prune_randomly(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Remove weights at random: the control of pruning."""
    key = jax.random.key(job.plan.seed)
    return masked(work, jc.prune.random_mask(work.params, job.plan.sparsity, key=key)), {}


def prune_gradually(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Remove the smallest weights little by little while training."""
    epochs = pruned_epochs(job.plan)
    steps = job.steps(epochs)
    tx = optax.chain(
        adamw(job, epochs),
        jc.gradual_pruning(
            job.plan.sparsity,
            begin=0,
            end=max(steps * 2 // 3, 1),
            every=max(steps // 30, 1),
        ),
    )
    work = job.fit(work, tx, epochs=epochs)
    # The smallest weights are zeros by now, unless there were too few steps.
    return prune(job, work)


def share(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Let the weights of each layer share a few values."""
    quantizer = QUANTIZERS[job.plan.quantizer]
    fineness = job.plan[quantizer.parameter]
    share_values = quantizer.technique(fineness, weights_of(work.params))
    shared = share_values(work.params, mask=work.mask)
    return work._replace(params=jc.dense(shared), shared=shared), {}


def tune_pruned(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train on with the mask held."""
    epochs = pruned_epochs(job.plan)
    tx = optax.chain(adamw(job, epochs), jc.hold_mask(work.mask))
    return job.fit(work, tx, epochs=epochs), {}


def tune_shared(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train on with the sharing held: only centroids and biases change."""
    epochs = shared_epochs(job.plan)
    rate = schedule(job.plan.lr, job.steps(epochs))
    work = job.fit(work, jc.share_centroids(optax.adam(rate), work.shared), epochs=epochs)
    return work._replace(shared=jc.leaves.update_codebooks(work.shared, work.params)), {}


def shared_epochs(plan: Settings) -> int:
    """Return the epochs of fine-tuning of a shared network: a third, for few trained numbers."""
    return max(plan.finetune_epochs // 3, 1)


def masked(work: Work, mask: Params) -> Work:
    """Return `work` with some weights removed, and the mask."""
    return work._replace(params=jc.apply_mask(work.params, mask), mask=mask)


PRUNED = (packed("pruned", prune), packed("pruned + tuned", tune_pruned, pruned_epochs))
SHARED = (packed("shared", share), packed("shared + tuned", tune_shared, shared_epochs))
_RANDOMLY = packed("pruned at random", prune_randomly)._replace(file=PRUNED[0].file)
_GRADUALLY = packed("pruned gradually", prune_gradually, pruned_epochs)._replace(
    file=PRUNED[0].file
)


# Options and recipes


def _quantizer(settings: Settings) -> str:
    """Return the chosen quantizer: a number of clusters alone chooses K-Means."""
    by_clusters = "clusters" in settings and "step_size" not in settings
    return settings.get("quantizer") or ("kmeans" if by_clusters else "entropy")


_OF_QUANTIZER = User(
    lambda settings: f"quantizer {_quantizer(settings)}",
    lambda name, settings: QUANTIZERS[_quantizer(settings)].parameter == name,
)

# The defaults are as accurate as 16 clusters on validation images, in three quarters of the bytes.
# On Fashion-MNIST's validation images at sparsities of 50 and 90 %, fine-tuned (one seed, 20 000
# training images), entropy was within 0.2 points of 16 clusters up to a step size of 0.7, uniform
# within 0.35.
OPTIONS = (
    Option(
        name="sparsity",
        kind="removed weights",
        default=0.9,
        metavar="S",
        help="fraction of the kernels' weights to remove, in [0, 1)",
        recorded="sparsity",
        unused=0.0,
    ),
    Option(
        name="quantizer",
        kind="choice",
        default=_quantizer,
        shown="entropy; kmeans where --clusters says how many",
        bounds=tuple(QUANTIZERS),
        help="how shared values are chosen",
        recorded="quantizer",
    ),
    Option(
        name="clusters",
        kind="clusters",
        default=16,
        used_by=_OF_QUANTIZER,
        metavar="K",
        help="values a layer may use beside zero",
        recorded="clusters",
        unused=0,
    ),
    Option(
        name="step_size",
        kind="number",
        default=0.6,
        bounds=(0.01, 4.0),
        used_by=_OF_QUANTIZER,
        remedy="0.6 is usual",
        metavar="D",
        help="distance of shared values in the largest layer, in root mean squares of all "
        "non-zero weights",
        recorded="step",
        unused=0.0,
    ),
)

PRUNING = ("sparsity",)
SHARING = ("quantizer", "clusters", "step_size")

RECIPES = {
    "prune+share": Recipe(
        "prune by magnitude, fine-tune, share weights, fine-tune",
        PRUNING + SHARING,
        (*PRUNED, *SHARED),
    ),
    "gradual+share": Recipe(
        "prune gradually while training, share weights, fine-tune",
        PRUNING + SHARING,
        (_GRADUALLY, *SHARED),
    ),
    "random+share": Recipe(
        "prune+share with a random mask: the control of pruning",
        PRUNING + SHARING,
        (_RANDOMLY, PRUNED[1], *SHARED),
    ),
    "prune": Recipe(
        "prune by magnitude, fine-tune; the weights keep float values", PRUNING, PRUNED
    ),
    "share": Recipe("share weights, fine-tune; no weight is removed", SHARING, SHARED),
}
