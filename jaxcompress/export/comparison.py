"""How far the results of a file are from those of the function that it came from."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.trees import PyTree, named_leaves


class MismatchError(ValueError):
    """A model that does not compute what the function does."""


def results_of(function: Any, *inputs: PyTree) -> dict[str, np.ndarray]:
    """Return what a function gives, by name: `y`, or `y/0` and so on of several.

    Raises:
        ValueError: numbers that are not finite, which nothing can be compared with.
    """
    named = named_leaves(jax.device_get(function(*inputs)))
    results = {}
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        name = f"y/{path}" if path else "y"
        results[name] = np.asarray(leaf)
        if not np.isfinite(results[name]).all():
            raise ValueError(
                f"{name}: must be finite to be compared, got NaN or infinity from the function; "
                "pass other inputs, or look for a diverged training run."
            )
    return results


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Return `|got - expected| / |expected|` in the Euclidean norm; of integers, how many differ.

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
    return apart / float(np.linalg.norm(expected.astype(np.float64))) if apart else 0.0


def check_close(
    got: Sequence[np.ndarray],
    expected: dict[str, np.ndarray],
    what: str,
    most: dict[str, float],
) -> float:
    """Return the largest difference.

    Args:
        got: results of the model.
        expected: results of a function, by name.
        what: the function, for the error.
        most: allowed difference, by name.

    Raises:
        MismatchError: naming the result and the difference.
    """
    worst = 0.0
    for mine, (name, other) in zip(got, expected.items(), strict=True):
        apart = difference(mine, other)
        if not apart <= most[name]:
            raise MismatchError(
                f"{name}: the ONNX model must compute what {what} does, got a relative difference "
                f"of {apart:.3g}, above {most[name]:.3g}; nothing was written. Something in the "
                "function is translated wrongly: write it another way, or report it."
            )
        worst = max(worst, apart)
    return worst
