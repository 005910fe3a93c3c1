"""Levels fitted to data, for the comparison of quantizers."""

from typing import Any, NamedTuple

import numpy as np

import jaxcompress as jc
from benchmarks.lib.networks import Network
from jaxcompress.nnx import Params
from jaxcompress.quantization import WeightCalibration
from pipelines.data.dataset import Split

DAMAGES = [2 ** (-i / 2) for i in range(21)]  # 1 to 0.001
IMAGES, BATCH = 1024, 256


class Fitting(NamedTuple):
    """What images say of a network.

    Attributes:
        params: of the network.
        calibration: by the first training images.
    """

    params: Params
    calibration: WeightCalibration

    def at(self, damage: float) -> Params:
        """Return the network with levels of a damage, and small tensors in 16 bits."""
        return jc.compress(self.params, calibration=self.calibration, damage=damage, half=True)

    def gap(self, compressed: Params) -> float:
        """Return the bits a weight above the bound, a mean over all weights."""
        gaps = jc.quantization.rate_gaps(self.params, compressed, self.calibration.moments).values()
        return sum(g.gap * g.weights for g in gaps) / sum(g.weights for g in gaps)


def fitting(network: Network, sparsity: float, split: Split) -> Fitting:
    """Calibrate a network on the first images of a split, without their labels."""
    params, stats = network.pruned[sparsity], network.stats[sparsity]

    def apply(params: Params, images: Any) -> Any:
        return network.net.apply(params, stats, images)

    batches = [
        np.asarray(network.view(split.images[start : start + BATCH]))
        for start in range(0, IMAGES, BATCH)
    ]
    found = jc.quantization.calibrate_weights(
        apply, params, batches, damage=jc.planner.kl_divergence
    )
    return Fitting(params, found)
