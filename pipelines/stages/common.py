"""The stages of a recipe: functions from the state of the network to its next state."""

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.artifact import open_regular, write_atomically
from jaxcompress.nnx import Params
from jaxcompress.oneshot import SHARING, weights_of
from jaxcompress.scopes import named_leaves, nested
from pipelines.options.defaults import DEFAULT_QUANTIZER
from pipelines.options.plan import Plan
from pipelines.run.folder import FolderError
from pipelines.stages.stage import Facts, Run, Stage, Trainer, Work, no_epochs
from pipelines.stages.start import read_start

WEIGHT_DECAY = 1e-4


def schedule(peak: float, steps: int) -> optax.Schedule:
    """Warm up over a twentieth of the steps, then a cosine down to zero."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, steps // 20, steps)


def train(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the dense network from scratch, or take a trained one."""
    del work
    if job.plan.start is not None:
        return read_start(Path(job.plan.start), job.classifier), {}
    epochs = job.plan.epochs
    return job.fit(job.fresh(), adamw(job, epochs), epochs=epochs), {}


def prune(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Remove the smallest weights of all layers together."""
    return _masked(work, jc.magnitude_mask(work.params, job.plan.sparsity)), {}


def prune_randomly(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Remove weights at random: the control of pruning."""
    key = jax.random.key(job.plan.seed)
    return _masked(work, jc.random_mask(work.params, job.plan.sparsity, key=key)), {}


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
    quantizer = SHARING[job.plan.quantizer or DEFAULT_QUANTIZER]
    fineness = getattr(job.plan, quantizer.parameter)
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


def train_on(extra_epochs: Callable[[Plan], int]) -> Run:
    """Return the control: the dense network, trained on for `extra_epochs(plan)`."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        epochs = extra_epochs(job.plan)
        work = read_plain(job.folder / BASELINE)
        return job.fit(work, adamw(job, epochs), epochs=epochs), {}

    return run


def tune(epochs: Callable[[Plan], int], fraction: float = 1.0) -> Run:
    """Return a stage that trains the remaining network on labels, at a fraction of the rate."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        count = epochs(job.plan)
        return job.fit(work, adamw(job, count, fraction), epochs=count), {}

    return run


def pruned_epochs(plan: Plan) -> int:
    """Return the epochs of fine-tuning of a pruned network."""
    return plan.finetune_epochs


def shared_epochs(plan: Plan) -> int:
    """Return the epochs of fine-tuning of a shared network: a third, for few trained numbers."""
    return max(plan.finetune_epochs // 3, 1)


def adamw(job: Trainer, epochs: int, fraction: float = 1.0) -> optax.GradientTransformation:
    """Return the optimizer of all unshared numbers, at a fraction of the peak rate.

    It is the same for all stages except the last of distillation. On Fashion-MNIST's validation
    images (one seed) half of the rate for the pruned net, and a tenth or a third of it for the
    shared net, were no better.
    """
    rate = schedule(fraction * job.plan.lr, job.steps(epochs))
    return optax.adamw(rate, weight_decay=WEIGHT_DECAY)


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


def _masked(work: Work, mask: Params) -> Work:
    return work._replace(params=jc.apply_mask(work.params, mask), mask=mask)


# Files.


BASELINE, COMPRESSED = "baseline.npz", "compressed.npz"


def write_plain(job: Trainer, path: Path, work: Work) -> int:
    """Write every array unchanged, uncompressed, under its path; return the size in bytes."""
    del job
    named = named_leaves(work.tree)
    arrays = dict(zip(named.paths, map(np.asarray, named.leaves), strict=True))
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())
    return path.stat().st_size


def read_plain(path: Path) -> Work:
    """Read a file of `write_plain`.

    Raises:
        FolderError: the file is missing or damaged.
    """
    if not path.exists():
        raise FolderError(f"{path}: is missing; pass --resume to write it again.")
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            tree = nested((name, jnp.asarray(archive[name])) for name in archive.files)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise FolderError(
            f"{path}: is damaged ({error}); pass --resume to write it again."
        ) from None
    return Work(tree.get("params", {}), tree.get("stats", {}))


def size_of(job: Trainer, path: Path, work: Work) -> int:
    """Return the size in bytes of a file that the stage has written."""
    del job, work
    return path.stat().st_size


def write_compressed(job: Trainer, path: Path, work: Work) -> int:
    """Write shared leaves as codes, rounded ones as integers, pruned ones as sparse values.

    The classifier is in the metadata: the file alone is enough to classify pictures.
    Returns the size in bytes.
    """
    params = work.params
    if work.shared is not None:
        params = work.shared
    elif work.quantized is not None:
        params = work.quantized
    elif work.mask is not None:
        params = jc.leaves.sparse(work.params)
    stats = {"stats": work.stats} if work.stats else {}
    metadata = job.classifier.as_metadata()
    return jc.save(path, {"params": params} | stats, layout=job.plan.layout, metadata=metadata)


def packed(
    name: str,
    run: Run,
    extra_epochs: Callable[[Plan], int] = no_epochs,
    *,
    student: int | None = None,
) -> Stage:
    """Return a stage that writes a compressed file of the name of the stage."""
    return Stage(name, run, write_compressed, file_of(name), extra_epochs, student=student)


def file_of(name: str) -> str:
    """Return the file of a stage by its name, in the run's folder."""
    return f"stages/{name.replace(' + ', '_').replace(' ', '_').replace('/', '_of_')}.npz"
