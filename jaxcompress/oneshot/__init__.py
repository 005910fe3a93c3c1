"""Compression of trained networks, without data and without training.

From the bottom up: `sources` (tensors one at a time), `_thresholds` and `stream` (which weights
stay, and compressing them a leaf at a time), `quantizers` (techniques by name), `target` (files of
a wanted size), `_tree` (`compress`).

    Choice      a way to share or to round weights
    compress    a trained network in one call
    QUANTIZERS  all choices by name
    SHARING     those by which weights share values
    Weights     what a technique may ask of all weights
    weights_of  the same, of a tree
"""

from jaxcompress.oneshot._tree import compress
from jaxcompress.oneshot.quantizers import QUANTIZERS, SHARING, Choice, Weights, weights_of

__all__ = ["QUANTIZERS", "SHARING", "Choice", "Weights", "compress", "weights_of"]
