"""Measures of compressed trees: exact counts.

Every fraction states its denominator through `scope`: by default the kernels, the weights that can
be pruned, without biases and norms.

    count_distinct       distinct non-zero values, summed over leaves
    count_parameters     floating-point and complex numbers
    entropy_bound_bytes  the smallest size that a memoryless coder can reach
    measure_sparsity     the fraction of exact zeros
    root_mean_square     the root mean square of the numbers that are not zero
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jaxcompress.kinds import WEIGHTS, kind_of
from jaxcompress.leaves import Clustered, Coded, Half, Quantized, Sparse, decoded, is_compressed
from jaxcompress.leaves.quantized import spread
from jaxcompress.leaves.tree import is_coded
from jaxcompress.placement import on_host
from jaxcompress.trees import PyTree, Scope, in_scope, kernels, named_leaves, plain_bytes

__all__ = [
    "count_distinct",
    "count_parameters",
    "entropy_bound_bytes",
    "measure_sparsity",
    "root_mean_square",
]

_BLOCK = 1 << 20


def measure_sparsity(params: PyTree, *, scope: Scope = kernels) -> float:
    """Return the fraction of exact zeros among the weights in the scope.

    Args:
        params: tree of arrays or compressed leaves; of `LowRank` leaves the factors count.
        scope: which leaves count, in the numerator and in the denominator; `everything` for a
            fraction of all parameters.

    Raises:
        ValueError: an empty scope.

    Example:
        >>> measure_sparsity({"kernel": np.array([[0.0, 1.0]]), "bias": np.zeros(2)})
        0.5
    """
    tensors = _in_scope(params, scope)
    zeros = sum(t.size - int(np.count_nonzero(t)) for t in tensors)
    return zeros / sum(t.size for t in tensors)


def count_parameters(tree: PyTree) -> int:
    """Return how many floating-point and complex numbers a tree holds.

    A compressed leaf counts as the dense tensor that it stands for, zeros included, a `LowRank`
    leaf as the product. Integers, booleans and random keys do not count. Statistics of norms and
    moments of an optimizer are floating-point numbers, and count: pass the part of the tree that is
    meant, such as `variables["params"]` or `nnx.state(net, nnx.Param)`. Tied leaves count each.

    Args:
        tree: arrays, compressed leaves or shapes, as of `jax.eval_shape`.

    Example:
        >>> count_parameters({"kernel": np.ones((3, 4)), "bias": np.ones(4), "step": np.array(7)})
        16
    """
    leaves = named_leaves(tree, is_leaf=is_compressed).leaves
    return sum(math.prod(leaf.shape) for leaf in leaves if kind_of(leaf) in WEIGHTS.members)


def count_distinct(params: PyTree, *, scope: Scope = kernels) -> int:
    """Return the number of distinct non-zero values, summed over the leaves in the scope.

    It is the number of codebook entries that the tree needs, one codebook a leaf.

    Args:
        params: tree of arrays or compressed leaves; of `LowRank` leaves the factors count.
        scope: which leaves count.

    Raises:
        ValueError: an empty scope.

    Example:
        >>> count_distinct({"a": np.array([[0.0, 1.0, 1.0]]), "b": np.array([[1.0, 2.0]])})
        3
    """
    return sum(np.unique(t[t != 0]).size for t in _in_scope(params, scope))


def entropy_bound_bytes(tree: PyTree) -> float:
    """Return the smallest size in bytes that a memoryless coder of codes can reach.

    `sum over leaves of n * H0 / 8 + codebook`, where `H0` is the entropy in bits of the codes of
    a `Clustered` leaf, zero included; of the positions for a `Sparse` leaf, plus its values; of the
    values less their zero points for a `Quantized` leaf, plus scales and zero points. Other leaves
    count with their full size. Headers and tables of frequencies do not count: this is a bound, not
    the size of a file.

    Args:
        tree: tree of compressed leaves and arrays.

    Example:
        >>> codes = np.array([0, 0, 1, 2], np.uint8)  # 1.5 bits a code
        >>> leaf = Clustered(codes=codes, codebook=np.array([-1.0, 3.0], np.float32))
        >>> entropy_bound_bytes({"kernel": leaf})  # 4 * 1.5 / 8 and 2 * 4 bytes of the codebook
        8.75
    """
    leaves = named_leaves(tree, is_leaf=is_coded).leaves
    return float(sum(_BOUND_BYTES.get(type(leaf), plain_bytes)(leaf) for leaf in leaves))


def _clustered_bytes(leaf: Clustered) -> float:
    return _entropy_bits(_occurrences(on_host(leaf.codes))) / 8 + plain_bytes(leaf.codebook)


def _sparse_bytes(leaf: Sparse) -> float:
    kept, size = math.prod(leaf.values.shape), math.prod(leaf.shape)
    return _entropy_bits(np.array([kept, size - kept])) / 8 + plain_bytes(leaf.values)


def _quantized_bytes(leaf: Quantized) -> float:
    levels, grids = on_host(leaf.values), plain_bytes(leaf.scale)
    if leaf.zero_point is not None:
        zero_point = on_host(leaf.zero_point)
        levels = levels - spread(zero_point, leaf.shape).astype(np.int16)
        grids += plain_bytes(zero_point)
    return _entropy_bits(_occurrences(levels)) / 8 + grids


def _occurrences(integers: np.ndarray) -> np.ndarray:
    """Return how often each integer occurs, from the lowest one up."""
    flat, lowest = integers.reshape(-1), int(integers.min(initial=0))
    counts = np.zeros(int(integers.max(initial=0)) - lowest + 1, np.int64)
    for start in range(0, flat.size, _BLOCK):  # numpy widens all of them at once to 64 bits
        block = flat[start : start + _BLOCK].astype(np.int64) - lowest
        counts += np.bincount(block, minlength=counts.size)
    return counts


_BOUND_BYTES: dict[type, Callable[[Any], float]] = {
    Clustered: _clustered_bytes,
    Sparse: _sparse_bytes,
    Quantized: _quantized_bytes,
    Coded: lambda leaf: entropy_bound_bytes(leaf.uncoded()),
    Half: lambda leaf: plain_bytes(leaf.values),
}


def root_mean_square(tensors: Iterable[np.ndarray]) -> float:
    """Return the root mean square of the numbers that are not zero, 1 if there are none.

    Example:
        >>> root_mean_square([np.array([3.0, 0.0]), np.array([-3.0])])
        3.0
    """
    squares, extreme, count = 0.0, 0.0, 0
    for square, norm, used in map(_sums, tensors):  # `map` holds no tensor while the next comes
        squares += square
        extreme = math.hypot(extreme, norm)
        count += used
    if extreme:
        return math.hypot(math.sqrt(squares), extreme) / math.sqrt(count)
    return math.sqrt(squares / count) if squares else 1.0


def _sums(tensor: np.ndarray) -> tuple[float, float, int]:
    """Return sum of squares, norm where squares are out of range, and how many are not zero."""
    flat, square, count = tensor.reshape(-1), 0.0, 0
    for start in range(0, flat.size, _BLOCK):  # in 64 bits they would take many times their memory
        block = flat[start : start + _BLOCK]
        with np.errstate(over="ignore"):
            square += float(np.sum(np.square(block, dtype=np.float64)))
        count += int(np.count_nonzero(block))
    if 0 < square < math.inf or not count:
        return square, 0.0, count
    largest = float(np.max(np.abs(flat)))
    near_one = np.divide(flat, largest, dtype=np.float64)
    return 0.0, largest * float(np.linalg.norm(near_one)), count


def _entropy_bits(counts: np.ndarray) -> float:
    """Return the total information of symbols that occur `counts` times, in bits."""
    used = counts[counts > 0].astype(np.float64)
    return float(np.sum(used * np.log2(used.sum() / used))) if used.size else 0.0


def _in_scope(params: PyTree, scope: Scope) -> list[np.ndarray]:
    named = named_leaves(decoded(params))
    return [
        on_host(leaf)
        for leaf, pick in zip(named.leaves, in_scope(named, scope), strict=True)
        if pick
    ]
