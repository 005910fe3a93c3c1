"""The damage of rounding to the outputs of a network, one tensor at a time."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import nonempty_batches
from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import Quantized, dense, is_compressed
from jaxcompress.quantization._quantize import quantize
from jaxcompress.text import table_lines
from jaxcompress.trace.inputs import as_inputs
from jaxcompress.trees import PyTree, named_leaves

Damage = Callable[[PyTree, PyTree], Any]
"""From the outputs of a batch and those without rounding to a number; less is better."""

Quantizer = Callable[[PyTree, int], PyTree]
"""From a tree and a number of bits to the tree with `Quantized` leaves."""


def relative_error(outputs: PyTree, exact: PyTree) -> jax.Array:
    """Return `sum((outputs - exact)^2) / sum(exact^2)`.

    Example:
        >>> float(relative_error(jnp.array([1.0, 2.0]), jnp.array([2.0, 2.0])))
        0.125
    """

    def wide(tree: PyTree) -> jax.Array:
        leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(tree)]
        return jnp.concatenate(leaves)

    right = wide(exact)
    return jnp.sum((wide(outputs) - right) ** 2) / jnp.sum(right**2)


class Price(NamedTuple):
    """Damage and bytes of a tensor at some bits.

    Attributes:
        damage: to the network's outputs.
        size_bytes: of the packed integers, the scales and the zero points.
    """

    damage: float
    size_bytes: int


class Sensitivity(NamedTuple):
    """The price of each tensor at each number of bits; `str` gives a table, most damage first.

    Attributes:
        prices: by path, then by bits.
    """

    prices: dict[str, dict[int, Price]]

    def __str__(self) -> str:
        columns = sorted({bits for prices in self.prices.values() for bits in prices})[::-1]
        rows = [["weights", *(f"{bits} {'bit' if bits == 1 else 'bits'}" for bits in columns)]]
        worst = {
            path: max(p.damage for p in prices.values()) for path, prices in self.prices.items()
        }
        for path in sorted(worst, key=lambda path: -worst[path]):
            cells = [self.prices[path].get(bits) for bits in columns]
            rows.append(
                [path, *(f"{p.damage:.2e} ({p.size_bytes:,} B)" if p else "" for p in cells)]
            )
        return "\n".join(table_lines(rows))


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

    def compare(params: PyTree, exact: PyTree, inputs: tuple[PyTree, ...]) -> Any:
        return damage(apply(params, *inputs), exact)

    outputs, compiled = jit_for_inference(apply), jit_for_inference(compare)
    sums, count = np.zeros(len(tries)), 0
    for batch in nonempty_batches(batches, "some hundred samples do"):
        inputs = as_inputs(batch)
        exact = outputs(params, *inputs)
        for index, (place, leaf) in enumerate(tries):
            leaves = list(named.leaves)
            leaves[place] = leaf.dense()
            sums[index] += _number(
                named.paths[place], leaf, compiled(named.rebuild(leaves), exact, inputs)
            )
        count += 1
    prices: dict[str, dict[int, Price]] = {}
    for (place, leaf), total in zip(tries, sums, strict=True):
        by_bits = prices.setdefault(named.paths[place], {})
        by_bits[leaf.bits] = Price(float(total / count), _size_bytes(leaf))
    return Sensitivity(prices)


def _tries(
    params: PyTree, bits: Sequence[int], quantizer: Quantizer
) -> list[tuple[int, Quantized]]:
    """Return the leaves to try, on the host, and the place of each in the tree."""
    tries = []
    for number in bits:
        leaves = named_leaves(quantizer(params, number), is_leaf=is_compressed).leaves
        tries += [
            (place, jax.tree.map(np.asarray, leaf))
            for place, leaf in enumerate(leaves)
            if isinstance(leaf, Quantized)
        ]
    if not tries:
        raise ValueError(
            f"bits: must give a quantized tensor at least, got none with {tuple(bits)}; pass some, "
            "and a quantizer that gives Quantized leaves."
        )
    return tries


def _number(path: str, leaf: Quantized, value: Any) -> float:
    if np.shape(value) != ():
        raise TypeError(f"damage: must be one number, got shape {np.shape(value)}; take the mean.")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(
            f"{path}: damage must be finite, got {number} at {leaf.bits} bits; look for NaN in the "
            "inputs and for outputs that are all zero."
        )
    return number


def _size_bytes(leaf: Quantized) -> int:
    grids = leaf.scale.nbytes + (0 if leaf.zero_point is None else leaf.zero_point.nbytes)
    return -(-int(np.prod(leaf.shape, dtype=int)) * leaf.bits // 8) + grids
