"""The damage of rounding to the outputs of a network, one tensor at a time."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from jaxcompress.leaves import Quantized, dense, is_compressed
from jaxcompress.placement import on_host
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization.damages import (
    Changed,
    Damage,
    Price,
    mean_damages,
    price_rows,
    relative_error,
)
from jaxcompress.text import table_lines
from jaxcompress.trees import NamedLeaves, PyTree, named_leaves

Quantizer = Callable[[PyTree, int], PyTree]
"""From a tree and a number of bits to the tree with `Quantized` leaves."""


class Sensitivity(NamedTuple):
    """The price of each tensor at each number of bits; `str` gives a table, most damage first.

    Attributes:
        prices: by path, then by bits; the bytes are those of the packed integers, the scales and
            the zero points.
    """

    prices: dict[str, dict[int, Price]]

    def __str__(self) -> str:
        bits = sorted({bits for prices in self.prices.values() for bits in prices})[::-1]
        titles = {number: f"{number} {'bit' if number == 1 else 'bits'}" for number in bits}
        return "\n".join(table_lines(price_rows(self.prices, titles, "weights")))


def sensitivity(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Iterable[PyTree],
    *,
    bits: Sequence[int] = (8, 4, 2),
    damage: Damage = relative_error,
    quantizer: Quantizer = quantize,
) -> Sensitivity:
    """Return the damage to a network's outputs by rounding each tensor alone.

    The function is compiled once and runs once for each batch, tensor and number of bits. Damages
    are simulated, and averaged over the batches.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays; compressed leaves are made dense.
        batches: of training data, each an input or a tuple of inputs; one of some hundred samples
            is often enough.
        bits: numbers of bits to try.
        damage: any function that JAX can compile, of the outputs of a batch and those without
            rounding.
        quantizer: `quantizer(params, bits)`; tensors that it makes `Quantized` are tried. For
            fitted rounding pass
            `lambda p, bits: fit_rounding(p, quantize(p, bits), moments)`.

    Raises:
        ValueError: no batches, no bits, no quantized tensor, a damage that is not finite.
        TypeError: a damage that is not a number.

    Example:
        >>> params = {"a": np.array([[7.0], [2.4], [0.9]], np.float32), "b": np.ones((1, 1), "f")}
        >>> apply = lambda p, x: x @ p["a"] @ p["b"]
        >>> print(sensitivity(apply, params, [np.array([[1.0, 2.0, 0.0]])], bits=(8, 5)))
        weights          8 bits          5 bits
        a        1.82e-05 (7 B)  1.28e-04 (6 B)
        b        0.00e+00 (5 B)  0.00e+00 (5 B)

    Source: Wu et al. 2020, arXiv:2004.09602, section 5.1.
    """
    params = dense(params)
    named = named_leaves(params)
    tries = _tries(params, bits, quantizer)
    damages = mean_damages(
        apply,
        params,
        batches,
        [
            Changed(named.paths[place], f"{leaf.bits} bits", (partial(_with, named, place, leaf),))
            for place, leaf in tries
        ],
        damage,
    )
    prices: dict[str, dict[int, Price]] = {}
    for (place, leaf), mean in zip(tries, damages, strict=True):
        by_bits = prices.setdefault(named.paths[place], {})
        by_bits[leaf.bits] = Price(mean, _size_bytes(leaf))
    return Sensitivity(prices)


def _with(named: NamedLeaves, place: int, leaf: Quantized) -> PyTree:
    """Return the tree with one leaf rounded."""
    leaves = list(named.leaves)
    leaves[place] = leaf.dense()
    return named.rebuild(leaves)


def _tries(
    params: PyTree, bits: Sequence[int], quantizer: Quantizer
) -> list[tuple[int, Quantized]]:
    """Return the leaves to try, on the host, and the place of each in the tree."""
    tries = []
    for number in bits:
        leaves = named_leaves(quantizer(params, number), is_leaf=is_compressed).leaves
        tries += [
            (place, jax.tree.map(on_host, leaf))
            for place, leaf in enumerate(leaves)
            if isinstance(leaf, Quantized)
        ]
    if not tries:
        raise ValueError(
            f"bits: must give a quantized tensor at least, got none with {tuple(bits)}; pass some, "
            "and a quantizer that gives Quantized leaves."
        )
    return tries


def _size_bytes(leaf: Quantized) -> int:
    grids = leaf.scale.nbytes + (0 if leaf.zero_point is None else leaf.zero_point.nbytes)
    return -(-int(np.prod(leaf.shape, dtype=int)) * leaf.bits // 8) + grids
