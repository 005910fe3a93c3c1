"""How far smaller weights and their outputs are from the original ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.checkpoints.network import Network, Weights
from benchmarks.checkpoints.ways import Small


def damage(original: np.ndarray, found: np.ndarray) -> float:
    """Return the distance of two arrays as a fraction of the first; what is not finite is equal."""
    finite = np.isfinite(original)
    if not np.array_equal(original[~finite], found[~finite], equal_nan=True):
        return np.inf
    before, after = original[finite].astype(np.float64), found[finite].astype(np.float64)
    size = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / size if size else float(np.any(after != 0))


def cosine(original: np.ndarray, found: np.ndarray) -> float:
    """Return the mean cosine of the examples."""
    before, after = (each.reshape(len(each), -1).astype(np.float64) for each in (original, found))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return float(np.mean(np.sum(before * after, axis=1) / np.maximum(lengths, 1e-300)))


def judged(network: Network, original: np.ndarray, small: Small) -> dict[str, Any]:
    """Return what became of the weights and of the outputs."""
    errors = {k: damage(v, small.weights[k]) for k, v in network.weights.items()}
    worst = max(errors, key=lambda name: errors[name])
    outputs = network.outputs(small.weights)
    return {
        "bytes": small.size,
        "seconds": round(small.seconds, 2),
        "worst": errors[worst],
        "worst_tensor": f"{worst} {list(network.weights[worst].shape)}",
        "above_20_percent": sum(error > 0.2 for error in errors.values()),
        "whole": _whole(network.weights, small.weights),
        "cosine": cosine(original, outputs),
        "score": network.score(outputs, original),
    }


def _whole(original: Weights, found: Weights) -> float:
    """Return the relative error of all weights together."""
    finite = {name: np.isfinite(array) for name, array in original.items()}
    parts = [(original[k][at], found[k][at]) for k, at in finite.items()]
    apart = sum(float(np.sum((a.astype(np.float64) - b) ** 2)) for a, b in parts)
    return float(np.sqrt(apart / sum(float(np.sum(a.astype(np.float64) ** 2)) for a, _ in parts)))


def edits(found: Sequence[object], true: Sequence[object]) -> int:
    """Return the fewest insertions, deletions and replacements between two sequences."""
    row = list(range(len(true) + 1))
    for index, item in enumerate(found):
        before, row = row, [index + 1]
        for at, other in enumerate(true):
            row.append(min(before[at] + (item != other), before[at + 1] + 1, row[at] + 1))
    return row[-1]


def errors(found: Sequence[Sequence[object]], true: Sequence[Sequence[object]]) -> float:
    """Return edits as percent of the true symbols."""
    wrong = sum(edits(*pair) for pair in zip(found, true, strict=True))
    return 100 * wrong / sum(map(len, true))


def unequal(found: np.ndarray, original: np.ndarray) -> float:
    """Return the share of answers that differ, in percent."""
    return 100 * float(np.mean(found != original))
