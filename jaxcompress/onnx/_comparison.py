"""The difference between the results of a file and those of its function."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.errors import MismatchError
from jaxcompress.trees import PyTree, named_leaves

Results = dict[str, np.ndarray]
"""The results of a function, by name."""


def result_names(structure: Any) -> list[str]:
    """Return a name for each leaf of a result: `y`, or `y/0` and so on if there are several."""
    shell = jax.tree.unflatten(structure, [np.zeros(())] * structure.num_leaves)
    return [f"y/{path}" if path else "y" for path in named_leaves(shell).paths]


def results_of(returned: PyTree) -> Results:
    """Return arrays by the names of `result_names`.

    Raises:
        ValueError: a result that is not finite or is empty, so that it cannot be compared.
    """
    leaves, structure = jax.tree.flatten(jax.device_get(returned))
    results = {}
    for name, leaf in zip(result_names(structure), leaves, strict=True):
        results[name] = np.asarray(leaf)
        if not results[name].size:
            raise ValueError(
                f"{name}: must have numbers to be compared, got shape {results[name].shape} from "
                "the function; pass a sample at least, and return nothing that is empty."
            )
        if not np.isfinite(results[name]).all():
            raise ValueError(
                f"{name}: must be finite to be compared, got NaN or infinity from the function; "
                "pass other inputs, or look for a diverged training run."
            )
    return results


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Return `|got - expected| / |expected|`, Euclidean; for integers, the fraction that differs.

    It is infinite if shapes differ.

    Example:
        >>> difference(np.array([3.0, 4.5]), np.array([3.0, 4.0]))
        0.1
    """
    if got.shape != expected.shape:
        return np.inf
    if not np.issubdtype(expected.dtype, np.floating):
        return float(np.mean(got != expected)) if expected.size else 0.0
    apart = float(np.linalg.norm(np.subtract(got, expected, dtype=np.float64)))
    size = float(np.linalg.norm(expected.astype(np.float64)))
    return apart / max(size, float(np.finfo(np.float32).tiny))


def largest_difference(got: Iterable[np.ndarray], expected: Results) -> float:
    """Return the largest difference of any result."""
    return max(map(difference, got, expected.values()))


def _gap(got: np.ndarray, expected: np.ndarray, most: float) -> str:
    if got.shape != expected.shape:
        return f"shape {got.shape} in place of {expected.shape}"
    return f"a relative difference of {difference(got, expected):.3g}, above {most:.3g}"


def check_close(got: Sequence[np.ndarray], expected: Results, what: str, most: float) -> float:
    """Return the largest difference.

    Args:
        got: results of the model.
        expected: results of a function.
        what: the function, for the error.
        most: the largest allowed difference.

    Raises:
        MismatchError: naming the result and the difference.
    """
    for mine, (name, other) in zip(got, expected.items(), strict=True):
        apart = difference(mine, other)
        if not apart <= most:
            gap = _gap(mine, other, most)
            raise MismatchError(
                f"{name}: the ONNX model must give what {what} gives, got {gap}; "
                "nothing was written. Something in the function is translated wrongly, or needs "
                "more than the 32 bits of the file: write it with other primitives, or report it."
            )
    return largest_difference(got, expected)
