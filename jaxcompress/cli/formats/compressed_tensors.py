"""Weights on grids as servers read them: `pack-quantized` of the library compressed-tensors.

A weight `[out, in]` of a linear layer becomes three tensors. `weight_packed` holds integers of 4 or
8 bits, plus half of their range, in words of 32 bits along the last axis, the first in the lowest
bits. `weight_scale` is `[out, 1]`, or `[out, groups]` for groups along the inputs. `weight_shape`
is that of the weight. `config.json` says which layers are stored like this.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.leaves import Quantized
from jaxcompress.leaves.quantized import spread

_WORD_BITS = 32
_TABLES = re.compile(r"emb|wte|wpe|(?:^|\.)shared\.weight$")
"""Names of tables that are looked up: they have the shape of a linear layer, and are none."""


class Scheme(NamedTuple):
    """How integers of a weight are stored.

    Attributes:
        bits: of each, 4 or 8.
        group: inputs that share a scale; None if all of an output do.
    """

    bits: int
    group: int | None

    def weights(self) -> dict[str, Any]:
        """Return what the configuration says of it."""
        strategy = "channel" if self.group is None else "group"
        return {
            **{"num_bits": self.bits, "type": "int", "symmetric": True, "strategy": strategy},
            **{"group_size": self.group, "dynamic": False},
        }


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A weight that is stored in words.

    Attributes:
        layer: name of the layer.
        scheme: how.
        shape: of the weight.
        dtype: of its scales.
    """

    layer: str
    scheme: Scheme
    shape: tuple[int, int]
    dtype: Any

    def specs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Return shape and dtype of each of its tensors by name."""
        (rows, columns), (bits, group) = self.shape, self.scheme
        sizes = {
            "packed": ((rows, -(-columns * bits // _WORD_BITS)), np.int32),
            "scale": ((rows, 1 if group is None else columns // group), self.dtype),
            "shape": ((2,), np.int64),
        }
        return {
            f"{self.layer}.weight_{part}": jax.ShapeDtypeStruct(shape, np.dtype(dtype))
            for part, (shape, dtype) in sizes.items()
        }

    def tensors(self, leaf: Quantized) -> dict[str, np.ndarray]:
        """Return its tensors by name."""
        scale = np.asarray(leaf.scale)
        sides = (self.shape[0], scale.shape[1])
        arrays = {
            "packed": packed(np.asarray(leaf.values), self.scheme.bits),
            "scale": np.broadcast_to(spread(scale, sides), sides),
            "shape": np.array(self.shape, np.int64),
        }
        return {f"{self.layer}.weight_{part}": array for part, array in arrays.items()}


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Return integers in words, row by row.

    Args:
        values: int8 integers `[rows, columns]` of at most `bits` bits.
        bits: 4 or 8.

    Example:
        >>> words = packed(np.int8([[-8, -7, 0, 7, 0, 0, 0, -1, 2]]), 4)
        >>> words.dtype.name, [hex(word) for word in words[0].tolist()]
        ('int32', ['0x7888f810', '0xa'])
    """
    rows, columns = values.shape
    a_word = _WORD_BITS // bits
    digits = np.zeros((rows, -(-columns // a_word) * a_word), np.uint8)
    digits[:, :columns] = values.astype(np.int16) + (1 << bits - 1)
    if bits == 4:
        digits = digits[:, ::2] | digits[:, 1::2] << 4
    return np.ascontiguousarray(digits).view("<i4").astype(np.int32)


def as_packed(entry: Mapping[str, Any]) -> Packed | str:
    """Return how a tensor of a file is stored in words, or why it is not.

    Args:
        entry: of the manifest.
    """
    path, shape = entry["path"], tuple(entry["shape"])
    layer = path.removesuffix(".weight")
    if entry["form"] != "quantized":
        return "not on a grid"
    if len(shape) != 2 or layer == path or _TABLES.search(path):
        return "no linear layer by its name and shape"
    if entry.get("zero_points") or 0 in shape:
        return "a grid with zero points"
    columns = entry["scales"][1]
    if columns > 1 and (shape[1] % columns or columns == shape[1]):
        return "other groups than equal ones of inputs"
    group = None if columns == 1 else shape[1] // columns
    scheme = Scheme(4 if entry["bits"] <= 4 else 8, group)
    return Packed(layer=layer, scheme=scheme, shape=shape, dtype=np.dtype(entry["dtype"]))


def configuration(found: Mapping[str, Packed], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry `quantization_config` of `config.json`.

    Args:
        found: the weights that are stored in words, by path.
        others: shapes of all other tensors by path.
    """
    schemes: dict[Scheme, list[str]] = {}
    for weight in found.values():
        schemes.setdefault(weight.scheme, []).append(weight.layer)
    layers = {weight.layer for weight in found.values()}
    dense = {path.removesuffix(".weight") for path, s in others.items() if len(s) == 2} - {*others}
    groups = {
        f"group_{number}": {
            "targets": ["Linear"] if len(schemes) == 1 else names,
            "weights": scheme.weights(),
            "input_activations": None,
            "output_activations": None,
        }
        for number, (scheme, names) in enumerate(schemes.items())
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        # The head of a network with tied weights is a linear layer without a tensor of its own.
        "ignore": sorted((dense | {"lm_head"}) - layers),
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }
