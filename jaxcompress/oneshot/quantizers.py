"""How the weights of a tensor come to share values: by name, as the command offers it."""

import functools

from jaxcompress import cluster
from jaxcompress.cluster import check_clusters, kmeans
from jaxcompress.oneshot.stream import Quantizer, by_technique

QUANTIZERS = ("kmeans", "uniform", "entropy")


def quantizer(name: str, *, clusters: int = 16, step: float | None = None) -> Quantizer:
    """Return the quantizer of that name.

    Args:
        name: one of `QUANTIZERS`.
        clusters: values a tensor may use beside zero, for `kmeans`.
        step: distance of neighbouring values in the unit of the weights, for `uniform`; for
            `entropy` the step whose fineness it spends its bits at.

    Raises:
        ValueError: an unknown name, a value out of range.
    """
    if name == "kmeans":
        check_clusters(clusters)
        return by_technique(functools.partial(kmeans, k=clusters))
    if name not in QUANTIZERS:
        raise ValueError(f"quantizer: must be one of {', '.join(QUANTIZERS)}, got {name!r}.")
    if step is None:
        raise ValueError(
            f"step: the quantizer {name!r} needs one, got none; pass a fraction of the weights' "
            "standard deviation."
        )
    if name == "uniform":
        return by_technique(functools.partial(cluster.uniform, step=step))
    rate_weight = cluster.high_rate_weight(step)
    return by_technique(functools.partial(cluster.entropy_constrained, rate_weight=rate_weight))
