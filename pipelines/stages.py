"""The stages of a recipe: functions from what a run has in hand to what it has next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.checks import check_fits
from jaxcompress.trees import named_leaves
from nets.functional import Params, Stats
from pipelines.settings import Settings


class Work(NamedTuple):
    """What a run has in hand.

    Attributes:
        params: dense parameters, with the mask and the sharing already in them.
        stats: running statistics.
        mask: which weights stay; None before pruning.
        shared: params with `Clustered` leaves; None before sharing.
    """

    params: Params
    stats: Stats
    mask: Params | None = None
    shared: Params | None = None


Facts = dict[str, Any]
"""What a stage found out, for its row in the results."""


class Job(Protocol):
    """What a stage may ask of the run it is part of."""

    settings: Settings
    folder: Path

    def fresh(self) -> Work:
        """Return newly initialised parameters, the same at every call."""
        ...

    def fit(self, work: Work, tx: optax.GradientTransformation, *, epochs: int) -> tuple[Work, Any]:
        """Train `work` and return it with the optimizer's state."""
        ...

    def steps(self, epochs: int) -> int:
        """Return how many optimizer steps that many epochs take."""
        ...

    def logits(self, work: Work) -> np.ndarray:
        """Return the logits on the test images."""
        ...


Run = Callable[[Job, Work], tuple[Work, Facts]]


class Stage(NamedTuple):
    """A stage of a recipe.

    Attributes:
        name: of its row in the table.
        run: `run(job, work) -> (work, facts)`.
        write: `write(path, work) -> size in bytes`.
        file: where to write, in the run's folder.
    """

    name: str
    run: Run
    write: Callable[[Path, Work], int]
    file: str


# Fractions of the first learning rate, chosen on Fashion-MNIST's validation images (one seed):
# 0.5 and 1 for the pruned net, 0.1, 0.3 and 1 for the shared one came within 0.2 points.
PRUNED_LR, SHARED_LR = 1.0, 0.3
WEIGHT_DECAY = 1e-4


def schedule(peak: float, steps: int) -> optax.Schedule:
    """Warm up over a twentieth of the steps, then a cosine down to zero."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, max(steps // 20, 1), max(steps, 2))


def train(job: Job, work: Work) -> tuple[Work, Facts]:
    """Train the dense network from scratch."""
    del work
    epochs = job.settings.epochs or 0
    tx = optax.adamw(schedule(job.settings.lr, job.steps(epochs)), weight_decay=WEIGHT_DECAY)
    return job.fit(job.fresh(), tx, epochs=epochs)[0], {}


def prune(job: Job, work: Work) -> tuple[Work, Facts]:
    """Remove the smallest weights of all layers together."""
    return _masked(work, jc.magnitude_mask(work.params, job.settings.sparsity)), {}


def prune_randomly(job: Job, work: Work) -> tuple[Work, Facts]:
    """Remove weights at random: the control of pruning."""
    key = jax.random.key(job.settings.seed)
    return _masked(work, jc.random_mask(work.params, job.settings.sparsity, key=key)), {}


def prune_gradually(job: Job, work: Work) -> tuple[Work, Facts]:
    """Remove the smallest weights little by little while training."""
    epochs = job.settings.finetune_epochs or 0
    steps = job.steps(epochs)
    tx = optax.chain(
        optax.adamw(schedule(job.settings.lr * PRUNED_LR, steps), weight_decay=WEIGHT_DECAY),
        jc.gradual_pruning(
            job.settings.sparsity, begin=0, end=max(steps * 2 // 3, 1), every=max(steps // 30, 1)
        ),
    )
    work, opt_state = job.fit(work, tx, epochs=epochs)
    return work._replace(mask=jc.current_mask(opt_state)), {}


def share(job: Job, work: Work) -> tuple[Work, Facts]:
    """Let the weights of each layer share a few values."""
    shared = jc.kmeans(work.params, job.settings.clusters, mask=work.mask)
    return work._replace(params=jc.dense(shared), shared=shared), {}


def tune(job: Job, work: Work) -> tuple[Work, Facts]:
    """Train on, with whatever was pruned and shared held as it is."""
    epochs = job.settings.finetune_epochs or 0
    steps = job.steps(epochs)
    if work.shared is not None:
        rate = schedule(job.settings.lr * SHARED_LR, steps)
        work, _ = job.fit(work, jc.share_centroids(optax.adam(rate), work.shared), epochs=epochs)
        return work._replace(shared=jc.update_codebooks(work.shared, work.params)), {}
    tx = optax.adamw(schedule(job.settings.lr * PRUNED_LR, steps), weight_decay=WEIGHT_DECAY)
    if work.mask is not None:
        tx = optax.chain(tx, jc.hold_mask(work.mask))
    return job.fit(work, tx, epochs=epochs)[0], {}


def train_on(times: int) -> Run:
    """Return the control: the dense network, trained on for `times` fine-tunings."""

    def run(job: Job, work: Work) -> tuple[Work, Facts]:
        del work
        epochs = times * (job.settings.finetune_epochs or 0)
        rate = schedule(job.settings.lr * PRUNED_LR, job.steps(epochs))
        tx = optax.adamw(rate, weight_decay=WEIGHT_DECAY)
        return job.fit(read_plain(job.folder / BASELINE), tx, epochs=epochs)[0], {}

    return run


def reload(job: Job, work: Work) -> tuple[Work, Facts]:
    """Write the compressed file, load it into a blank network and compare the logits."""
    before = job.logits(work)
    write_compressed(job.folder / COMPRESSED, work)
    tree = jc.load(job.folder / COMPRESSED)
    blank = job.fresh()
    loaded = Work(into(blank.params, tree["params"]), into(blank.stats, tree["stats"]))
    exact = job.logits(loaded).tobytes() == before.tobytes()
    return loaded._replace(mask=work.mask, shared=work.shared), {"exact": exact}


def into(blank: Params, loaded: Params) -> Params:
    """Return `loaded` in the place of `blank`.

    Raises:
        ValueError: it does not fit, naming the leaf.
    """
    check_fits("file", loaded, "the network", blank)
    return jax.tree.map(lambda old, new: new.astype(old.dtype), blank, loaded)


def _masked(work: Work, mask: Params) -> Work:
    return work._replace(params=jc.apply_mask(work.params, mask), mask=mask)


# Files.

BASELINE, COMPRESSED = "baseline.npz", "compressed.npz"


def write_plain(path: Path, work: Work) -> int:
    """Write every array as it is, uncompressed, under its path; returns the size in bytes."""
    named = named_leaves({"params": work.params, "stats": work.stats})
    with path.open("wb") as file:
        arrays = dict(zip(named.paths, map(np.asarray, named.leaves), strict=True))
        np.savez(file, allow_pickle=False, **arrays)
    return path.stat().st_size


def read_plain(path: Path) -> Work:
    """Read what `write_plain` wrote."""
    tree: dict[str, Any] = {"params": {}, "stats": {}}
    with np.load(path) as archive:
        for name in archive.files:
            *folders, last = name.split("/")
            node = tree
            for folder in folders:
                node = node.setdefault(folder, {})
            node[last] = jax.numpy.asarray(archive[name])
    return Work(tree["params"], tree["stats"])


def size_of(path: Path, work: Work) -> int:
    """Return the size in bytes of a file that the stage itself wrote."""
    del work
    return path.stat().st_size


def write_compressed(path: Path, work: Work) -> int:
    """Write shared leaves as codes, pruned ones as sparse values; returns the size in bytes."""
    params = work.params
    if work.shared is not None:
        params = work.shared
    elif work.mask is not None:
        params = jc.sparse(work.params)
    return jc.save(path, {"params": params, "stats": work.stats})
