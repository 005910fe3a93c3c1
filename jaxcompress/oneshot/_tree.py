"""Compression of a trained network in one call: no data, no training."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

from jaxcompress.artifact.writer import encoded, write
from jaxcompress.bounds import check_clusters
from jaxcompress.checks import check_concrete
from jaxcompress.leaves import dense
from jaxcompress.oneshot.quantizers import QUANTIZERS, weights_left
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.oneshot.stream import Pruning, Quantizer, by_technique, prune
from jaxcompress.oneshot.target import aim
from jaxcompress.trees import PyTree, Scope, kernels, plain_bytes


def compress(
    params: PyTree,
    *,
    sparsity: float = 0.0,
    clusters: int = 16,
    target_bytes: int | None = None,
    scope: Scope = kernels,
) -> PyTree:
    """Prune and share the weights of a trained network, without data and without training.

    `kmeans(apply_mask(params, magnitude_mask(params, sparsity)), clusters)`: weights of the
    smallest magnitude over all leaves are removed, the others share `clusters` values a leaf.
    Without fine-tuning accuracy falls early: above a sparsity of about 0.25 (a rule of thumb),
    train with `hold_mask`.

    Args:
        params: any pytree of concrete arrays; compressed leaves in it are made dense first. States
            of optimizers in it (`opt_state`, `mu` and `nu` that mirror the weights, ...) are kept
            exactly, whatever the scope, and a warning says so.
        sparsity: fraction of the weights in the scope to remove, in [0, 1).
        clusters: values that a leaf may use beside zero, 1 to 1024; a leaf of fewer distinct
            weights keeps them all.
        target_bytes: largest size of the file of `save` with the layout "entropy";
            `entropy_constrained` then replaces `kmeans`, at the lowest rate weight that fits.
        scope: which leaves are compressed.

    Returns:
        `params` with `Clustered` leaves in the scope, all others as they are; for `save`.

    Raises:
        ValueError: a value out of range, NaN or infinite weights, an empty scope, a size that
            cannot be met.
        TypeError: called under `jit`, or the scope chooses leaves of other numbers than floats.

    Example:
        >>> import numpy as np
        >>> params = {"kernel": np.array([[0.1, 2.0], [-3.0, 2.2]])}
        >>> small = compress(params, sparsity=0.25, clusters=2)
        >>> dense(small)["kernel"].round(2).tolist()
        [[0.0, 2.1], [-3.0, 2.1]]

    Source: Han et al. 2016 (Deep Compression), arXiv:1510.00149, without its training.
    """
    check_clusters(clusters)
    check_concrete("compress", params)
    source = TreeSource(dense(params))
    pruning = prune(source, sparsity, scope=scope)
    kept = [leaf for leaf, state in zip(source.leaves, pruning.states, strict=True) if state]
    if kept:
        warnings.warn(
            f"params: {len(kept)} tensors of {sum(map(plain_bytes, kept)):,} bytes are the state "
            "of an optimizer and kept exactly; leave them out to save these bytes.",
            stacklevel=2,
        )
    if target_bytes is None:
        technique = QUANTIZERS["kmeans"].technique(clusters, weights_left(pruning))
        leaves = list(pruning.share(by_technique(technique)))
    else:
        leaves = _within(pruning, target_bytes)
    return source.named.rebuild(
        [
            leaf if pick else original
            for (_, leaf), pick, original in zip(leaves, pruning.chosen, source.leaves, strict=True)
        ]
    )


def _within(pruning: Pruning, target_bytes: int) -> list[tuple[str, Any]]:
    """Return paths and leaves of the tree with the largest file that fits."""
    best, best_size = [], 0

    def attempt(quantizer: Quantizer, rate_weight: float) -> int:
        nonlocal best, best_size
        del rate_weight
        leaves = list(pruning.share(quantizer))
        parts = encoded(leaves, pruning.source.leaves, "entropy")
        size = write(file, parts, pruning.source.outline)
        if best_size < size <= target_bytes:
            best, best_size = leaves, size
        return size

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "attempt.npz"
        aim(pruning, target_bytes, attempt)
    return best
