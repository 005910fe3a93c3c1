"""The networks that `run.py` can train, by name, and the inputs of each."""

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
from nets.resnet import RESNET_18, ResNetConfig
from nets.small_cifar import WIDE, SmallCifarConfig
from nets.vit import ViTConfig
from pipelines.features import VECTOR_SIZES, extract
from pipelines.features.resize import resized

Inputs = Any
"""Inputs of a network: an array, or a dict of arrays, with one row for each picture."""


class Shape(NamedTuple):
    """The facts that the sizes of a network depend on.

    Attributes:
        classes: number of logits.
        image_size: height and width of the input images, in pixels.
        branches: the inputs that it fuses; empty for a network whose only input is the picture.
    """

    classes: int
    image_size: int
    branches: tuple[str, ...] = ()


class Model(NamedTuple):
    """A network, and the inputs that it makes from pictures.

    Attributes:
        config: the configuration of the network, at its full size.
        inputs: `inputs(pictures, image_size)`: on the host, once for each picture; from uint8
            `[n, h, w, 3]` of any size.
        view: from inputs to the floats of the network, on the device, at every step.
        summary: one line for `--help`.
        data: the dataset that it was made for.
        image_sizes: heights and widths of images that it can be built for, the default first.
        branches: the inputs that it can fuse; empty for a network whose only input is the picture.
        blocks: path in its parameters to blocks that can be dropped; empty if there are none.
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
        """Number of blocks, of which all but one may be dropped; 0 if there are none."""
        return self.config(Shape(1, self.image_sizes[0])).depth if self.blocks else 0

    def build(self, shape: Shape, sizes: Mapping[str, Any] | None = None) -> Net:
        """Return the network, with the given sizes (JSON) in place of its own.

        Raises:
            ValueError: the network cannot have these sizes.
        """
        return build(with_sizes(self.config(shape), sizes or {}))


def centred(images: jax.Array) -> jax.Array:
    """Scale 0..255 to -1..1."""
    return images.astype(jnp.float32) / 127.5 - 1


def grey_28(images: jax.Array) -> jax.Array:
    """Crop the middle 28x28, average the channels, and scale 0..255 to 0..1."""
    return jnp.mean(images[:, 2:-2, 2:-2].astype(jnp.float32), axis=-1, keepdims=True) / 255


_FEATURES_SIZE = 100  # of the pictures from which features are computed, as in Fruits-360
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
    """Scale the maps as `centred` does; the network itself scales vectors."""
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
    "resnet18": Model(
        lambda shape: dataclasses.replace(RESNET_18, classes=shape.classes),
        resized,
        centred,
        "ResNet-18 with a stem of stride 4, 11.2M parameters",
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
