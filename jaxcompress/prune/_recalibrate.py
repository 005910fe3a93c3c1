"""Running statistics estimated anew, as after a cut."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_finite, check_fits, nonempty_batches
from jaxcompress.placement import like, on_host
from jaxcompress.trees import NamedLeaves, PyTree, is_floating, named_leaves

_PROBE_BITS = 30  # a probe is so much larger that the batch's own part is lost in rounding
_DIGITS = 7  # digits of a momentum that float32 holds: 0.9900000095 stands for 0.99


def recalibrate(
    update: Callable[[PyTree, Any], PyTree], stats: PyTree, batches: Iterable[Any]
) -> PyTree:
    """Return running statistics as the plain mean over batches, whatever their momentum.

    Norms keep moving averages, `new = m * old + (1 - m) * b`, where `b` is the statistic of one
    batch. After a cut it takes hundreds of batches to forget the old values, and then the last
    batches count most. `update` from 0 gives `(1 - m) * b`, and from a large number `m`: the mean
    of `b` needs nothing else.

    Args:
        update: `update(stats, batch) -> stats`, the update of a forward pass in training mode;
            compile it with `jax.jit`. It is called once a batch, and twice on the first two.
        stats: what it updates. Integers, booleans and keys are handed from batch to batch.
        batches: of training data; 20 to 100 are enough.

    Returns:
        A tree like `stats`. Statistics that `update` leaves alone (`m = 1`) are kept.

    Raises:
        ValueError: no batches; an update that leaves all statistics alone, as in evaluation mode;
            statistics that are not moving averages or whose momentum changes, NaN or infinity,
            results narrower than float32.

    Example:
        >>> update = lambda stats, x: {"mean": 0.99 * stats["mean"] + 0.01 * x.mean()}
        >>> batches = [jnp.array([1.0, 3.0]), jnp.array([5.0, 7.0])]
        >>> print(recalibrate(update, {"mean": jnp.array(100.0)}, batches)["mean"])
        4.0

    Source: Wu and Johnson 2021 ("precise" statistics), arXiv:2105.07576.
    """
    named = named_leaves(stats)
    olds = {p: a for p, a in zip(named.paths, named.leaves, strict=True) if is_floating(a)}
    rest = {p: a for p, a in zip(named.paths, named.leaves, strict=True) if p not in olds}
    split = _SplitUpdate(update, named)
    zeros = {path: _filled(old, 0) for path, old in olds.items()}
    sums = {path: np.zeros(old.shape) for path, old in olds.items()}
    momenta, count = {}, 0
    for batch in nonempty_batches(batches, "20 to 100 are enough"):
        parts, after = split(zeros, rest, batch)
        if count < 2:  # the second shows whether momenta depend on the number of batches before
            momenta = _momenta(split, parts, zeros, rest, batch, momenta)
        rest, count = after, count + 1
        sums = {path: total + parts[path] for path, total in sums.items()}
    entries = [momentum for momentum in momenta.values() if momentum.size]
    if entries and all(np.all(momentum == 1) for momentum in entries):
        raise ValueError(
            "update: must change statistics, got all of them as they were; run the network in "
            "training mode."
        )
    means = {path: _mean(old, sums[path] / count, momenta[path]) for path, old in olds.items()}
    return named.rebuild([(means if path in means else rest)[path] for path in named.paths])


Leaves = dict[str, Any]


class _SplitUpdate(NamedTuple):
    """The update of one batch, with floating-point statistics apart from the rest."""

    update: Callable[[PyTree, Any], PyTree]
    named: NamedLeaves

    def __call__(
        self, averages: Leaves, rest: Leaves, batch: Any
    ) -> tuple[dict[str, np.ndarray], Leaves]:
        before = {**averages, **rest}
        given = self.named.rebuild([before[path] for path in self.named.paths])
        result = self.update(given, batch)
        check_fits("the result of update", result, "stats", given)
        after = dict(zip(self.named.paths, jax.tree.leaves(result), strict=True))
        return {path: _wide(path, after.pop(path)) for path in averages}, after


def _filled(leaf: Any, value: float) -> jax.Array:
    return jnp.full(leaf.shape, value, jnp.promote_types(leaf.dtype, jnp.float32))


def _wide(path: str, leaf: Any) -> np.ndarray:
    if leaf.dtype.itemsize < 4:
        raise ValueError(
            f"{path}: update must give float32 or wider from float32, got {leaf.dtype}, too narrow "
            "to tell a momentum; do not convert its result."
        )
    wide = np.asarray(on_host(leaf), np.float64)
    check_finite(path, wide)
    return wide


def _momenta(
    split: _SplitUpdate,
    parts: Mapping[str, np.ndarray],
    zeros: Mapping[str, jax.Array],
    rest: Leaves,
    batch: Any,
    known: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return `m` by path: the update from a probe less the update from 0, divided by the probe.

    Probes are powers of 2, which lose no digit of `m`.
    """
    sizes = {
        path: 2.0 ** (_PROBE_BITS + np.ceil(np.log2(np.abs(part).max(initial=1))))
        for path, part in parts.items()
    }
    probes = {path: _filled(zero, sizes[path]) for path, zero in zeros.items()}
    found, _ = split(probes, rest, batch)
    result = {}
    for path, part in parts.items():
        momentum = (found[path] - part) / sizes[path]
        if zeros[path].dtype == jnp.float32:
            momentum = np.round(momentum, _DIGITS)
        _check_momentum(path, momentum, part, known.get(path, momentum))
        result[path] = momentum
    return result


def _check_momentum(path: str, momentum: np.ndarray, part: np.ndarray, known: np.ndarray) -> None:
    frozen = (momentum == 1) & (part == 0)
    bad = ~(((momentum >= 0) & (momentum < 1)) | frozen)
    if bad.any():
        raise ValueError(
            f"{path}: must be a moving average, m * old + (1 - m) * b with m in [0, 1), got m = "
            f"{momentum[bad].flat[0]:.6g}; leave what is none out of stats."
        )
    changed = np.abs(momentum - known) > 1e-6
    if changed.any():
        raise ValueError(
            f"{path}: momentum must be the same for every batch, got {known[changed].flat[0]:.6g}, "
            f"then {momentum[changed].flat[0]:.6g}; set counts of batches so that it is constant."
        )


def _mean(old: Any, part: np.ndarray, momentum: np.ndarray) -> jax.Array:
    """Return `b` from the mean of `(1 - m) * b`, and the old value where `m` is 1."""
    frozen = momentum == 1
    mean = np.where(
        frozen, np.asarray(on_host(old), np.float64), part / np.where(frozen, 1, 1 - momentum)
    )
    return like(jnp.asarray(mean, old.dtype), old)
