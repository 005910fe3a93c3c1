"""One process of a training that several share: how long its steps take.

python -m benchmarks.scaling.worker MODEL IMAGES STEPS [COORDINATOR PROCESS PROCESSES]

Prints the median seconds of a step, after three that compile and warm up.
"""

import statistics
import sys
import time

import jax
import numpy as np
import optax

from benchmarks.lib import networks
from pipelines.models import MODELS
from pipelines.models.devices import divided
from pipelines.models.train import TrainState, copied, make_step

_WARM = 3


def main(model: str, images: str, steps: str, *together: str) -> None:
    """Train on noise, and print the median."""
    if together:
        coordinator, number, count = together[0], *map(int, together[1:])
        jax.distributed.initialize(coordinator, count, number)
    batch = networks.images(int(images)), np.arange(int(images), dtype=np.int32) % 10
    devices, _ = divided(jax.devices(), int(images))
    net, tx = networks.of_run(model), optax.adamw(1e-3)
    params, stats = net.init(jax.random.key(0))
    step = make_step(net, MODELS[model].view, tx, devices=devices)
    state = devices.whole(TrainState(*copied((params, stats, tx.init(params)))))
    seconds = []
    for _ in range(_WARM + int(steps)):
        started = time.perf_counter()
        state, loss, _ = step(state, *devices.rows(batch))
        jax.block_until_ready(loss)
        seconds.append(time.perf_counter() - started)
    print(statistics.median(seconds[_WARM:]))


if __name__ == "__main__":
    main(*sys.argv[1:])
