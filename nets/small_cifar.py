"""SmallCIFARNet: three convolutions and two dense layers for 32x32 colour images."""

from dataclasses import dataclass

import jax
from flax import nnx

from nets.layers import flatten, max_pool_2x2


@dataclass(frozen=True, kw_only=True)
class SmallCifarConfig:
    """Sizes of a SmallCIFARNet; the defaults make 288 170 parameters.

    Attributes:
        widths: output channels of the three convolutions.
        hidden: units of the first dense layer.
        classes: number of logits.
    """

    widths: tuple[int, int, int] = (32, 64, 64)
    hidden: int = 224
    classes: int = 10


WIDE = SmallCifarConfig(widths=(64, 128, 128), hidden=936)
"""The wide variant: 2 150 466 parameters."""


class SmallCIFARNet(nnx.Module):
    """(3x3 convolution, ReLU, 2x2 max pooling) three times, dense, ReLU, dense.

    Input `[n, 32, 32, 3]`, output `[n, classes]`.
    """

    def __init__(self, config: SmallCifarConfig, *, rngs: nnx.Rngs) -> None:
        first, second, third = config.widths
        self.conv1 = nnx.Conv(3, first, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(first, second, (3, 3), rngs=rngs)
        self.conv3 = nnx.Conv(second, third, (3, 3), rngs=rngs)
        self.dense1 = nnx.Linear(4 * 4 * third, config.hidden, rngs=rngs)
        self.dense2 = nnx.Linear(config.hidden, config.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = max_pool_2x2(nnx.relu(conv(x)))
        return self.dense2(nnx.relu(self.dense1(flatten(x))))
