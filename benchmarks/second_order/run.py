"""Pruning without fine-tuning: by magnitude, by second order, and at random.

    taskset -c 0 python -m benchmarks.second_order

A small convolutional network on scikit-learn's digits (1437 training and 360 test images). All
ways remove the same number of weights from each layer; moments are those of all training images.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jaxcompress as jc
from benchmarks.lib.record import write
from benchmarks.second_order.table import SECOND_ORDER

SEEDS, EPOCHS, BATCH, TRAINING = (0, 1, 2), 30, 64, 1437
SETTINGS: dict[str, float | tuple[int, int]] = {
    "50 %": 0.5,
    "80 %": 0.8,
    "90 %": 0.9,
    "2:4": (2, 4),
}


def apply(params: Any, images: jax.Array) -> jax.Array:
    """Return logits: two convolutions, two dense layers."""
    x = images
    for name in ("conv1", "conv2"):
        numbers = ("NHWC", "HWIO", "NHWC")
        kernel = params[name]["kernel"]
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
        x = jax.nn.relu(x + params[name]["bias"])
    pooled = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = pooled.reshape(len(pooled), -1)
    x = jax.nn.relu(x @ params["dense1"]["kernel"] + params["dense1"]["bias"])
    return x @ params["dense2"]["kernel"] + params["dense2"]["bias"]


def start(seed: int) -> Any:
    """Return parameters to begin with."""
    shapes = {"conv1": (3, 3, 1, 16), "conv2": (3, 3, 16, 32), "dense1": (512, 64)}
    shapes |= {"dense2": (64, 10)}
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    he = jax.nn.initializers.he_normal()
    return {
        name: {"kernel": he(key, shape, jnp.float32), "bias": jnp.zeros(shape[-1])}
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def trained(seed: int, images: np.ndarray, labels: np.ndarray) -> Any:
    """Return a network after training."""
    params, tx = start(seed), optax.adam(1e-3)
    state = tx.init(params)

    @jax.jit
    def step(params: Any, state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any]:
        def loss(params: Any) -> jax.Array:
            return optax.softmax_cross_entropy_with_integer_labels(apply(params, x), y).mean()

        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for k in range(0, len(images) - BATCH + 1, BATCH):
            rows = order[k : k + BATCH]
            params, state = step(params, state, images[rows], labels[rows])
    return params


def weights(path: str, leaf: Any) -> bool:
    """Scope: all kernels but the first, whose one input channel has no neighbours."""
    return jc.scopes.kernels(path, leaf) and not path.startswith("conv1")


def pruned(way: str, params: Any, moments: Any, setting: Any, seed: int) -> Any:
    """Return a network without some of its weights."""
    pattern, sparsity = (setting, None) if isinstance(setting, tuple) else (None, setting)
    if way == "second order":
        return jc.prune.fit_mask(
            params, moments, sparsity=sparsity, pattern=pattern, scope=weights
        )[0]

    def noise(tree: Any) -> Any:
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda leaf: rng.random(leaf.shape), tree)

    score = noise if way == "random" else jc.prune.magnitude
    if sparsity is None:
        mask = jc.prune.nm_mask(params, *setting, scope=weights, score=score)
    else:
        mask = jc.layerwise_mask(params, sparsity, scope=weights, score=score)
    return jc.apply_mask(params, mask)


def main() -> None:
    """Measure all seeds and write them down."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images = (images[order].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    labels = labels[order]
    compiled = jax.jit(apply)

    def accuracy(params: Any) -> float:
        answers = np.argmax(compiled(params, images[TRAINING:]), axis=1)
        return float(np.mean(answers == labels[TRAINING:]))

    figures = []
    for seed in SEEDS:
        params = trained(seed, images[:TRAINING], labels[:TRAINING])
        batches = np.split(images[:TRAINING], range(BATCH, TRAINING, BATCH))
        moments = jc.quantization.input_moments(apply, params, batches)
        for name, setting in SETTINGS.items():
            row: dict[str, Any] = {"seed": seed, "removed": name, "dense": accuracy(params)}
            for way in ("magnitude", "second order", "random"):
                row[way] = accuracy(pruned(way, params, moments, setting, seed))
            figures.append(row)
    write(SECOND_ORDER, seeds=list(SEEDS), figures=figures)
