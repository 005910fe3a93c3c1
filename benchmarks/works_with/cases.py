"""What a network of another library is here, and helpers that all of them need."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

Sizes = Mapping[str, tuple[int, ...]]
"""Shapes of leaves, by path."""


class Case(NamedTuple):
    """A network.

    Attributes:
        apply: `apply(params, *inputs)`, in inference mode.
        params: random.
        inputs: random.
        rebuild: `rebuild(sizes)` returns `apply` built for other sizes; None where the library
            does not check sizes, or builds no other ones.
    """

    apply: Callable[..., Any]
    params: Any
    inputs: tuple[Any, ...]
    rebuild: Callable[[Sizes], Callable[..., Any]] | None = None


class Source(NamedTuple):
    """Where a network comes from.

    Attributes:
        packages: that it needs, as the registry calls them; its own first.
        make: returns the network; imports what it needs.
    """

    packages: tuple[str, ...]
    make: Callable[[], Case]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Return random numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tokens(*shape: int, most: int = 50, seed: int = 0) -> np.ndarray:
    """Return random tokens."""
    return np.random.default_rng(seed).integers(0, most, shape).astype(np.int32)


def randomized(params: Any) -> Any:
    """Return parameters with noise, so that biases, scales and statistics differ."""
    leaves, structure = jax.tree.flatten(params)
    noisy = [
        np.asarray(leaf) + 0.1 * np.abs(normal(*leaf.shape, seed=seed))
        if np.issubdtype(leaf.dtype, np.floating)
        else np.asarray(leaf)
        for seed, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, noisy)
