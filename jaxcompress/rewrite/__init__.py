"""Rewriting: parameters with which a function gives the same, and is better to compress.

From the bottom up: `values` (what a function computes from its parameters alone), `affine` (factors
and offsets by channel behind products), `adjust` (leaves changed so that these are others),
`_equivalence` (whether the function still does the same), `_links` (where channels go from layer to
layer), `_fold_norms` and `_equalize`.
"""

from jaxcompress.rewrite._equalize import equalize
from jaxcompress.rewrite._fold_norms import FoldedLayer, fold_norms, folded_layers

__all__ = ["FoldedLayer", "equalize", "fold_norms", "folded_layers"]
