"""Residual networks for small images: those of pruning papers, and ResNet-18.

Source: He et al. 2016, arXiv:1512.03385, section 4.2 and table 1; with projections (option B) where
widths change, so that the units on both sides are independent.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Sizes of a ResNet; the defaults make ResNet-20, 272 474 parameters for 10 classes.

    Attributes:
        classes: number of logits.
        widths: channels of the stages; each after the first halves the image.
        blocks: residual blocks in each stage, of two layers each.
        stem: pixels of the image for one of the first stage: 1 for a 3x3 convolution, 4 for one of
            7x7 with stride 2, and the largest of 3x3 with stride 2.
    """

    classes: int = 10
    widths: tuple[int, ...] = (16, 32, 64)
    blocks: int = 3
    stem: int = 1


RESNET_18 = ResNetConfig(widths=(64, 128, 256, 512), blocks=2, stem=4)
"""ResNet-18, 11 181 642 parameters for 10 classes."""


class Block(nnx.Module):
    """Two 3x3 convolutions with batch norm, added to the input."""

    def __init__(self, inputs: int, width: int, *, strides: int, rngs: nnx.Rngs) -> None:
        self.conv1 = _conv(inputs, width, strides=strides, rngs=rngs)
        self.norm1 = _norm(width, rngs=rngs)
        self.conv2 = _conv(width, width, rngs=rngs)
        self.norm2 = _norm(width, rngs=rngs)
        if strides > 1 or inputs != width:
            self.project = _conv(inputs, width, size=1, strides=strides, rngs=rngs)
            self.norm3 = _norm(width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[n, h / strides, w / strides, width]`."""
        y = self.norm2(self.conv2(nnx.relu(self.norm1(self.conv1(x)))))
        return nnx.relu(y + (self.norm3(self.project(x)) if hasattr(self, "project") else x))


class ResNet(nnx.Module):
    """Convolution, stages of residual blocks, mean over the image, dense.

    Input `[n, h, w, 3]`, output `[n, classes]`.
    """

    def __init__(self, config: ResNetConfig, *, rngs: nnx.Rngs) -> None:
        size, strides = (7, 2) if config.stem > 1 else (3, 1)
        self.conv = _conv(3, config.widths[0], size=size, strides=strides, rngs=rngs)
        self.norm = _norm(config.widths[0], rngs=rngs)
        self.is_pooled = config.stem > 1
        inputs, self.blocks = config.widths[0], len(config.widths) * config.blocks
        for stage, width in enumerate(config.widths):
            for number in range(config.blocks):
                strides = 2 if stage and not number else 1
                block = Block(inputs, width, strides=strides, rngs=rngs)
                setattr(self, f"block{stage * config.blocks + number + 1}", block)
                inputs = width
        self.classify = nnx.Linear(inputs, config.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        x = nnx.relu(self.norm(self.conv(x)))
        if self.is_pooled:
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for number in range(self.blocks):
            x = getattr(self, f"block{number + 1}")(x)
        return self.classify(jnp.mean(x, axis=(1, 2)))


def _conv(inputs: int, width: int, *, size: int = 3, strides: int = 1, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(inputs, width, (size, size), strides=strides, use_bias=False, rngs=rngs)


def _norm(width: int, *, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(width, momentum=0.9, rngs=rngs)
