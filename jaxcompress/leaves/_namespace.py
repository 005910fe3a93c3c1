"""The choice between numpy and JAX."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress.trees import Array


def namespace(*arrays: Array) -> Any:
    """Return numpy for numpy arrays, which may have 64 bits that JAX would narrow; else JAX."""
    return np if all(isinstance(array, np.ndarray) for array in arrays) else jnp
