"""Weight sharing: the weights of a layer take the values of a small codebook.

In one dimension K-Means needs no iteration from a random start: an optimal clustering cuts the
sorted weights into k runs, and dynamic programming finds the cuts.
"""

import warnings

import numpy as np

from jaxcompress.bounds import check_clusters
from jaxcompress.leaves import Clustered
from jaxcompress.sharing._members import Members, cells_of, round_down, share_leaves
from jaxcompress.sharing._runs import changes
from jaxcompress.sharing.magnitudes import best_means
from jaxcompress.trees import PyTree, Scope, kernels


def kmeans(params: PyTree, k: int, *, mask: PyTree | None = None, scope: Scope = kernels) -> PyTree:
    """Share the weights of every leaf in the scope by K-Means, one codebook a leaf.

    Minimises `sum_i (w_i - codebook[code_i])^2` over codebooks of at most `k` values: exactly
    for up to 512 distinct weights. Above, the minimum is exact over a grid of 512 to 8192 possible
    cuts of the sorted weights; then all cuts are refined together in shrinking windows, down to
    single weights (measured: within 0.01 % of the exact minimum).

    Pruned weights keep a code of their own, exact zero, and are not counted in `k`.

    Gathered to the host: one leaf in the scope at a time with its mask, 5 bytes for each weight
    of float32.

    Args:
        params: any pytree of concrete arrays.
        k: clusters for the non-zero weights of a leaf, 1 to 1024. A leaf of fewer distinct
            weights gets a codebook of that length, and a warning says so.
        mask: True where a weight is a member, as pruning gave it; default: the non-zero weights.
        scope: which leaves are shared.

    Returns:
        `params` with `Clustered` leaves in the scope. Every member has the code of the nearest
        entry of its codebook; ties take the smaller value.

    Raises:
        ValueError: `k` out of range, NaN or infinite weights, an empty scope, another mask tree.
        TypeError: called under `jit`, as the clustering is an analysis of concrete weights; or the
            scope chooses leaves of other numbers than floats.

    Example:
        >>> shared = kmeans({"kernel": np.array([[0.0, 1.0, 1.2], [5.0, 5.2, 0.0]])}, 2)
        >>> shared["kernel"].codes.tolist(), shared["kernel"].codebook.round(3).tolist()
        ([[0, 1, 1], [2, 2, 0]], [1.1, 5.1])

    Source: Han et al. 2016 (Deep Compression), arXiv:1510.00149; the dynamic programming is that of
    Wang and Song 2011, The R Journal 3(2).
    """
    check_clusters(k)
    short: list[str] = []

    def share(members: Members) -> Clustered:
        leaf, few = _share(members, k)
        if len(leaf.codebook) < k:
            reason = "distinct weights" if few else f"distinct means in {members.tensor.dtype}"
            short.append(
                f"{members.path}: its {reason} are fewer than the {k} clusters asked for; its "
                f"codebook has {len(leaf.codebook)} entries."
            )
        return leaf

    shared = share_leaves("kmeans", params, mask, scope, share)
    for text in short:
        warnings.warn(text, stacklevel=2)
    return shared


def _share(members: Members, k: int) -> tuple[Clustered, bool]:
    """Cluster one tensor; also return whether it has fewer distinct weights than clusters."""
    ordered = members.ordered()
    starts = changes(ordered)
    few = len(starts) - 1 <= k
    codebook = ordered[starts[:-1]] if few else best_means(ordered, starts, k)
    codebook = codebook.astype(members.tensor.dtype)
    codebook, cuts = _without_empty(ordered, np.unique(codebook))
    codes = cells_of(members.values, cuts)
    codes += 1
    return members.clustered(codes, codebook), few


def _without_empty(ordered: np.ndarray, codebook: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop entries that are nearest to no member; return codebook and the cuts between entries.

    A cut is the midpoint, rounded down to the dtype of the members.
    """
    while True:
        wide = codebook.astype(np.float64)
        with np.errstate(over="ignore"):
            middle = (wide[1:] + wide[:-1]) / 2
        middle = np.where(np.isfinite(middle), middle, wide[1:] / 2 + wide[:-1] / 2)
        cuts = round_down(middle, ordered.dtype)
        ends = np.searchsorted(ordered, cuts, side="right")
        used = np.diff(ends, prepend=0, append=ordered.size) > 0
        if used.all() or not ordered.size:
            return codebook, cuts
        codebook = codebook[used]
