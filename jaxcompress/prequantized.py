"""Layers whose weights another library has quantized: recognized by the names of their tensors.

Such a weight is integers, often several in a word, and scales beside it. Nothing is left to round:
integers that are words look like noise, and an error of a scale is one of its whole group.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from jaxcompress.kinds import Kind, kind_of

_INTEGERS = ("qweight", "weight_packed", "weight")
_SCALES = frozenset("scales weight_scale weight_scale_inv SCB weight.absmax".split())
_PART = re.compile(
    r"(?:(.*)[./])?(qweight|qzeros|scales|g_idx"  # GPTQ, AWQ
    r"|weight_(?:packed|scale|scale_inv|scale_2|global_scale|shape|zero_point|g_idx)|input_scale"
    r"|SCB|weight\.(?:(?:nested_)?(?:absmax|quant_map)|quant_state\..*)|weight)",
    re.DOTALL,
)
"""Layer and part: compressed-tensors, then bitsandbytes, which also calls integers `weight`."""


def quantized_layers(paths: Sequence[str], leaves: Sequence[Any]) -> dict[str, list[int]]:
    """Return the layers of quantized weights, and which tensors are a part of each.

    Args:
        paths: of all leaves of a tree, their parts joined by slashes or dots.
        leaves: with a dtype each.

    Example:
        >>> import numpy as np
        >>> words, scales = np.zeros((4, 8), np.int32), np.ones((2, 8), np.float16)
        >>> quantized_layers(["q.qweight", "q.scales", "q.bias"], [words, scales, scales[0]])
        {'q': [0, 1]}
        >>> quantized_layers(["norm.scales", "norm.weight"], [scales, scales])
        {}
    """
    layers: dict[str, dict[str, int]] = defaultdict(dict)
    for index, path in enumerate(paths):
        if found := _PART.fullmatch(path):
            layers[found[1] or ""][found[2]] = index
    return {
        layer: sorted(parts.values())
        for layer, parts in layers.items()
        if not _SCALES.isdisjoint(parts)
        and any(
            part in parts and kind_of(leaves[parts[part]]) in (Kind.INTEGER, Kind.SMALL_FLOAT)
            for part in _INTEGERS
        )
    }
