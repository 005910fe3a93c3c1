"""Rewriting: other parameters with which a function gives the same results and compresses better.

From the bottom up: `values` (what a function computes from its parameters alone, frozen), `roles`
(which primitives scale and shift by channel; `onnx` uses it too), `affine` (factors and offsets by
channel behind products), `_solve` (the leaf that gives a value a wanted entry), `adjust` (values
in which a product has another weight, factor or offset), `_equivalence` (whether the function
still gives the same results), `_links` (where channels go from layer to layer), `_fold_norms` and
`_equalize`. Nothing changes its arguments: values go in, other values come out, or None.
"""

from jaxcompress.rewrite._equalize import equalize
from jaxcompress.rewrite._fold_norms import FoldedLayer, fold_norms, folded_layers

__all__ = ["FoldedLayer", "equalize", "fold_norms", "folded_layers"]
