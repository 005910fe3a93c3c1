"""The LeNets of compression papers, for 28x28 grey images.

Source: LeCun et al. 1998; sizes as in Han et al. 2016, arXiv:1510.00149.
"""

from dataclasses import dataclass

import jax
from flax import nnx

from nets.layers import flatten, max_pool_2x2


@dataclass(frozen=True, kw_only=True)
class LeNet300Config:
    """Sizes of a LeNet-300-100; the defaults make 266 610 parameters.

    Attributes:
        classes: number of logits.
        widths: units of the first two dense layers.
    """

    classes: int = 10
    widths: tuple[int, int] = (300, 100)


class LeNet300(nnx.Module):
    """LeNet-300-100: three dense layers.

    Input `[n, 28, 28, 1]`, output `[n, classes]`.
    """

    def __init__(self, config: LeNet300Config, *, rngs: nnx.Rngs) -> None:
        first, second = config.widths
        self.dense1 = nnx.Linear(28 * 28, first, rngs=rngs)
        self.dense2 = nnx.Linear(first, second, rngs=rngs)
        self.dense3 = nnx.Linear(second, config.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        x = nnx.relu(self.dense1(flatten(x)))
        return self.dense3(nnx.relu(self.dense2(x)))


@dataclass(frozen=True, kw_only=True)
class LeNet5Config:
    """Sizes of a LeNet-5; the defaults make 431 080 parameters.

    Attributes:
        classes: number of logits.
        widths: output channels of the two convolutions.
        hidden: units of the first dense layer.
    """

    classes: int = 10
    widths: tuple[int, int] = (20, 50)
    hidden: int = 500


class LeNet5(nnx.Module):
    """LeNet-5 in its usual modern form: two 5x5 convolutions, two dense layers.

    Input `[n, 28, 28, 1]`, output `[n, classes]`.
    """

    def __init__(self, config: LeNet5Config, *, rngs: nnx.Rngs) -> None:
        first, second = config.widths
        self.conv1 = nnx.Conv(1, first, (5, 5), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(first, second, (5, 5), padding="VALID", rngs=rngs)
        self.dense1 = nnx.Linear(4 * 4 * second, config.hidden, rngs=rngs)
        self.dense2 = nnx.Linear(config.hidden, config.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        x = max_pool_2x2(self.conv1(x))
        x = max_pool_2x2(self.conv2(x))
        return self.dense2(nnx.relu(self.dense1(flatten(x))))
