"""Compression of trained networks, without data and without training.

From the bottom up: `sources` (tensors one at a time), `_thresholds` and `stream` (which weights
are kept, and their compression a leaf at a time), `quantizers` (techniques by name), `target`
(files of a wanted size), `_tree` (`compress`).

    Choice      a way to share or to round weights
    compress    a trained network in one call
    QUANTIZERS  all choices by name
    SHARING     the choices by which weights share values
    Weights     statistics of all weights, computed on demand
    weights_of  the statistics of a tree
"""

from jaxcompress.oneshot._tree import compress
from jaxcompress.oneshot.quantizers import QUANTIZERS, SHARING, Choice, Weights, weights_of

__all__ = ["QUANTIZERS", "SHARING", "Choice", "Weights", "compress", "weights_of"]
