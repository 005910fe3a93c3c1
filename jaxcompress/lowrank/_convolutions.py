"""Convolution kernels as products of more than two factors, by the decompositions of tensorly."""

import contextlib
import functools
import math
import warnings
from typing import Any, Protocol

import numpy as np

from jaxcompress.bounds import check_fraction
from jaxcompress.checks import check_concrete, check_floats
from jaxcompress.extras import library
from jaxcompress.leaves import LowRank, is_compressed
from jaxcompress.leaves.lowrank import factors_along
from jaxcompress.lowrank._svd import near_one
from jaxcompress.placement import on_host
from jaxcompress.trees import (
    PyTree,
    Scope,
    as_jax,
    in_scope,
    is_floating,
    named_leaves,
    widened,
)


class ConvolutionMethod(Protocol):
    """From a kernel HWIO to a product, or None where no product is that small."""

    def __call__(self, kernel: np.ndarray, /, *, keep: float) -> LowRank | None:
        """Return a product of at most the fraction `keep` of the kernel's parameters."""
        ...


def convolutions(path: str, leaf: Any) -> bool:
    """Scope of floating-point leaves of rank 4: kernels HWIO.

    Example:
        >>> convolutions("conv", np.ones((3, 3, 8, 16))), convolutions("dense", np.ones((8, 16)))
        (True, False)
    """
    del path
    return is_floating(leaf) and len(leaf.shape) == 4


def low_rank_convolutions(
    params: PyTree, method: ConvolutionMethod, *, keep: float, scope: Scope = convolutions
) -> PyTree:
    """Replace convolution kernels by products of three or four factors where that is smaller.

    Args:
        params: any pytree of concrete arrays; compressed leaves are kept unchanged.
        method: `tucker2`, `cp`, or another function of a kernel and `keep`.
        keep: fraction of the parameters of each kernel that is kept, in (0, 1].
        scope: which leaves are replaced; they must have four axes, HWIO.

    Returns:
        `params` with `LowRank` leaves. A kernel is kept unchanged if no product is that small, or
        if it is 0.

    Raises:
        ValueError: a fraction out of range, kernels that do not have four axes, NaN or infinity,
            an empty scope.
        TypeError: called under `jit`, or `keep` is not a number.
        MissingLibraryError: `tucker2` and `cp` without tensorly.

    Example:
        >>> kernel = np.ones((3, 3, 8, 16), np.float32)
        >>> leaf = low_rank_convolutions({"conv": kernel}, tucker2, keep=0.2)["conv"]
        >>> leaf.shape, [factor.shape for factor in leaf.factors]
        ((3, 3, 8, 16), [(8, 2), (3, 3, 2, 5), (5, 16)])
    """
    keep = check_fraction("keep", keep)
    check_concrete("low_rank_convolutions", params)
    named = named_leaves(params, is_leaf=is_compressed)

    def product(path: str, leaf: Any) -> Any:
        kernel = on_host(leaf)
        if kernel.ndim != 4:
            raise ValueError(
                f"{path}: kernels must have four axes HWIO, got shape {kernel.shape}; leave it out "
                "of the scope."
            )
        found = method(widened(check_floats(path, kernel)), keep=keep)
        if found is None or sum(factor.size for factor in found.factors) >= kernel.size:
            return leaf
        factors = tuple(as_jax(np.asarray(f, kernel.dtype)) for f in found.factors)
        return factors_along(LowRank(factors=factors, equation=found.equation), leaf)

    return named.rebuild(
        [
            product(path, leaf) if pick and not is_compressed(leaf) else leaf
            for path, leaf, pick in zip(
                named.paths, named.leaves, in_scope(named, scope), strict=True
            )
        ]
    )


def tucker2(kernel: np.ndarray, *, keep: float) -> LowRank | None:
    """Return a 1x1 convolution to fewer channels, a convolution on those, and a 1x1 one back.

    `kernel = einsum("ir,hwrs,so->hwio", ...)`, with `r` and `s` the same fraction of the channels.

    Args:
        kernel: `[height, width, inputs, outputs]`.
        keep: fraction of its parameters that is kept.

    Returns:
        The product; None where no product is that small, and for a kernel that is 0.

    Raises:
        MissingLibraryError: without tensorly, the extra `lowrank`.

    Example:
        >>> leaf = tucker2(np.ones((3, 3, 8, 16)), keep=0.2)
        >>> [factor.shape for factor in leaf.factors], leaf.dense().round(6).max().tolist()
        ([(8, 2), (3, 3, 2, 5), (5, 16)], 1.0)

    Source: Kim et al. 2016, arXiv:1511.06530.
    """
    h, w, i, o = kernel.shape
    # h w i o x^2 + (i^2 + o^2) x = keep h w i o
    size, sides = kernel.size, i * i + o * o
    x = (math.sqrt(sides**2 + 4 * keep * size**2) - sides) / (2 * size)
    r, s = max(int(x * i), 1), max(int(x * o), 1)
    r, s = min(r, h * w * s), min(s, h * w * r)  # a matrix has no higher rank than it has columns
    if i * r + h * w * r * s + s * o > keep * size or not kernel.any():
        return None
    unit, power = near_one(kernel)
    (core, (first, last)), _ = _tensorly().partial_tucker(unit, rank=[r, s], modes=[2, 3])
    factors = (first, np.ldexp(core, 2 * power), last.T)
    return LowRank(factors=factors, equation="ir,hwrs,so->hwio")


def cp(kernel: np.ndarray, *, keep: float, seed: int = 0) -> LowRank | None:
    """Return four convolutions: 1x1, depthwise along height and along width, and 1x1.

    `kernel = einsum("hr,wr,ir,or->hwio", ...)`, by alternating least squares. Large
    kernels take long to approximate, and the result trains badly.

    Args:
        kernel: `[height, width, inputs, outputs]`.
        keep: fraction of its parameters that is kept.
        seed: of the columns at the start of the search that the kernel does not determine.

    Returns:
        The product; None where no product is that small, and for a kernel that is 0.

    Raises:
        MissingLibraryError: without tensorly, the extra `lowrank`.

    Example:
        >>> leaf = cp(np.ones((3, 3, 8, 16)), keep=0.03)
        >>> [factor.shape for factor in leaf.factors], leaf.dense().round(6).max().tolist()
        ([(3, 1), (3, 1), (8, 1), (16, 1)], 1.0)

    Source: Lebedev et al. 2015, arXiv:1412.6553.
    """
    rank = int(keep * kernel.size / sum(kernel.shape))
    if not rank or not kernel.any():
        return None
    unit, power = near_one(kernel)
    factors = [factor.astype(np.float64) for factor in _parallel(unit, rank, seed)]
    norms = [np.maximum(np.linalg.norm(f, axis=0), np.finfo(np.float32).tiny) for f in factors]
    common = (math.prod(norms) * 4.0**power) ** (1 / len(norms))
    balanced = tuple(f * (common / norm) for f, norm in zip(factors, norms, strict=True))
    return LowRank(factors=balanced, equation="hr,wr,ir,or->hwio")


def _parallel(kernel: np.ndarray, rank: int, seed: int) -> list[np.ndarray]:
    """Return the factors of CP, all of them finite.

    A kernel of lower rank than `rank` does not determine all columns. These overflow, or cannot be
    solved for. The search then starts again from random columns, with a ridge.
    """
    parafac = functools.partial(_tensorly().parafac, rank=rank, random_state=seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.filterwarnings("ignore", message="Trying to compute SVD")  # of short axes
        with contextlib.suppress(np.linalg.LinAlgError):
            weights, factors = parafac(kernel)
            if all(np.isfinite(factor).all() for factor in factors):
                return [factors[0] * weights, *factors[1:]]
        wide = kernel.astype(np.float64)
        weights, factors = parafac(wide, init="random", l2_reg=_RIDGE)
    return [factors[0] * weights, *factors[1:]]


_RIDGE = 1e-6
"""For kernels whose largest entry is near 1: their error grows by about this much."""


def _tensorly() -> Any:
    return library("tensorly.decomposition", "lowrank", extra="lowrank")
