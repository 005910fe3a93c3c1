"""Networks for measurements: trained and pruned once, and kept in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.nnx import Net, Params
from jaxcompress.scopes import named_leaves
from pipelines.data import load
from pipelines.data.augment import Augment, unchanged
from pipelines.data.dataset import Dataset, Split
from pipelines.models import MODELS, Shape
from pipelines.models.examples import Examples
from pipelines.models.train import (
    FROM_LABELS,
    Lesson,
    TrainState,
    View,
    answered,
    batches_per_epoch,
    copied,
    fit,
    make_logits,
    make_step,
    score,
)
from pipelines.stages.training import WEIGHT_DECAY, schedule

BATCH_SIZE, SEED = 64, 0


class Training(NamedTuple):
    """How long a network is trained, on how many images of Fashion-MNIST.

    Attributes:
        images: the first so many training images.
        epochs: of the dense network.
        finetune: epochs after pruning, for each sparsity.
    """

    images: int
    epochs: int
    finetune: int


TRAININGS = {
    "lenet-300-100": Training(55_000, 10, 5),
    "lenet-5": Training(20_000, 4, 2),
    "cifar": Training(20_000, 3, 1),
    "cifar-wide": Training(15_000, 2, 1),
    "resnet20": Training(12_000, 4, 1),
}


class Network(NamedTuple):
    """A trained network.

    Attributes:
        net: the functions of it.
        view: from images to its input.
        pruned: sparsity -> params.
        stats: sparsity -> running statistics.
    """

    net: Net
    view: View
    pruned: dict[float, Params]
    stats: dict[float, Any]


def of_run(model: str) -> Net:
    """Return a network of `run.py`, for ten classes."""
    return MODELS[model].build(Shape(classes=10, image_size=32))


def images(count: int) -> np.ndarray:
    """Return noise of the shape of images."""
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def networks(name: str, sparsities: list[float], folder: Path, seed: int = SEED) -> Network:
    """Return a network at each sparsity, trained on Fashion-MNIST unless `folder` holds it."""
    model, training = MODELS[name], TRAININGS[name]
    net = of_run(name)
    pruned, stats = {}, {}
    data: Dataset | None = None
    dense: tuple[Params, Any] | None = None
    for sparsity in sparsities:
        path = folder / (f"{name}-{sparsity}" + f"-{seed}" * (seed != SEED) + ".npz")
        if not path.exists():
            data = data or load("fashion_mnist", limit=training.images)
            dense = dense or trained(net, model.view, data.train, training.epochs, seed=seed)
            mask = jc.magnitude_mask(dense[0], sparsity)
            start = (jc.apply_mask(dense[0], mask), dense[1])
            found = trained(
                net, model.view, data.train, training.finetune, start, mask=mask, seed=seed
            )
            folder.mkdir(parents=True, exist_ok=True)
            jc.save(path, {"params": found[0], "stats": found[1]})
        tree = jc.load(path)
        pruned[sparsity], stats[sparsity] = tree["params"], tree["stats"]
    return Network(net, model.view, pruned, stats)


def trained(
    net: Net,
    view: View,
    split: Split,
    epochs: int,
    start: tuple[Params, Any] | None = None,
    *,
    mask: Params | None = None,
    lesson: Lesson = FROM_LABELS,
    augment: Augment = unchanged,
    seed: int = SEED,
) -> tuple[Params, Any]:
    """Return parameters and statistics after training, with a mask held if there is one."""
    data = Examples(inputs=split.images, labels=split.labels)
    steps = epochs * batches_per_epoch(len(data), BATCH_SIZE)
    tx = optax.adamw(schedule(1e-3, steps), weight_decay=WEIGHT_DECAY)
    if mask is not None:
        tx = optax.chain(tx, jc.hold_mask(mask))
    params, stats = net.init(jax.random.key(seed)) if start is None else start
    state = TrainState(*copied((params, stats, tx.init(params))))
    ticks = fit(
        {epochs: make_step(net, view, tx, lesson)},
        state,
        answered(data, lesson, augment),
        batch_size=BATCH_SIZE,
        seed=(seed,),
        augment=augment,
    )
    for tick in ticks:
        state = tick.state
    return state.params, state.stats


def accuracy_of(network: Network, split: Split) -> Callable[[Params, Any], float]:
    """Return `(params, stats) -> accuracy` on a split."""
    logits = make_logits(network.net, network.view)
    return lambda params, stats: score(logits(params, stats, split.images), split.labels).accuracy


def plain_arrays(params: Params) -> dict[str, np.ndarray]:
    """Return the arrays of a tree by path, as other tools want them."""
    named = named_leaves(params)
    return dict(zip(named.paths, map(np.asarray, named.leaves), strict=True))
