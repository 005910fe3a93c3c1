"""Weights on grids: the arrays of a tree as `Quantized` leaves."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_concrete, check_floats, check_known
from jaxcompress.leaves import Clustered, Quantized, uncoded
from jaxcompress.leaves.quantized import are_blocks, spread
from jaxcompress.leaves.tree import is_coded
from jaxcompress.placement import beside, like, on_host
from jaxcompress.quantization._granularity import Granularity, per_channel
from jaxcompress.quantization._least_error import mse_optimal
from jaxcompress.quantization.grids import Grid, QParams, make_grid, qparams_for, to_integers
from jaxcompress.quantization.ranges import Estimator, Range, Samples, min_max
from jaxcompress.trees import (
    NamedLeaves,
    PyTree,
    Scope,
    as_jax,
    in_scope,
    kernels,
    named_leaves,
    widened,
)

_FEWEST_FOR_MIN_MAX = 6
"""On trained networks `mse_optimal` lowers the squared error of 7 and 8 bits by 1 to 4 %, of 6 bits
by 2 to 16 %, of 5 by 13 to 34 %, and of 4 by 28 to 53 %."""

_BLOCK = 1 << 20
_ROUNDS = 8


def quantize(
    params: PyTree,
    bits: int | Mapping[str, int] = 8,
    *,
    symmetric: bool = True,
    granularity: Granularity | None = None,
    estimate: Estimator | None = None,
    scope: Scope = kernels,
) -> PyTree:
    """Round the leaves in the scope to grids of integers, as `Quantized` leaves.

    `w = scale * (integer - zero_point)`, where `integer = clip(round(w / scale) + zero_point)`.
    Zeros remain exactly zero, on a binary grid too, so a pruned network remains pruned. Nothing
    is trained, and computing with these weights is not yet faster.

    Rounding float32 twice changes nothing with `min_max` and `mse_optimal` on symmetric grids.

    Gathered to the host: one leaf in the scope at a time, 4 bytes for each weight of float32.

    Args:
        params: any pytree of concrete arrays. Of `Clustered` leaves the entries of the codebook are
            rounded, to one grid for each tensor. The factors of `LowRank` leaves are rounded one by
            one. Other compressed leaves are made dense first.
        bits: of an integer, 1 to 8: 2 are ternary, 1 is binary. Or a mapping from path to bits;
            tensors that are not in it are not rounded.
        symmetric: whether grids have no zero point; see `make_grid`.
        granularity: which entries share a scale; default: `per_channel()`.
        estimate: chooses the range that a grid covers; by default `usual_range`: `min_max` for 6
            bits and more, `mse_optimal` for fewer.
        scope: which leaves are rounded.

    Returns:
        `params` with `Quantized` leaves in the scope; all others are unchanged.

    Raises:
        ValueError: bits outside of 1 to 8 (2 to 8 if affine), a path that is not in the scope,
            NaN or infinite weights, or weights so large that their dtype cannot hold the ends of
            the grid; an empty scope; a granularity whose blocks `Quantized` does not have.
        TypeError: `bits` are not integers; leaves in the scope that are not floating point;
            called under `jit`.

    Example:
        >>> leaf = quantize({"kernel": np.array([[0.5, 3.0], [-1.27, 0.0]])})["kernel"]
        >>> leaf.values.tolist(), leaf.scale.round(4).tolist()
        ([[50, 127], [-127, 0]], [[0.01, 0.0236]])

    Source: Jacob et al. 2018, arXiv:1712.05877; Krishnamoorthi 2018, arXiv:1806.08342.
    """
    check_concrete("quantize", params)
    named = named_leaves(uncoded(params), is_leaf=is_coded)
    chosen = in_scope(named, scope)
    grids = _grids(named, chosen, bits, symmetric=symmetric)
    shape_of = per_channel() if granularity is None else granularity

    def convert(path: str, leaf: Any, grid: Grid | None) -> Any:
        if grid is None:
            return leaf
        return rounded(path, leaf, grid, shape_of, estimate or usual_range)

    return named.rebuild(list(map(convert, named.paths, named.leaves, grids)))


def usual_range(samples: Samples, grid: Grid) -> Range:
    """Cover all numbers with 6 bits and more; search for the range of least squared error below.

    Example:
        >>> samples = Samples(np.array([[1.0, -2.0, 6.0, 0.0]]))
        >>> [float(usual_range(samples, make_grid(bits)).high[0]) for bits in (8, 1)]
        [6.0, 3.0]
    """
    return (min_max if grid.bits >= _FEWEST_FOR_MIN_MAX else mse_optimal)(samples, grid)


def rounded(
    path: str, leaf: Any, grid: Grid, granularity: Granularity, estimate: Estimator
) -> Quantized:
    """Return one leaf as `quantize` rounds it.

    Raises:
        ValueError: as `quantize`.
        TypeError: it is not floating point.
    """
    if isinstance(leaf, Clustered):
        return _placed(_rounded_codebook(path, leaf, grid, estimate), leaf)
    return _placed(_rounded(path, leaf, _blocks_of(path, leaf, granularity), grid, estimate), leaf)


def _placed(new: Quantized, leaf: Any) -> Quantized:
    """Return a leaf with its integers as the weights lie, and its grids on all of their devices."""
    arrays = (part for part in jax.tree.leaves(leaf) if part.shape == new.shape)
    old = next(arrays, None)
    zero_point = None if new.zero_point is None else beside(new.zero_point, old)
    values, scale = like(new.values, old), beside(new.scale, old)
    return replace(new, values=values, scale=scale, zero_point=zero_point)


def _grids(
    named: NamedLeaves, chosen: list[bool], bits: int | Mapping[str, int], *, symmetric: bool
) -> list[Grid | None]:
    """Return the grid of each leaf, None for leaves that are not rounded."""
    if not isinstance(bits, Mapping):
        grid = make_grid(bits, symmetric=symmetric)
        return [grid if pick else None for pick in chosen]
    by_path = {path: make_grid(number, symmetric=symmetric) for path, number in bits.items()}
    known = {path for path, pick in zip(named.paths, chosen, strict=True) if pick}
    rule = "bits must be for tensors in the scope"
    check_known(by_path, known, rule, "correct it, or widen the scope")
    return [by_path.get(p) if pick else None for p, pick in zip(named.paths, chosen, strict=True)]


def _blocks_of(path: str, leaf: Any, granularity: Granularity) -> tuple[int, ...]:
    """Return the shape of the scales."""
    shape = tuple(granularity(path, leaf))
    if not are_blocks(shape, leaf.shape):
        raise ValueError(
            f"{path}: granularity must give how many blocks of equal size the axes of "
            f"{tuple(leaf.shape)} are cut into, got {shape}; use per_channel or per_block."
        )
    return shape


def _rounded(
    path: str, leaf: Any, shape: tuple[int, ...], grid: Grid, estimate: Estimator
) -> Quantized:
    tensor = widened(check_floats(path, leaf.dense() if is_coded(leaf) else leaf))
    ranges = estimate(Samples(rows_of_blocks(tensor, shape)), grid)
    qparams = _settled(path, ranges, grid, leaf.dtype)
    qparams = QParams(*(None if part is None else part.reshape(shape) for part in qparams))
    values = np.empty(tensor.shape, np.int8)
    spread_qparams = QParams(
        spread(qparams.scale.astype(tensor.dtype), tensor.shape),
        None if qparams.zero_point is None else spread(qparams.zero_point, tensor.shape),
    )
    for part in _slabs(tensor.shape):
        with np.errstate(over="ignore"):  # numbers far outside the range overflow, and are clipped
            values[part] = to_integers(tensor[part], _part_of(spread_qparams, part), grid)
    return _leaf(values, qparams, grid)


def _rounded_codebook(path: str, leaf: Clustered, grid: Grid, estimate: Estimator) -> Quantized:
    codes, codebook = on_host(leaf.codes), widened(check_floats(path, leaf.codebook))
    counts = np.bincount(codes.ravel(), minlength=codebook.size + 1)[None, 1:]
    ranges = estimate(Samples(codebook[None], counts), grid)
    qparams = _settled(path, ranges, grid, leaf.dtype)
    wide = qparams._replace(scale=qparams.scale.astype(codebook.dtype))
    table = to_integers(np.concatenate([np.zeros(1, codebook.dtype), codebook]), wide, grid)
    ones = (1,) * codes.ndim
    qparams = QParams(*(None if part is None else part.reshape(ones) for part in qparams))
    return _leaf(table[codes], qparams, grid)


def _leaf(values: Any, qparams: QParams, grid: Grid) -> Quantized:
    """Return the leaf, with JAX arrays, or with numpy arrays if JAX would narrow the scales."""
    convert = np.asarray if isinstance(as_jax(qparams.scale), np.ndarray) else jnp.asarray
    zero_point = None if qparams.zero_point is None else convert(qparams.zero_point)
    return Quantized(
        values=convert(values), scale=convert(qparams.scale), zero_point=zero_point, bits=grid.bits
    )


def rows_of_blocks(tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return `[blocks, n]` entries of each block; the last blocks are padded with zeros."""
    cut = [(m, -(-n // m)) for m, n in zip(shape, tensor.shape, strict=True)]
    missing = [(0, m * size - n) for (m, size), n in zip(cut, tensor.shape, strict=True)]
    if any(after for _, after in missing):
        tensor = np.pad(tensor, missing)
    split = tensor.reshape([number for pair in cut for number in pair])
    rank = len(shape)
    order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
    return split.transpose(order).reshape(math.prod(shape), -1)


def _settled(path: str, ranges: Range, grid: Grid, dtype: Any) -> QParams:
    """Return qparams in the dtype of the tensor that rounding once more would not change.

    The ends of a symmetric grid give the same qparams again. Else the scales of a tensor that is
    rounded twice might differ in their last bit.
    """
    qparams = _in_dtype(qparams_for(*ranges, grid), dtype)
    for _ in range(_ROUNDS):
        with np.errstate(over="ignore"):
            ends = [_number(end, qparams) for end in (grid.lowest, grid.highest)]
        if not np.isfinite(ends).all():
            raise ValueError(
                f"{path}: the ends of the grid must be finite in {np.dtype(dtype)}, got weights up "
                f"to {max(-ranges.low.min(), ranges.high.max()):.3g}; scale them down."
            )
        again = _in_dtype(qparams_for(*ends, grid), dtype)
        # A zero point is rounded anew each time: the range would drift.
        if not grid.symmetric or np.array_equal(again.scale, qparams.scale):
            break
        qparams = again
    return qparams


def _number(integer: int, qparams: QParams) -> np.ndarray:
    """Return the number for an integer of each grid, computed as `Quantized.dense` does."""
    zero = 0 if qparams.zero_point is None else qparams.zero_point.astype(np.int16)
    level = np.broadcast_to(integer - np.asarray(zero), qparams.scale.shape)
    return (level.astype(qparams.scale.dtype) * qparams.scale).astype(np.float64)


def _in_dtype(qparams: QParams, dtype: Any) -> QParams:
    """Return qparams whose scales have a dtype and are above 0."""
    info = jnp.finfo(dtype)
    # XLA treats numbers below the normal ones as zero, except those of float16.
    least = info.smallest_subnormal if np.dtype(dtype) == np.float16 else info.tiny
    with np.errstate(over="ignore", under="ignore"):
        scale = np.maximum(qparams.scale.astype(dtype), np.asarray(least, dtype))
    return qparams._replace(scale=scale)


def _slabs(shape: tuple[int, ...]) -> list[Any]:
    """Return indices of parts of about a million entries, as slices of the first axis."""
    if not shape:
        return [...]
    count = max(_BLOCK // max(math.prod(shape[1:]), 1), 1)
    return [slice(start, start + count) for start in range(0, shape[0], count)]


def _part_of(qparams: QParams, part: Any) -> QParams:
    return QParams(*(s if s is None or s.shape[:1] == (1,) else s[part] for s in qparams))
