"""Measurements of a network: its accuracy, and the cost of one picture."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

import jaxcompress as jc
from jaxcompress.nnx import Params, Stats
from pipelines.models import Inputs
from pipelines.models.examples import Prepared
from pipelines.models.train import score
from pipelines.stages.stage import Execution, Stage, Trainer, Work


class Meter:
    """Measures the networks of a run.

    Args:
        job: the run.
        logits: from parameters, statistics and inputs to logits.
    """

    def __init__(self, job: Trainer, logits: Callable[[Params, Stats, Inputs], np.ndarray]) -> None:
        self._job, self._logits = job, logits
        self._known: dict[tuple[tuple[int, ...], ...], dict[str, Any]] = {}

    def measure(self, stage: Stage, work: Work, data: Prepared) -> dict[str, Any]:
        """Return the measured fields of a row."""
        how = self._execution(stage, work)
        found = score(how.logits(data.test.inputs), data.test.labels)
        validation = score(how.logits(data.validation.inputs), data.validation.labels)
        costs = self._costs(work)
        if how.latency_ms is not None:
            latency_ms = how.latency_ms(self._job.sample(1))
            costs = costs | {"latency_ms": latency_ms, "peak_bytes": None}
        return {
            "arithmetic": how.arithmetic,
            "accuracy": found.accuracy,
            "loss": found.loss,
            "validation_accuracy": validation.accuracy,
            "sparsity": jc.measure_sparsity(work.params),
            "distinct_weights": jc.metrics.count_distinct(work.params),
        } | costs

    def _execution(self, stage: Stage, work: Work) -> Execution:
        if stage.execute is not None:
            return stage.execute(self._job, work)
        return Execution("float", partial(self._logits, work.params, work.stats))

    def _costs(self, work: Work) -> dict[str, Any]:
        """Return the cost of one picture for a dense network, measured once for an architecture."""
        tree = work.tree
        sizes = tuple(leaf.shape for leaf in jax.tree.leaves(tree))
        if sizes not in self._known:
            apply, picture = self._job.apply, self._job.sample(1)  # one function, compiled once
            self._known[sizes] = {
                "flops": jc.flops(apply, tree, picture).total,
                "latency_ms": jc.latency_ms(apply, tree, picture).median,
                "peak_bytes": jc.costs.peak_bytes(apply, tree, picture),
            }
        return self._known[sizes]
