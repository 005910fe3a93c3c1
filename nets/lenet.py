"""The LeNets that compression papers measure on, for 28x28 grey images.

Source: LeCun et al. 1998; sizes as in Han et al. 2016, arXiv:1510.00149.
"""

import jax
from flax import nnx

from nets.layers import flatten, max_pool_2x2


class LeNet300(nnx.Module):
    """LeNet-300-100: three dense layers, 266 610 parameters.

    Input `[n, 28, 28, 1]`, output `[n, classes]`.
    """

    def __init__(self, classes: int = 10, *, rngs: nnx.Rngs) -> None:
        self.dense1 = nnx.Linear(28 * 28, 300, rngs=rngs)
        self.dense2 = nnx.Linear(300, 100, rngs=rngs)
        self.dense3 = nnx.Linear(100, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        x = nnx.relu(self.dense1(flatten(x)))
        return self.dense3(nnx.relu(self.dense2(x)))


class LeNet5(nnx.Module):
    """LeNet-5 in its usual modern form: two 5x5 convolutions, two dense layers, 431 080 parameters.

    Input `[n, 28, 28, 1]`, output `[n, classes]`.
    """

    def __init__(self, classes: int = 10, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 20, (5, 5), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(20, 50, (5, 5), padding="VALID", rngs=rngs)
        self.dense1 = nnx.Linear(4 * 4 * 50, 500, rngs=rngs)
        self.dense2 = nnx.Linear(500, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        x = max_pool_2x2(self.conv1(x))
        x = max_pool_2x2(self.conv2(x))
        return self.dense2(nnx.relu(self.dense1(flatten(x))))
