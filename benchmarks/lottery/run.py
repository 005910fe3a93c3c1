"""Lottery tickets on subsets of Fashion-MNIST, beside the same masks and weights exchanged.

    apt-get install dataset-fashion-mnist
    taskset -c 0 python -m benchmarks.lottery

Each round chooses a mask by the magnitudes of the last ticket, and trains the ticket and its
controls as `run.py --recipe lottery` does. A row is written after each round. Accuracies are those
of the test images; nothing is chosen by them.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxcompress as jc
from benchmarks.lib.networks import BATCH_SIZE, Network, accuracy_of, of_run
from benchmarks.lib.record import merge
from benchmarks.lottery.table import DENSE, LATER, LOTTERY, NETS
from pipelines.data import load
from pipelines.data.dataset import Dataset, Split
from pipelines.models import MODELS
from pipelines.models.examples import Examples
from pipelines.models.train import TrainState, batches_per_epoch, copied, fit, make_step
from pipelines.stages.stage import Work
from pipelines.stages.tickets import TICKET, WAYS, Origin, held

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)
SEEDS = (0, 1, 2)
COMMAND = "taskset -c 0 python -m benchmarks.lottery"
REWIND, RATE = 1, 1e-3


class Training(NamedTuple):
    """How long a network is trained, on the first so many training images."""

    images: int
    epochs: int


TRAININGS = dict(zip(NETS, (Training(6_000, 8), Training(3_000, 4)), strict=True))
JUDGED = 5_000
"""The first so many test images."""


class Lab:
    """A network and its data; whatever the mask, it is compiled twice only.

    Args:
        name: of the network.
        data: pictures and labels.
        epochs: of the dense network.
    """

    def __init__(self, name: str, data: Dataset, epochs: int) -> None:
        self.net, self.epochs = of_run(name), epochs
        self._examples = Examples(inputs=data.train.images, labels=data.train.labels)
        per_epoch = batches_per_epoch(len(self._examples), BATCH_SIZE)
        view, steps = MODELS[name].view, epochs * per_epoch
        params, _ = self.net.init(jax.random.key(0))
        self.whole = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
        self._tx = {
            whole: partial(held, RATE, steps, behind=0 if whole else REWIND * per_epoch)
            for whole in (True, False)
        }
        # The mask is in the state of the optimizer: one step serves all masks.
        self._steps = {
            whole: make_step(self.net, view, tx(mask=self.whole)) for whole, tx in self._tx.items()
        }
        test = Split(images=data.test.images[:JUDGED], labels=data.test.labels[:JUDGED])
        self._judge = accuracy_of(Network(self.net, view, {}, {}), test)

    def fresh(self, key: jax.Array) -> Work:
        """Return new weights."""
        params, stats = self.net.init(key)
        return Work(params, stats, mask=self.whole)

    def trained(self, work: Work, seed: tuple[int, int], *, whole: bool) -> tuple[Work, Work]:
        """Return a network after training with its mask held, and after the epoch to rewind to.

        Args:
            work: the start.
            seed: of the order of images.
            whole: whether for all epochs, or for those after the epoch to rewind to.
        """
        early, tx = work, self._tx[whole](mask=work.mask)
        count = self.epochs if whole else self.epochs - REWIND
        state = TrainState(*copied((work.params, work.stats, tx.init(work.params))))
        steps = {count: self._steps[whole]}
        for tick in fit(steps, state, self._examples, batch_size=BATCH_SIZE, seed=seed):
            state = tick.state
            if tick.position == (REWIND, 0):
                early = Work(*copied((state.params, state.stats)))
        return work._replace(params=state.params, stats=state.stats), early

    def accuracy(self, work: Work) -> float:
        """Return the fraction of test images that are classified rightly."""
        return self._judge(work.params, work.stats)


def rounds(lab: Lab, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the accuracies of each round.

    Args:
        lab: network and data.
        seed: of initial weights, random masks and the order of images.
    """
    key = jax.random.key(seed)
    last, early = lab.trained(lab.fresh(key), (seed, 0), whole=True)
    later, _ = lab.trained(last, (seed, 1), whole=False)
    dense = {DENSE: lab.accuracy(last), LATER: lab.accuracy(later), "early": lab.accuracy(early)}
    for number, sparsity in enumerate(SPARSITIES, start=1):
        mask, mine = jc.magnitude_mask(last.params, sparsity), jax.random.fold_in(key, number)
        origin = Origin(mask, early=early, trained=last, fresh=lab.fresh(mine), key=mine)
        row: dict[str, Any] = {"sparsity": sparsity} | dense
        for order, (way, how) in enumerate(WAYS.items(), start=1 + number * len(WAYS)):
            work, _ = lab.trained(how.start(origin), (seed, order), whole=how.whole)
            row[way] = lab.accuracy(work)
            if way == TICKET:
                last = work
        yield row


def _key(row: dict[str, Any]) -> tuple[int, int, float]:
    return NETS.index(row["net"]), row["seed"], row["sparsity"]


def main() -> None:
    """Measure each network and seed, and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    for name in arguments.nets:
        training = TRAININGS[name]
        lab = Lab(name, load("fashion_mnist", limit=training.images), training.epochs)
        for seed in arguments.seeds:
            for found in rounds(lab, seed):
                row = {"net": name, "seed": seed, **training._asdict(), "rewind": REWIND} | found
                print(json.dumps(row), flush=True)
                merge(LOTTERY, row, key=_key, command=lambda _: COMMAND)
