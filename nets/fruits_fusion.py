"""FruitsFusionNet: a picture, its texture, edges, shape and colours, fused to name a fruit."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from nets.layers import flatten, max_pool_2x2

POOLINGS = 3
BRANCHES = ("picture", "texture", "edges", "shape", "colour")
"""All there are, in the order in which they are fused."""


@dataclass(frozen=True, kw_only=True)
class FruitsFusionConfig:
    """Sizes of a FruitsFusionNet; the defaults make 2.2 million parameters.

    Attributes:
        classes: number of logits.
        image_size: height and width of the three maps, a multiple of 8.
        channels: of each map, by branch.
        numbers: length of each vector, by branch.
        widths: output channels of the three convolutions of each map's branch.
        vector_hidden: units of each vector's branch.
        hidden: units of the dense layer that fuses all branches.
    """

    classes: int
    image_size: int
    channels: dict[str, int]
    numbers: dict[str, int]
    widths: tuple[int, int, int] = (16, 32, 64)
    vector_hidden: int = 64
    hidden: int = 320


class MapBranch(nnx.Module):
    """(3x3 convolution, batch norm, ReLU, 2x2 max pooling) three times, flattened."""

    def __init__(self, channels: int, widths: tuple[int, int, int], *, rngs: nnx.Rngs) -> None:
        first, second, third = widths
        self.conv1 = nnx.Conv(channels, first, (3, 3), use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(first, momentum=0.9, rngs=rngs)
        self.conv2 = nnx.Conv(first, second, (3, 3), use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(second, momentum=0.9, rngs=rngs)
        self.conv3 = nnx.Conv(second, third, (3, 3), use_bias=False, rngs=rngs)
        self.norm3 = nnx.BatchNorm(third, momentum=0.9, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[n, features]`."""
        x = max_pool_2x2(nnx.relu(self.norm1(self.conv1(x))))
        x = max_pool_2x2(nnx.relu(self.norm2(self.conv2(x))))
        return flatten(max_pool_2x2(nnx.relu(self.norm3(self.conv3(x)))))


class VectorBranch(nnx.Module):
    """Batch norm, which brings all numbers to one scale, then dense, ReLU."""

    def __init__(self, numbers: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(numbers, momentum=0.9, rngs=rngs)
        self.dense = nnx.Linear(numbers, hidden, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[n, hidden]`."""
        return nnx.relu(self.dense(self.norm(x)))


class FruitsFusionNet(nnx.Module):
    """One branch for each input, concatenated, dense, ReLU, dense.

    Input: a dict with one entry for each branch: maps `[n, size, size, channels]` and vectors
    `[n, numbers]`. Output `[n, classes]`.
    """

    def __init__(self, config: FruitsFusionConfig, *, rngs: nnx.Rngs) -> None:
        fused = 0
        side = config.image_size // 2**POOLINGS
        for name in BRANCHES:
            if name in config.channels:
                setattr(self, name, MapBranch(config.channels[name], config.widths, rngs=rngs))
                fused += side * side * config.widths[-1]
            if name in config.numbers:
                branch = VectorBranch(config.numbers[name], config.vector_hidden, rngs=rngs)
                setattr(self, name, branch)
                fused += config.vector_hidden
        self.fuse = nnx.Linear(fused, config.hidden, rngs=rngs)
        self.classify = nnx.Linear(config.hidden, config.classes, rngs=rngs)

    def __call__(self, inputs: dict[str, jax.Array]) -> jax.Array:
        """Return logits."""
        parts = [getattr(self, name)(inputs[name]) for name in BRANCHES if hasattr(self, name)]
        return self.classify(nnx.relu(self.fuse(jnp.concatenate(parts, axis=-1))))
