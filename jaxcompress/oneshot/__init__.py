"""Compression of trained networks, without training.

From the bottom up: `sources` (tensors one at a time), `survey` (which are compressed, and why
others are kept), `_repeats` (tensors that are equal), `_thresholds` (which weights are removed),
`_exact` (tensors of few values), `_halves`, `_channels`, `ways` (to compress one tensor), `rules`,
`values` (what is asked for), `sizes` and `outcomes` (what became of it), `stream` (all of it, a
leaf at a time), `target` (files of a wanted size), `calibrated` (levels by data), `_tree`
(`compress`). `_sharing` has ways for
all weights at a time, which trainings use.

    Choice      a way to let weights share values
    compress    a trained network in one call
    Outcome     what became of a tensor
    Report      what became of a tree
    output_error  how far outputs are from those with the original weights
    report      how far a compressed tree is from the original
    SHARING     the choices by which weights share values
    Weights     statistics of all weights, computed on demand
    weights_of  the statistics of a tree
"""

from jaxcompress.oneshot._sharing import SHARING, Choice, Weights, weights_of
from jaxcompress.oneshot._tree import compress, output_error, report
from jaxcompress.oneshot.outcomes import Outcome, Report

__all__ = [
    "SHARING",
    "Choice",
    "Outcome",
    "Report",
    "Weights",
    "compress",
    "output_error",
    "report",
    "weights_of",
]
