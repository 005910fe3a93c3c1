"""The compressed leaf types, all pytree nodes, and `dense`, which undoes them.

Techniques decide, leaves represent: packing, files and metrics see these types only.
"""

from jaxcompress.leaves._clustered import MOST_CODES, Clustered, codes_dtype
from jaxcompress.leaves._conversions import half, sparse
from jaxcompress.leaves._half import Half
from jaxcompress.leaves._lowrank import (
    MOST_FACTORS,
    LowRank,
    axis_sizes,
    broken_rule,
    largest_product,
)
from jaxcompress.leaves._quantized import Quantized, are_blocks, spread
from jaxcompress.leaves._sparse import Sparse
from jaxcompress.leaves._tree import (
    COMPRESSED,
    arrays_in_scope,
    decoded,
    dense,
    dense_shapes,
    is_coded,
    is_compressed,
    update_codebooks,
)

__all__ = [
    "COMPRESSED",
    "MOST_CODES",
    "MOST_FACTORS",
    "Clustered",
    "Half",
    "LowRank",
    "Quantized",
    "Sparse",
    "are_blocks",
    "arrays_in_scope",
    "axis_sizes",
    "broken_rule",
    "codes_dtype",
    "decoded",
    "dense",
    "dense_shapes",
    "half",
    "is_coded",
    "is_compressed",
    "largest_product",
    "sparse",
    "spread",
    "update_codebooks",
]
