"""Our way to make the language model smaller, and what both sides may use for it."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import jaxcompress as jc
from jaxcompress.quantization import WeightCalibration
from jaxcompress.typing import Moments, PyTree

WEIGHTS = jc.scopes.matching(r"(^|/)(kernel|embedding)$")
"""Kernels and tables; biases of attention are of rank 2 too."""

TABLE = "words/embedding"

divergence = jc.planner.kl_divergence
"""The mean over tokens of KL(exact || found), in nats."""


class Given:
    """What ways may use: the network and windows of pages for training, none that judge it.

    Args:
        apply: of the network.
        params: of it.
        batches: of tokens; damage is measured on the first.
        counts: of each token, in all pages for training.
    """

    def __init__(
        self,
        apply: Callable[..., Any],
        params: PyTree,
        batches: list[np.ndarray],
        counts: np.ndarray,
    ) -> None:
        self.apply, self.params, self.batches = apply, params, batches
        self._by_row = {TABLE: jc.quantization.row_step_sizes(counts)}

    @functools.cached_property
    def moments(self) -> Moments:
        """Of what the layers are fed, as they are."""
        return jc.quantization.input_moments(self.apply, self.params, self.batches)

    @functools.cached_property
    def calibration(self) -> WeightCalibration:
        """Moments, shrunk, and the damage by the rounding of each tensor."""
        return jc.quantization.calibrate_weights(
            self.apply,
            self.params,
            self.batches,
            damage=divergence,
            relative=self._by_row,
            scope=WEIGHTS,
        )


def fitted(given: Given, damage: float) -> PyTree:
    """Return leaves of levels fitted to data, for a file of layout `entropy`."""
    return jc.quantization.fit_levels(given.params, given.calibration, damage=damage)
