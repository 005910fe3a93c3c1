"""Weight sharing: the weights of a layer take the values of a small codebook.

Weights are numbers on a line, so K-Means needs no iteration from a random start: an optimal
clustering cuts the sorted weights into k runs, and dynamic programming finds the cuts.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_finite, check_fits
from jaxcompress.leaves import Clustered
from jaxcompress.runs import Runs
from jaxcompress.trees import PyTree, Scope, as_jax, in_scope, is_traced, kernels, named_leaves

MOST_CLUSTERS = 1024
_BLOCK = 1 << 16  # weights assigned at a time: they and their codes stay in the cache


def kmeans(params: PyTree, k: int, *, mask: PyTree | None = None, scope: Scope = kernels) -> PyTree:
    """Share the weights of every leaf in the scope by K-Means, one codebook a leaf.

    Minimises `sum_i (w_i - codebook[code_i])^2` over codebooks of at most `k` values: exactly
    for up to 512 distinct weights; above, exactly over a grid of 512 to 8192 places to cut the
    sorted weights, from where all cuts move together, window by window, down to single weights
    (measured: within 0.01 % of the exact minimum).

    Pruned weights keep a code of their own, exact zero, and are not counted in `k`.

    Args:
        params: any pytree of concrete arrays.
        k: clusters for the non-zero weights of a leaf, 1 to 1024. A leaf of fewer distinct
            weights gets a codebook of that length, and a warning says so.
        mask: True where a weight is a member, as pruning gave it; default: the non-zero weights.
        scope: which leaves are shared.

    Returns:
        `params` with `Clustered` leaves in the scope. Every member has the code of the nearest
        entry of its codebook; ties go to the smaller value.

    Raises:
        ValueError: `k` out of range, NaN or infinite weights, an empty scope, another mask tree.
        TypeError: called under `jit`; the clustering is an analysis of concrete weights.

    Example:
        >>> shared = kmeans({"kernel": np.array([[0.0, 1.0, 1.2], [5.0, 5.2, 0.0]])}, 2)
        >>> shared["kernel"].codes.tolist(), shared["kernel"].codebook.round(3).tolist()
        ([[0, 1, 1], [2, 2, 0]], [1.1, 5.1])

    Source: Han et al. 2016 (Deep Compression), arXiv:1510.00149; the dynamic programme is that of
    Wang and Song 2011, The R Journal 3(2).
    """
    check_clusters(k)
    if is_traced(params):
        raise TypeError("kmeans: weights must be concrete, got tracers; call it outside of jit.")
    named = named_leaves(params)
    masks: list[Any] = [None] * len(named.leaves)
    if mask is not None:
        check_fits("mask", mask, "params", params)
        masks = jax.tree.leaves(mask)
    leaves = list(named.leaves)
    for index, pick in enumerate(in_scope(named, scope)):
        if pick:
            path, tensor = named.paths[index], np.asarray(leaves[index])
            leaves[index] = leaf = _share(path, tensor, k, masks[index])
            if len(leaf.codebook) < k:
                warnings.warn(
                    f"{path}: its distinct weights are fewer than the {k} clusters asked for; its "
                    f"codebook has {len(leaf.codebook)} entries.",
                    stacklevel=2,
                )
    return named.rebuild(leaves)


def check_clusters(k: int) -> None:
    """Refuse a number of clusters that is not an integer in 1 to 1024.

    Raises:
        TypeError: `k` is not an integer.
        ValueError: `k` is out of range.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise TypeError(f"clusters: k must be an integer, got {k!r}; pass 16, say.")
    if not 1 <= k <= MOST_CLUSTERS:
        raise ValueError(f"clusters: k must be in 1 to {MOST_CLUSTERS}, got {k}; pass 16, say.")


def _share(path: str, tensor: np.ndarray, k: int, mask: Any) -> Clustered:
    """Cluster one tensor."""
    check_finite(path, tensor)
    flat = tensor.ravel()
    values = flat if flat.dtype.itemsize >= 4 else flat.astype(np.float32)
    member = values != 0 if mask is None else np.asarray(mask).ravel().astype(bool)
    members = values if member.all() else values[member]
    ordered = np.sort(members)
    codebook = _codebook(ordered, k).astype(flat.dtype)
    codebook, cuts = _without_empty(ordered, np.unique(codebook))
    codes = nearest(values, cuts)
    codes += 1
    if members is not values:
        codes[~member] = 0
    shaped, entries = codes.reshape(tensor.shape), as_jax(codebook)
    # Both parts are numpy or both are JAX: numpy only for 64 bits that JAX would narrow.
    narrow = isinstance(entries, np.ndarray)
    return Clustered(codes=shaped if narrow else jnp.asarray(shaped), codebook=entries)


def nearest(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return for each value how many of the ascending `cuts` lie below it, as small integers.

    One comparison per cut and block beats a binary search per value up to hundreds of cuts.
    """
    codes = np.zeros(values.size, np.uint8 if len(cuts) < 255 else np.uint16)
    if len(cuts) > 256:
        codes[:] = np.searchsorted(cuts, values)
        return codes
    above = np.empty(min(_BLOCK, values.size), bool)
    for start in range(0, values.size, _BLOCK):
        block, block_codes = values[start : start + _BLOCK], codes[start : start + _BLOCK]
        flags = above[: block.size]
        for cut in cuts:
            np.greater(block, cut, out=flags)
            np.add(block_codes, flags.view(np.uint8), out=block_codes)
    return codes


def _without_empty(ordered: np.ndarray, codebook: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop entries to which no member is nearest; return codebook and the cuts between entries.

    A cut is the largest number of the dtype of the members that is not above the midpoint, so
    that comparing with it in that dtype equals comparing with the midpoint itself.
    """
    while True:
        wide = codebook.astype(np.float64)
        middle = (wide[1:] + wide[:-1]) / 2
        cuts = middle.astype(ordered.dtype)
        cuts = np.where(cuts > middle, np.nextafter(cuts, ordered.dtype.type(-np.inf)), cuts)
        ends = np.searchsorted(ordered, cuts, side="right")
        used = np.diff(ends, prepend=0, append=ordered.size) > 0
        if used.all() or not ordered.size:
            return codebook, cuts
        codebook = codebook[used]


def _codebook(ordered: np.ndarray, k: int) -> np.ndarray:
    """Return the means of the best `k` runs of sorted values, or all values if they are few."""
    if not ordered.size:
        return ordered
    runs = Runs(ordered)
    if runs.distinct <= k:
        return np.unique(ordered)
    grid = runs.grid(int(np.clip(32 * k, 512, 8192)))
    ends = runs.optimal(grid, k)
    return runs.means(ends if len(grid) > runs.size else runs.refine(ends))
