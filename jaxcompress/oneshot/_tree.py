"""Compression of a trained network in one call: no training, and no data unless it is given."""

import functools
import math
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact.writer import encoded, write
from jaxcompress.bounds import check_positive, check_size
from jaxcompress.checks import check_concrete, check_together
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.oneshot.calibrated import (
    Leaves,
    calibrated,
    check_calibration,
    in_full,
    within,
)
from jaxcompress.oneshot.outcomes import Outcome, Report, error_together, outcome_of
from jaxcompress.oneshot.rules import Rule, Treatments, check_patterns
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.oneshot.stream import Pruning, prune
from jaxcompress.oneshot.survey import AVERAGE, MOST_ERROR, NOT_FINITE, STATE
from jaxcompress.oneshot.target import aim
from jaxcompress.oneshot.values import asked, asked_rule, check_rules
from jaxcompress.placement import on_host
from jaxcompress.quantization import WeightCalibration
from jaxcompress.trees import PyTree, Scope, kernels, named_leaves, some_of


def compress(
    params: PyTree,
    *,
    sparsity: float = 0.0,
    step_size: float | None = None,
    clusters: int | None = None,
    bits: int | None = None,
    block: int | None = None,
    calibration: WeightCalibration | None = None,
    damage: float | None = None,
    target_bytes: int | str | None = None,
    max_error: float | None = None,
    half: bool = False,
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    scope: Scope = kernels,
) -> PyTree:
    """Prune and round the weights of a trained network, without training.

    Weights of the smallest magnitude over all leaves are removed. The others become multiples of
    `step_size` root mean squares of their channel (`relative_step`), so that all channels have
    about the same relative error, `step_size / sqrt(12)`; small leaves have finer steps. With
    `bits` each channel has a grid, along the axis that leaves least error for its bytes; with
    `clusters` it is `kmeans(apply_mask(params, magnitude_mask(params, sparsity)), clusters)`.

    With a `calibration` the levels of the leaves that it has probes of are chosen by data, see
    `quantization.fit_levels`: at equal outputs files are often a third smaller. Their errors may
    be large where no output depends on them, so they are bounded by `max_error` only if it is
    given.

    Kept exactly are leaves outside of the scope; with the default scope vectors, tables of fewer
    than four rows, and small leaves beside much larger ones; leaves with NaN or infinity; and
    leaves that would not become smaller. Leaves of few distinct values keep them. Leaves that are
    equal to the bit become one object, which `save` stores once. Without fine-tuning accuracy falls
    early: above a sparsity of about 0.25 (a rule of thumb), train with `hold_mask`.

    Args:
        params: any pytree of concrete arrays; compressed leaves in it are made dense first. States
            of optimizers in it (`opt_state`, `mu` and `nu` that mirror the weights, ...) and
            averages of the weights are kept exactly, whatever the scope, and a warning says so.
        sparsity: fraction of the weights in the scope to remove, in [0, 1).
        step_size: distance of values, in root mean squares of the weights of a channel; 0.1 if
            nothing else is said.
        clusters: values that a leaf may use beside zero, 1 to 1024, instead of a step size; a leaf
            of fewer distinct weights keeps them all.
        bits: of a weight, 1 to 8, instead of a step size; with `target_bytes` the most of a leaf.
        block: most weights of a channel that share a grid.
        calibration: from `quantization.calibrate_weights`, instead of a step size.
        damage: with a calibration, that of all its leaves together.
        target_bytes: largest size of the file of `save`, 20_000 or "20KB", which then chooses the
            step size, or the damage.
        max_error: largest relative error of a leaf, `||a - b|| / ||a||`; steps become finer where
            it would be larger. By default they do from 0.5 on, and an error of 0.9 is refused.
            With a calibration larger errors are refused.
        half: whether vectors, small leaves and those outside of the scope are stored in sixteen
            bits, where no number changes by more than one part in 256.
        rules: settings of leaves by pattern of their path, the first that matches:
            `{"*embed*": {"bits": 8}, "head": {"keep": True}}`. They are `keep`, `quantizer` (a way
            of `jaxcompress pack`), `bits`, `clusters`, `step_size`, `sparsity` (of the leaves of
            the rule together), `block` and `channel_axis` ("first", "last", "auto").
        scope: which leaves are compressed.

    Returns:
        `params` with `Quantized`, `Clustered` and `Half` leaves, all others as they are; for
        `save`. `report` tells how far they are from the original.

    Raises:
        ValueError: values out of range or that do not go together, a rule that matches no leaf, an
            empty scope, a leaf of which nothing would be left or
            whose error is too large, a size that cannot be met, a network that is mostly NaN.
        TypeError: called under `jit`, or the scope chooses leaves of other numbers than floats.

    Example:
        >>> params = {"kernel": np.random.default_rng(0).standard_normal((64, 64))}
        >>> small = compress(params, step_size=0.5)
        >>> round(report(params, small).relative_error, 2)
        0.15

    Source: Han et al. 2016 (Deep Compression), arXiv:1510.00149, without its training.
    """
    check_concrete("compress", params)
    if target_bytes is not None:
        target_bytes = check_size("target_bytes", target_bytes)
    if max_error is not None:
        max_error = check_positive("max_error", max_error, "pass 0.2, say")
    source = TreeSource(dense(params))
    values = {"bits": bits, "clusters": clusters, "step_size": step_size}
    check_calibration(calibration, damage, target_bytes, values | {"block": block})
    usual = asked("", values, aims=target_bytes is not None, block=block)
    treatments = Treatments(usual, _rules({} if rules is None else rules, source.paths))
    check_rules(treatments)
    floor = MOST_ERROR if max_error is None else max_error
    pruning = prune(
        source, sparsity, scope=scope, treatments=treatments, max_error=floor, halves=half
    )
    _warn_of(pruning)
    if calibration is not None:
        found, outcomes = _fitted(pruning, treatments, calibration, damage, target_bytes)
        max_error = math.inf if max_error is None else max_error
    elif target_bytes is None:
        found, outcomes = _all(pruning, treatments)
    else:
        found, outcomes = _within(pruning, treatments, target_bytes)
    Report(outcomes).check("params", max_error, option="max_error")
    if bad := [outcome.path for outcome in outcomes if outcome.kept == NOT_FINITE]:
        warnings.warn(
            f"{some_of(bad)}: must be finite to be compressed, got NaN or infinity; kept exactly.",
            stacklevel=2,
        )
    return source.named.rebuild(
        [
            leaf if is_compressed(leaf) else original
            for leaf, original in zip(in_full(found), source.leaves, strict=True)
        ]
    )


def report(params: PyTree, compressed: PyTree) -> Report:
    """Return how far a compressed tree is from the original, leaf by leaf.

    Args:
        params: the original.
        compressed: the same tree with compressed leaves.

    Raises:
        ValueError: the trees have other paths or shapes.

    Example:
        >>> params = {"w": np.array([[3.0, 4.0]]), "b": np.ones(2)}
        >>> found = report(params, {"w": np.array([[3.0, 3.0]]), "b": np.ones(2)})
        >>> found.worst[0].path, found.worst[0].relative_error, list(found.kept)
        ('w', 0.2, ['the same'])
    """
    before, after = (named_leaves(tree, is_leaf=is_compressed) for tree in (params, compressed))
    shapes = [[tuple(leaf.shape) for leaf in tree.leaves] for tree in (before, after)]
    if before.paths != after.paths or shapes[0] != shapes[1]:
        raise ValueError(
            f"compressed: must have the leaves of params, got others than "
            f"{some_of(before.paths)}; pass the tree that was compressed."
        )
    found = []
    for path, leaf, other in zip(before.paths, before.leaves, after.leaves, strict=True):
        tensor = on_host(dense({path: leaf})[path])
        result = on_host(dense({path: other})[path])
        is_same = np.array_equal(tensor, result, equal_nan=tensor.dtype.kind in "fc")
        same = Outcome(path, tensor.size, "the same")
        found.append(same if is_same else outcome_of(path, tensor, result))
    return Report(found)


def output_error(
    apply: Callable[..., Any], params: PyTree, compressed: PyTree, batches: Iterable[Any]
) -> float:
    """Return how far outputs with compressed weights are from those with the original ones.

    `||f(a, x) - f(b, x)|| / ||f(a, x)||` over all outputs of all batches together.

    Args:
        apply: `apply(params, *inputs)`, of any outputs of floating-point numbers.
        params: the original a.
        compressed: the tree b; its leaves are made dense.
        batches: of inputs, each a tuple of arguments or the only one.

    Raises:
        ValueError: no batches, or those of one process for parameters that span several.

    Example:
        >>> params = {"w": np.array([[3.0, 4.0]])}
        >>> def apply(params, x):
        ...     return x @ params["w"]
        >>> output_error(apply, params, {"w": np.array([[3.0, 3.0]])}, [np.ones((2, 1))])
        0.2
    """
    plain, total = dense(compressed), []
    for batch in batches:
        inputs = batch if isinstance(batch, tuple) else (batch,)
        check_together("batches", inputs, params)
        exact, found = (jax.tree.leaves(apply(tree, *inputs)) for tree in (params, plain))
        pairs = zip(exact, found, strict=True)
        total += [outcome_of("", on_host(a), on_host(b)) for a, b in pairs]
    if not total:
        raise ValueError("batches: must hold at least one, got none; pass a list of inputs.")
    return error_together(total)


def _rules(rules: Mapping[str, Mapping[str, Any]], paths: Sequence[str]) -> tuple[Rule, ...]:
    found = []
    if not isinstance(rules, Mapping):
        raise TypeError(
            f"rules: must be a mapping from pattern to settings, got {type(rules).__name__}; pass "
            "{'head': {'keep': True}}, say."
        )
    for pattern, settings in rules.items():
        where = f"rules: {pattern!r}: "
        if not isinstance(pattern, str) or not isinstance(settings, Mapping):
            raise TypeError(
                f"{where}must be the text of a pattern, and a mapping of settings, got "
                f"{settings!r}; "
                "pass {'bits': 8} or {'keep': True}, say."
            )
        if "layout" in settings:
            raise ValueError(f"{where}layout: is of files; leave it out, and pass it to save.")
        found.append(asked_rule(where, pattern, settings))
    check_patterns(paths, found)
    return tuple(found)


def _warn_of(pruning: Pruning) -> None:
    for reason in (STATE, AVERAGE):
        if sizes := pruning.sizes_kept(reason):
            warnings.warn(
                f"params: {len(sizes)} tensors of {sum(sizes):,} bytes are {reason} and kept "
                "exactly; leave them out to save these bytes.",
                stacklevel=3,
            )


def _all(pruning: Pruning, treatments: Treatments) -> Leaves:
    outcomes: list[Outcome] = []
    return list(pruning.all_leaves(treatments, outcomes)), outcomes


def _fitted(
    pruning: Pruning,
    treatments: Treatments,
    calibration: WeightCalibration,
    damage: float | None,
    target_bytes: int | None,
) -> Leaves:
    """Return leaves fitted to data, at a damage or of a size."""
    weights = calibrated(pruning, treatments, calibration)
    if target_bytes is None:
        assert damage is not None  # checked before
        return weights.leaves(damage)
    return within(weights, target_bytes, functools.partial(_written, pruning))


def _written(pruning: Pruning, file: Path, leaves: Sequence[tuple[str, Any]]) -> int:
    parts = encoded(leaves, pruning.source.leaves, "entropy")
    return write(file, parts, pruning.source.outline)


def _within(pruning: Pruning, treatments: Treatments, target_bytes: int) -> Leaves:
    """Return the leaves of the largest file that fits."""
    best: Leaves = [], []
    best_size = 0

    def attempt(tried: Treatments) -> int:
        nonlocal best, best_size
        found = _all(pruning, tried)
        size = _written(pruning, file, found[0])
        if best_size < size <= target_bytes:
            best, best_size = found, size
        return size

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "attempt.npz"
        aim(pruning, treatments, target_bytes, attempt)
    return best
