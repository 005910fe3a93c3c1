"""The compressed leaf types, all pytree nodes, and `dense`, which undoes them.

Techniques decide, leaves represent: packing, files and metrics see these types only. From the
bottom up: `_namespace` and `_sized` (what all need), `_half`, `_sparse`, `clustered`, `quantized`,
`lowrank` (one type each), `tree` (what holds for all), `_conversions`.

    Clustered         a tensor whose weights share a few values
    COMPRESSED        the types that stand for one array each
    decoded           the tree with arrays in place of its leaves and of its factors
    dense             the tree with ordinary arrays
    Half              kept in float16 or bfloat16
    half              leaves rounded to sixteen bits
    is_compressed     whether a leaf is one of these types
    LowRank           a tensor that is a product of smaller ones
    Quantized         entries on grids of equal steps
    Sparse            a tensor of which most entries are zero
    sparse            leaves as positions and values
    update_codebooks  codebooks after fine-tuning
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
