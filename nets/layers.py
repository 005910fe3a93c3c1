"""Layers of several networks."""

import jax
import jax.numpy as jnp


def max_pool_2x2(x: jax.Array) -> jax.Array:
    """Return the maximum of each 2x2 block of `[n, h, w, c]` images, h and w even.

    A reshape and a maximum are faster on a CPU than `lax.reduce_window` and its gradient.
    """
    n, h, w, c = x.shape
    return jnp.max(x.reshape(n, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def averaged(x: jax.Array, side: int) -> jax.Array:
    """Return means over the squares of `[n, h, h, c]` images, `[n, side, side, c]`.

    Images of that side are returned as they are. `side` divides `h`.
    """
    n, h, w, c = x.shape
    if h == side:
        return x
    return jnp.mean(x.reshape(n, side, h // side, side, w // side, c), axis=(2, 4))


def flatten(x: jax.Array) -> jax.Array:
    """Return `[n, h, w, c]` images as `[n, h * w * c]`, channels fastest."""
    return x.reshape(x.shape[0], -1)
