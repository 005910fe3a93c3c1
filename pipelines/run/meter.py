"""Measurements of a network: its accuracy, and the cost of one picture."""

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

import jaxcompress as jc
from pipelines.models.train import score
from pipelines.run.asked import Asked
from pipelines.stages.stage import Execution, Stage, Work


class Meter:
    """Measures the networks of a run.

    Attributes:
        answers: of the last network that was measured, a class for each test picture.
    """

    def __init__(self) -> None:
        self.answers = np.zeros(0, np.int64)
        self._known: dict[tuple[tuple[int, ...], ...], dict[str, Any]] = {}

    def measure(self, asked: Asked, stage: Stage, work: Work) -> dict[str, Any]:
        """Return the measured fields of a row."""
        how = Execution("float", partial(asked.outputs, work))
        if stage.execute is not None:
            how = stage.execute(asked, work)
        data = asked.prepared()
        logits = how.logits(data.test.inputs)
        found, self.answers = score(logits, data.test.labels), logits.argmax(axis=1)
        validation = score(how.logits(data.validation.inputs), data.validation.labels)
        costs = self._costs(asked, work)
        if how.times_ms is not None:
            first, median, third = statistics.quantiles(how.times_ms(asked.sample(1)), n=4)
            costs = costs | _latency(median, (first, third)) | {"peak_bytes": None}
        return {
            "arithmetic": how.arithmetic,
            "accuracy": found.accuracy,
            "loss": found.loss,
            "validation_accuracy": validation.accuracy,
            "sparsity": jc.measure_sparsity(work.params),
            "distinct_weights": jc.metrics.count_distinct(work.params),
        } | costs

    def _costs(self, asked: Asked, work: Work) -> dict[str, Any]:
        """Return the cost of one picture for a dense network, measured once for an architecture."""
        tree = work.tree
        sizes = tuple(leaf.shape for leaf in jax.tree.leaves(tree))
        if sizes not in self._known:
            apply, picture = asked.apply, asked.sample(1)  # one function, compiled once
            measured = jc.latency_ms(apply, tree, picture)
            self._known[sizes] = {
                "flops": jc.flops(apply, tree, picture).total,
                **_latency(measured.median, measured.quartiles),
                "peak_bytes": jc.costs.peak_bytes(apply, tree, picture),
            }
        return self._known[sizes]


def _latency(median: float, quartiles: Sequence[float]) -> dict[str, Any]:
    return {"latency_ms": median, "latency_quartiles_ms": [*quartiles]}
