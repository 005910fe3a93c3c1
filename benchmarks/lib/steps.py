"""Training steps that hold masks and shared weights, beside the plain one."""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxcompress as jc
from benchmarks.lib.networks import of_run
from benchmarks.lib.timing import Call
from jaxcompress.nnx import Params
from pipelines.models import MODELS
from pipelines.models.train import TrainState, copied, make_step

BATCH = 64


class Steps(NamedTuple):
    """Steps on one batch of noise, by name: plain, hold_mask and share_centroids.

    Attributes:
        calls: each takes one step.
        states: as the last step left them.
        mask: of nine tenths of the weights.
        shared: the weights that are left, 16 values a layer.
    """

    calls: dict[str, Call]
    states: dict[str, TrainState]
    mask: Params
    shared: Params


def training_steps(name: str, *, seed: int) -> Steps:
    """Return the steps of a network of `run.py`, for ten classes.

    Args:
        name: of the network.
        seed: of the batch.
    """
    rng, net = np.random.default_rng(seed), of_run(name)
    images = rng.integers(0, 256, (BATCH, 32, 32, 3)).astype(np.uint8)
    labels = rng.integers(0, 10, BATCH).astype(np.int32)
    params, stats = net.init(jax.random.key(0))
    mask = jc.magnitude_mask(params, 0.9)
    params = jc.apply_mask(params, mask)
    shared = jc.kmeans(params, 16, mask=mask)
    cases = {
        "plain": (params, optax.adam(1e-4)),
        "hold_mask": (params, optax.chain(optax.adam(1e-4), jc.hold_mask(mask))),
        "share_centroids": (jc.dense(shared), jc.share_centroids(optax.adam(1e-4), shared)),
    }
    found = Steps({}, {}, mask, shared)
    for case, (start, tx) in cases.items():
        step = make_step(net, MODELS[name].view, tx)
        found.states[case] = TrainState(*copied((start, stats, tx.init(start))))

        def call(case: str = case, step: Any = step) -> None:
            found.states[case], loss, _ = step(found.states[case], images, labels)
            jax.block_until_ready(loss)

        found.calls[case] = call
    return found
