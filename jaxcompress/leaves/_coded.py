"""Tensors whose integers stay entropy-coded in memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Self

import jax
import numpy as np

from jaxcompress.leaves._decoding import decoded_lanes, zero_after
from jaxcompress.leaves._namespace import namespace
from jaxcompress.leaves._sized import Sized
from jaxcompress.leaves.clustered import Clustered
from jaxcompress.leaves.quantized import Quantized
from jaxcompress.packing import lanes as packing
from jaxcompress.packing.lanes import Lanes
from jaxcompress.placement import on_host
from jaxcompress.trees import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Coded(Sized):
    """A tensor whose integers stay entropy-coded in memory, and are decoded where they are used.

    `dense = grid.with_integers(decoded lanes).dense()`: the symbol of an integer is its byte.
    `coded` makes such leaves, `check_coded` checks them. Arrays of numpy are decoded in numpy,
    which refuses wrong lanes; arrays of JAX on their device, also inside of `jit`, where wrong
    lanes give wrong numbers without an error.

    A stack of layers has first axes of its own in all arrays, those of `grid` included, as
    `jax.lax.scan`, `jax.vmap` and `jax.tree.map(lambda array: array[k], leaf)` expect.

    Attributes:
        lanes: of `packing.lanes`: words, starts and states of lanes, frequencies of symbols.
        grid: what the integers stand for: a `Clustered` leaf without codes, or a `Quantized` leaf
            without values.
        layer: shape of the tensor, of one layer if it is a stack.

    Example:
        >>> codes = np.array([[0, 2], [1, 2]] * 8, np.uint8)
        >>> grid = Clustered(codes=codes[:0, 0], codebook=np.array([-1.0, 3.0]))
        >>> leaf = Coded(lanes=packing.encode(codes.ravel(), 2), grid=grid, layer=codes.shape)
        >>> leaf.shape, leaf.dense()[:2].tolist()
        ((16, 2), [[0.0, 3.0], [-1.0, 3.0]])
    """

    lanes: Lanes
    grid: Clustered | Quantized
    layer: tuple[int, ...] = field(metadata={"static": True})

    @property
    def stack(self) -> tuple[int, ...]:
        """Sizes of the first axes, which all arrays have."""
        return tuple(self.lanes.words.shape[:-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense tensor."""
        return (*self.stack, *self.layer)

    @property
    def dtype(self) -> Any:
        """Dtype of the dense tensor."""
        return self.grid.dtype

    def dense(self) -> Array:
        """Return the tensor itself; a numpy array if all parts are.

        Raises:
            ValueError: lanes of numpy are not those of such a tensor.
        """
        return self.dense_after([])

    def dense_after(self, arrays: Sequence[Array]) -> Array:
        """Return the tensor itself, decoded on a device not before other arrays are known.

        XLA would decode all weights of a program at its start. A weight that waits for the input of
        its layer has its memory only while it is used.

        Args:
            arrays: the input of its layer, for instance.
        """
        if self.stack and self._is_numpy():
            return np.stack([layer.dense() for layer in self.layers()])
        if self.stack:
            return jax.lax.map(lambda layer: layer.dense_after(arrays), self)
        if self._is_numpy():
            return self.uncoded().dense()
        symbols = decoded_lanes(self.lanes, self.layer, zero_after(self.lanes, arrays))
        integers = jax.lax.bitcast_convert_type(symbols, self.grid.integers.dtype)
        return self.grid.with_integers(integers).dense()

    def layers(self) -> list[Self]:
        """Return the leaf of each layer along the first axis of a stack."""
        return [jax.tree.map(itemgetter(k), self) for k in range(self.shape[0])]

    def uncoded(self) -> Clustered | Quantized:
        """Return the leaf that was coded, with integers in numpy.

        Raises:
            ValueError: lanes are not those of such a tensor, or a stack has several codebooks.
        """
        if self.stack:
            return _joined([layer.uncoded() for layer in self.layers()])
        symbols = packing.decode(self.lanes, math.prod(self.layer))
        integers = symbols.view(self.grid.integers.dtype).reshape(self.layer)
        return self.grid.with_integers(integers)

    def _is_numpy(self) -> bool:
        return namespace(*jax.tree.leaves(self)) is np


def encoded(leaf: Clustered | Quantized, *, turns: int, stack: int) -> Coded:
    """Return a leaf of integers of 8 bits as `Coded`, in arrays of numpy.

    Args:
        leaf: with at least one entry.
        turns: of the loop that decodes a layer.
        stack: number of first axes that are of layers.
    """
    if stack:
        layers = [
            encoded(leaf.layer(k), turns=turns, stack=stack - 1) for k in range(leaf.shape[0])
        ]
        return _stacked(layers)
    integers = np.ascontiguousarray(on_host(leaf.integers)).reshape(-1)
    lanes = packing.encode(integers.view(np.uint8), -(-integers.size // turns))
    grid = jax.tree.map(on_host, leaf.with_integers(integers[:0]))
    return Coded(lanes=lanes, grid=grid, layer=tuple(leaf.shape))


def _stacked(layers: list[Coded]) -> Coded:
    """Return layers as a stack; words of zeros follow those of all but the longest."""
    longest = max(layer.lanes.words.shape[-1] for layer in layers)

    def padded(layer: Coded) -> Coded:
        words = layer.lanes.words
        rest = [(0, 0)] * (words.ndim - 1) + [(0, longest - words.shape[-1])]
        return replace(layer, lanes=layer.lanes._replace(words=np.pad(words, rest)))

    return jax.tree.map(lambda *arrays: np.stack(arrays), *map(padded, layers))


def _joined(layers: list[Any]) -> Any:
    """Return layers as one leaf of integers."""
    integers = np.stack([layer.integers for layer in layers])
    if isinstance(layers[0], Clustered):
        codebooks = [np.asarray(layer.codebook) for layer in layers]
        if any(not np.array_equal(codebook, codebooks[0]) for codebook in codebooks):
            raise ValueError("layers of a stack must share a codebook; make the leaf dense")
        return replace(layers[0], codes=integers)
    scale, zero_point = (
        None if parts[0] is None else np.stack(list(map(np.asarray, parts)))
        for parts in zip(*((layer.scale, layer.zero_point) for layer in layers), strict=True)
    )
    if all(part is None or (part == part[:1]).all() for part in (scale, zero_point)):
        scale, zero_point = (None if part is None else part[:1] for part in (scale, zero_point))
    return replace(layers[0], values=integers, scale=scale, zero_point=zero_point)
