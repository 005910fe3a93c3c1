"""The compressed leaf types, all pytree nodes, and `dense`, which makes them arrays again.

Techniques make leaves, and leaves represent the result: packing, files and metrics see these types
only. From the bottom up: `_namespace` and `_sized` (used by all), `_half`, `_sparse`, `clustered`,
`quantized`, `lowrank` (one type each), `_coded` on `_decoding` (the same, entropy-coded), `tree`
(functions of all types), `_conversions`, `_coding`.

    Clustered         a tensor whose weights share a few values
    check_coded       refuse coded leaves that do not decode
    coded             keep integers of leaves entropy-coded in memory
    Coded             a tensor whose integers are entropy-coded in memory
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
    uncoded           decode the integers of coded leaves
    update_codebooks  set codebooks to the values after fine-tuning
"""

from jaxcompress.leaves._coded import Coded
from jaxcompress.leaves._coding import check_coded, coded
from jaxcompress.leaves._conversions import half, sparse
from jaxcompress.leaves._half import Half
from jaxcompress.leaves._sparse import Sparse
from jaxcompress.leaves.clustered import Clustered
from jaxcompress.leaves.lowrank import LowRank
from jaxcompress.leaves.quantized import Quantized
from jaxcompress.leaves.tree import (
    COMPRESSED,
    decoded,
    dense,
    is_compressed,
    uncoded,
    update_codebooks,
)

__all__ = [
    "COMPRESSED",
    "Clustered",
    "Coded",
    "Half",
    "LowRank",
    "Quantized",
    "Sparse",
    "check_coded",
    "coded",
    "decoded",
    "dense",
    "half",
    "is_compressed",
    "sparse",
    "uncoded",
    "update_codebooks",
]
