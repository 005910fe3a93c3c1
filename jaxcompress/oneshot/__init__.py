"""Compression of trained networks, without data and without training.

From the bottom up: `sources` (tensors one at a time), `_thresholds` and `stream` (which weights
stay, and compressing them a leaf at a time), `quantizers` (techniques by name), `target` (files of
a wanted size), `_tree` (`compress`).
"""

from jaxcompress.oneshot._tree import compress
from jaxcompress.oneshot.quantizers import QUANTIZERS, SHARING, Choice, Weights, weights_of

__all__ = ["QUANTIZERS", "SHARING", "Choice", "Weights", "compress", "weights_of"]
