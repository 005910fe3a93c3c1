"""Everything tried on one network: the outcome of each trial, or why it failed."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxcompress as jc
from benchmarks.works_with.cases import Case
from jaxcompress.scopes import is_floating, named_leaves

REMOVED = 0.25
"""The fraction of the units to remove."""


def trials(case: Case) -> dict[str, Any]:
    """Return the outcome of each trial by name: its figures, or `{"failed": why}`."""
    groups = _groups(case)
    found: dict[str, Callable[[], dict[str, Any]]] = {
        "trace": lambda: _traced(case, groups()),
        "cut": lambda: _cut(case, groups()),
        "quantize": lambda: _quantized(case),
        "execute": lambda: _executed(case),
        "export": lambda: _exported(case),
        "file": lambda: _round_trip(case),
    }
    return {name: _outcome(trial) for name, trial in found.items()}


def _outcome(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*distinct weights are fewer")  # the nets are tiny
            return trial()
    except Exception as error:  # noqa: BLE001  (the reason is the outcome)
        said = "".join(c if c.isprintable() else " " for c in str(error))
        return {"failed": f"{type(error).__name__}: {' '.join(said.split())}"}


def _rebuild(case: Case) -> dict[str, Any]:
    return {} if case.rebuild is None else {"rebuild": case.rebuild}


def _groups(case: Case) -> Callable[[], jc.prune.UnitGroups]:
    """Return what finds the groups, once; code that checks its sizes is rebuilt where it can be."""
    known: list[jc.prune.UnitGroups] = []

    def find() -> jc.prune.UnitGroups:
        if not known:
            found = jc.unit_groups(case.apply, case.params, *case.inputs, **_rebuild(case))
            known.append(found)
        return known[0]

    return find


def _traced(case: Case, groups: jc.prune.UnitGroups) -> dict[str, Any]:
    named = named_leaves(case.params)
    inside, total = 0, 0
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        mark = np.zeros(leaf.shape, bool)
        for part in (part for group in groups for part in group.slices if part.path == path):
            mark[(slice(None),) * part.axis + (np.unique(part.indices),)] = True
        inside, total = inside + int(mark.sum()), total + mark.size
    return {
        "parameters": total,
        "coverage": inside / total,
        "groups": len(groups),
        "units": sum(group.size for group in groups),
        "changing": sum(group.changes_function for group in groups),
        "untried": sum(bool(_untried(group)) for group in groups),
        "unknown": sorted(groups.unknown),
        "rebuilt": case.rebuild is not None,
    }


def _untried(group: jc.prune.UnitGroup) -> str:
    """Return why a group could not be tried out, nothing if it was."""
    return getattr(group, "untried", "")


def _cut(case: Case, groups: jc.prune.UnitGroups) -> dict[str, Any]:
    untried = {group.name: _untried(group) for group in groups}
    remove = {name: REMOVED for name, why in untried.items() if not why}
    if untried and not remove:
        raise ValueError(f"no group could be tried out: {next(iter(untried.values()))}")
    keep = jc.choose_units(case.params, groups, remove=remove)
    small = jc.shrink(case.params, groups, keep)
    apart = jc.check_shrink(case.apply, case.params, groups, keep, *case.inputs, **_rebuild(case))
    return {"kept": _entries(small) / _entries(case.params), "difference": apart}


def _entries(tree: Any) -> int:
    return sum(np.size(leaf) for leaf in jax.tree.leaves(tree))


def _quantized(case: Case) -> dict[str, Any]:
    expected = jax.jit(case.apply)(case.params, *case.inputs)
    rounded = jc.dense(jc.quantize(case.params, bits=8))
    ranges = jc.calibrate(case.apply, case.params, [case.inputs])
    simulate = jc.quantization.fake_quantized(case.apply, ranges, weight_bits=8)
    return {
        "weights": _difference(jax.jit(case.apply)(rounded, *case.inputs), expected),
        "simulated": _difference(simulate(case.params, *case.inputs), expected),
        "products": len(ranges),
        "left_float": len(ranges.left_float),
    }


LEAVES: dict[str, Callable[[Any], Any]] = {
    "Quantized": lambda params: jc.quantize(params, bits=8),
    "LowRank": lambda params: jc.low_rank(params, keep=0.6),
    "Clustered": lambda params: jc.kmeans(params, 16),
}


def _executed(case: Case) -> dict[str, Any]:
    fast, outcome = jc.execute(case.apply), {}
    for kind, compress in LEAVES.items():
        tree = compress(case.params)
        expected = jax.jit(case.apply)(jc.dense(tree), *case.inputs)
        outcome[kind] = _difference(fast(tree, *case.inputs), expected)
    return outcome


def _exported(case: Case) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        written = jc.export_onnx(path, case.apply, case.params, *case.inputs)
    return {"difference": written.difference, "any_batch": written.any_batch}


def _round_trip(case: Case) -> dict[str, Any]:
    tree = jc.kmeans(case.params, 16)
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), case.params)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        size = jc.save(path, tree)
        loaded = jc.load_into(path, template)
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), loaded, jc.dense(tree))
    if not all(jax.tree.leaves(same)):
        raise ValueError("what is loaded is not what was saved")
    dense = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(case.params))
    return {"bytes": size, "ratio": dense / size}


def _difference(got: Any, expected: Any) -> float:
    """Return the largest `|got - expected| / |expected|` of the results that are floats."""
    apart = 0.0
    for mine, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if is_floating(other):
            mine, other = np.asarray(mine, np.float64), np.asarray(other, np.float64)
            apart = max(apart, float(np.linalg.norm(mine - other) / np.linalg.norm(other)))
    return apart
