"""The networks that `run.py` can train, by name, and how each wants its pictures."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.nnx import Net
from nets.families import build, with_sizes
from nets.fruits_fusion import BRANCHES, FruitsFusionConfig
from nets.lenet import LeNet5Config, LeNet300Config
from nets.resnet import ResNetConfig
from nets.small_cifar import WIDE, SmallCifarConfig
from nets.vit import ViTConfig
from pipelines.features import VECTOR_SIZES, extract
from pipelines.resize import resized

Inputs = Any
"""What a network is fed: an array, or a dict of arrays, with one row for each picture."""


class Shape(NamedTuple):
    """What the sizes of a network depend on.

    Attributes:
        classes: number of logits.
        image_size: height and width of the images it is fed, in pixels.
        branches: the inputs it fuses; empty for a network that sees the picture alone.
    """

    classes: int
    image_size: int
    branches: tuple[str, ...] = ()


class Model(NamedTuple):
    """A network, and what it makes of pictures.

    Attributes:
        config: the configuration of the network, at its full size.
        inputs: `inputs(pictures, image_size)`: on the host, once for each picture; from uint8
            `[n, h, w, 3]` of any size.
        view: from inputs to the floats that the network takes, on the device, at every step.
        summary: one line for `--help`.
        data: the dataset it was made for.
        image_sizes: heights and widths of images it can be built for, the default first.
        branches: the inputs it can fuse; empty for a network that sees the picture alone.
        blocks: path in its parameters to blocks that it runs without; empty if there are none.
    """

    config: Callable[[Shape], Any]
    inputs: Callable[[np.ndarray, int], Inputs]
    view: Callable[[Any], Any]
    summary: str
    data: str = "cifar10"
    image_sizes: tuple[int, ...] = (32,)
    branches: tuple[str, ...] = ()
    blocks: str = ""

    @property
    def depth(self) -> int:
        """How many blocks may be dropped but one; 0 if there are none."""
        return self.config(Shape(1, self.image_sizes[0])).depth if self.blocks else 0

    def build(self, shape: Shape, sizes: Mapping[str, Any] | None = None) -> Net:
        """Return the network, with other sizes than its own where they are given, as JSON.

        Raises:
            ValueError: the network cannot have these sizes.
        """
        return build(with_sizes(self.config(shape), sizes or {}))


def centred(images: jax.Array) -> jax.Array:
    """Scale 0..255 to -1..1."""
    return images.astype(jnp.float32) / 127.5 - 1


def grey_28(images: jax.Array) -> jax.Array:
    """Cut the middle 28x28 out and average the channels, 0..255 scaled to 0..1."""
    return jnp.mean(images[:, 2:-2, 2:-2].astype(jnp.float32), axis=-1, keepdims=True) / 255


_FEATURES_SIZE = 100  # of the pictures that features are computed from, as Fruits-360 has them
_MAP_CHANNELS = {"picture": 3, "texture": 1, "edges": 1}


def _fusion(shape: Shape) -> FruitsFusionConfig:
    def chosen(sizes: dict[str, int]) -> dict[str, int]:
        return {name: size for name, size in sizes.items() if name in shape.branches}

    return FruitsFusionConfig(
        classes=shape.classes,
        image_size=shape.image_size,
        channels=chosen(_MAP_CHANNELS),
        numbers=chosen(VECTOR_SIZES),
    )


def _features(pictures: np.ndarray, image_size: int) -> dict[str, np.ndarray]:
    return extract(resized(pictures, _FEATURES_SIZE), image_size)


def _maps_centred(inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Scale the maps as `centred` does; the network brings vectors to one scale itself."""
    return {name: centred(x) if name in _MAP_CHANNELS else x for name, x in inputs.items()}


MODELS: dict[str, Model] = {
    "cifar": Model(
        lambda shape: SmallCifarConfig(classes=shape.classes),
        resized,
        centred,
        "SmallCIFARNet, 288k parameters",
    ),
    "cifar-wide": Model(
        lambda shape: dataclasses.replace(WIDE, classes=shape.classes),
        resized,
        centred,
        "SmallCIFARNet, 2.15M parameters",
    ),
    "fruits": Model(
        _fusion,
        _features,
        _maps_centred,
        "FruitsFusionNet: picture, texture, edges, shape and colour; 2.14M parameters",
        data="fruits360",
        image_sizes=(48, *range(16, 48, 8), *range(56, 104, 8)),
        branches=BRANCHES,
    ),
    "resnet20": Model(
        lambda shape: ResNetConfig(classes=shape.classes),
        resized,
        centred,
        "ResNet-20, 272k parameters",
    ),
    "vit": Model(
        lambda shape: ViTConfig(classes=shape.classes),
        resized,
        centred,
        "ViT of 12 blocks on patches of 8 pixels, 416k parameters",
        blocks="blocks",
    ),
    "lenet-300-100": Model(
        lambda shape: LeNet300Config(classes=shape.classes),
        resized,
        grey_28,
        "267k parameters, dense",
    ),
    "lenet-5": Model(
        lambda shape: LeNet5Config(classes=shape.classes), resized, grey_28, "431k parameters"
    ),
}
