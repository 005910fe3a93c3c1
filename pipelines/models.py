"""The networks that `run.py` can train, by name, and how each wants its images."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nets.functional import Net, functional
from nets.lenet import LeNet5, LeNet300
from nets.small_cifar import WIDE, SmallCifarConfig, SmallCIFARNet


class Model(NamedTuple):
    """A network and its view of the images.

    Attributes:
        build: makes the network.
        view: from uint8 images `[n, 32, 32, 3]` to the float input of the network.
        summary: one line for `--help`.
    """

    build: Callable[[], Net]
    view: Callable[[jax.Array], jax.Array]
    summary: str


def centred(images: jax.Array) -> jax.Array:
    """Scale 0..255 to -1..1."""
    return images.astype(jnp.float32) / 127.5 - 1


def grey_28(images: jax.Array) -> jax.Array:
    """Cut the middle 28x28 out and average the channels, 0..255 scaled to 0..1."""
    return jnp.mean(images[:, 2:-2, 2:-2].astype(jnp.float32), axis=-1, keepdims=True) / 255


MODELS: dict[str, Model] = {
    "cifar": Model(
        lambda: functional(lambda rngs: SmallCIFARNet(SmallCifarConfig(), rngs=rngs)),
        centred,
        "SmallCIFARNet, 288k parameters",
    ),
    "cifar-wide": Model(
        lambda: functional(lambda rngs: SmallCIFARNet(WIDE, rngs=rngs)),
        centred,
        "SmallCIFARNet, 2.15M parameters",
    ),
    "lenet-300-100": Model(
        lambda: functional(lambda rngs: LeNet300(rngs=rngs)), grey_28, "267k parameters, dense"
    ),
    "lenet-5": Model(
        lambda: functional(lambda rngs: LeNet5(rngs=rngs)), grey_28, "431k parameters"
    ),
}
