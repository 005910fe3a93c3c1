"""Scopes: which leaves of a tree a technique applies to, by path and array.

everything      all floating-point leaves
in_products     the weights that enter products of a function, found by tracing it
in_scope        the leaves of a tree that a scope takes, by path
is_floating     whether a leaf holds floating-point numbers
kernels         floating-point leaves of two axes or more: the scope of most functions
matching        leaves whose path matches a pattern
named_leaves    paths and leaves of a tree, and how to build it again
nested          nested dicts from paths and leaves
weights         kernels, and complex leaves of two axes or more
"""

from jaxcompress.products.weights import in_products
from jaxcompress.trees import (
    everything,
    in_scope,
    is_floating,
    kernels,
    matching,
    named_leaves,
    nested,
    weights,
)

__all__ = [
    "everything",
    "in_products",
    "in_scope",
    "is_floating",
    "kernels",
    "matching",
    "named_leaves",
    "nested",
    "weights",
]
