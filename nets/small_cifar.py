"""SmallCIFARNet: three convolutions and two dense layers for 32x32 colour images."""

from dataclasses import dataclass

import jax
from flax import nnx

from nets.layers import averaged, flatten, max_pool_2x2


@dataclass(frozen=True, kw_only=True)
class SmallCifarConfig:
    """Sizes of a SmallCIFARNet; the defaults make 288 170 parameters.

    Attributes:
        widths: output channels of the three convolutions.
        hidden: units of the first dense layer.
        classes: number of logits.
        convolutions: how many there are, the first of the three.
        resolution: height and width that images are averaged to, a power of two, 8 to 32.
    """

    widths: tuple[int, int, int] = (32, 64, 64)
    hidden: int = 224
    classes: int = 10
    convolutions: int = 3
    resolution: int = 32


WIDE = SmallCifarConfig(widths=(64, 128, 128), hidden=936)
"""The wide variant: 2 150 466 parameters."""


class SmallCIFARNet(nnx.Module):
    """(3x3 convolution, ReLU, 2x2 max pooling) three times, dense, ReLU, dense.

    Input `[n, 32, 32, 3]`, output `[n, classes]`.
    """

    def __init__(self, config: SmallCifarConfig, *, rngs: nnx.Rngs) -> None:
        self.resolution, self.convolutions = config.resolution, config.convolutions
        inputs = 3
        for number, width in enumerate(config.widths[: config.convolutions], 1):
            setattr(self, f"conv{number}", nnx.Conv(inputs, width, (3, 3), rngs=rngs))
            inputs = width
        side = config.resolution >> config.convolutions  # each pooling halves it
        self.dense1 = nnx.Linear(side * side * inputs, config.hidden, rngs=rngs)
        self.dense2 = nnx.Linear(config.hidden, config.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        x = averaged(x, self.resolution)
        for number in range(1, self.convolutions + 1):
            x = max_pool_2x2(nnx.relu(getattr(self, f"conv{number}")(x)))
        return self.dense2(nnx.relu(self.dense1(flatten(x))))
