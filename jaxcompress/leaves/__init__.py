"""The compressed leaf types, all pytree nodes, and `dense`, which makes them arrays again.

Techniques make leaves, and leaves represent the result: packing, files and metrics see these types
only. From the bottom up: `_namespace` and `_sized` (used by all), `_half`, `_sparse`, `clustered`,
`quantized`, `lowrank` (one type each), `tree` (functions of all types), `_conversions`.

    Clustered         a tensor whose weights share a few values
    COMPRESSED        the compressed leaf types
    decoded           the tree with arrays in place of compressed leaves and compressed factors
    dense             the tree with all leaves as ordinary arrays
    Half              a tensor kept in float16 or bfloat16
    half              round leaves to sixteen bits
    is_compressed     whether a leaf is of a compressed type
    LowRank           a tensor as a product of smaller ones
    Quantized         a tensor whose entries are integers of a grid
    Sparse            a tensor whose entries are mostly zero
    sparse            store leaves as positions and values
    update_codebooks  set codebooks to the values after fine-tuning
"""

from jaxcompress.leaves._conversions import half, sparse
from jaxcompress.leaves._half import Half
from jaxcompress.leaves._sparse import Sparse
from jaxcompress.leaves.clustered import Clustered
from jaxcompress.leaves.lowrank import LowRank
from jaxcompress.leaves.quantized import Quantized
from jaxcompress.leaves.tree import COMPRESSED, decoded, dense, is_compressed, update_codebooks

__all__ = [
    "COMPRESSED",
    "Clustered",
    "Half",
    "LowRank",
    "Quantized",
    "Sparse",
    "decoded",
    "dense",
    "half",
    "is_compressed",
    "sparse",
    "update_codebooks",
]
