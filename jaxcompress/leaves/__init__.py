"""The compressed leaf types, all pytree nodes, and `dense`, which undoes them.

Techniques decide, leaves represent: packing, files and metrics see these types only.
"""

from jaxcompress.leaves.clustered import MOST_CODES, Clustered, codes_dtype
from jaxcompress.leaves.conversions import half, sparse
from jaxcompress.leaves.half import Half
from jaxcompress.leaves.quantized import Quantized, are_blocks, spread
from jaxcompress.leaves.sparse import Sparse
from jaxcompress.leaves.tree import COMPRESSED, dense, is_compressed, update_codebooks

__all__ = [
    "COMPRESSED",
    "MOST_CODES",
    "Clustered",
    "Half",
    "Quantized",
    "Sparse",
    "are_blocks",
    "codes_dtype",
    "dense",
    "half",
    "is_compressed",
    "sparse",
    "spread",
    "update_codebooks",
]
