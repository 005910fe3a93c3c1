"""Eight networks of different kinds for Fashion-MNIST, as pure functions."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.lib.networks import TRAININGS, of_run
from jaxcompress.nnx import Net, functional
from nets.text import TextClassifier, TextEncoderConfig
from nets.vit import ViT, ViTConfig
from pipelines.models import MODELS

_CLASSES, _SIDE, _TOKENS = 10, 16, 8
_UNITS = 96  # of the recurrent network
_GREYS = 16


class Kind(NamedTuple):
    """A network, and how it is trained.

    Attributes:
        what: it is, in words.
        net: its functions.
        view: from images to its input.
        images: for training.
        epochs: of training.
        blocks: path of blocks in its parameters.
    """

    what: str
    net: Callable[[], Net]
    view: Callable[[Any], Any]
    images: int = 10_000
    epochs: int = 4
    blocks: str = ""


def _squares(images: jax.Array, side: int) -> jax.Array:
    """Return `[n, side, side]`: the mean grey of squares, from 0 to 1."""
    edge = images.shape[1] // side
    return images[..., 0].reshape(-1, side, edge, side, edge).mean((2, 4)) / 256.0


def _greys(images: jax.Array) -> jax.Array:
    """Return `[n, 16, 16]` grey numbers around 0."""
    return 4 * _squares(images, _SIDE) - 1


def _tokens(images: jax.Array) -> jax.Array:
    """Return `[n, 64]` tokens: the grey of 8x8 squares."""
    greys = jnp.floor(_GREYS * _squares(images, _TOKENS)).astype(jnp.int32)
    return 1 + greys.reshape(-1, _TOKENS**2)


def _vit() -> Net:
    config = ViTConfig(patch=8, width=48, depth=4, heads=4, hidden=96)
    return functional(lambda rngs: ViT(config, rngs=rngs))


def _text() -> Net:
    config = TextEncoderConfig(
        vocabulary=_GREYS + 1, positions=64, width=32, depth=3, heads=4, hidden=64
    )
    return functional(lambda rngs: TextClassifier(config, _CLASSES, rngs=rngs))


def _recurrent() -> Net:
    """A gated recurrent network over the rows of a picture, and a dense layer on its last state."""

    def init(key: jax.Array) -> tuple[Any, Any]:
        keys = jax.random.split(key, 3)
        normal = jax.nn.initializers.lecun_normal()
        params = {
            "inputs": {
                "kernel": normal(keys[0], (_SIDE, 3 * _UNITS)),
                "bias": jnp.zeros(3 * _UNITS),
            },
            "state": {"kernel": normal(keys[1], (_UNITS, 3 * _UNITS))},
            "head": {"kernel": normal(keys[2], (_UNITS, _CLASSES)), "bias": jnp.zeros(_CLASSES)},
        }
        return params, {}

    def apply(params: Any, stats: Any, x: jax.Array) -> jax.Array:
        def step(state: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
            read = jnp.split(
                row @ params["inputs"]["kernel"] + params["inputs"]["bias"], 3, axis=-1
            )
            held = jnp.split(state @ params["state"]["kernel"], 3, axis=-1)
            update, reset = (jax.nn.sigmoid(read[n] + held[n]) for n in range(2))
            new = jnp.tanh(read[2] + reset * held[2])
            return update * state + (1 - update) * new, None

        start = jnp.zeros((x.shape[0], params["state"]["kernel"].shape[0]))
        state, _ = jax.lax.scan(step, start, x.swapaxes(0, 1))
        return state @ params["head"]["kernel"] + params["head"]["bias"]

    return Net(init, apply, lambda params, stats, x: (apply(params, stats, x), stats))


def _haiku() -> Net:
    """MobileNetV1 as Haiku has it, of fewer layers and channels."""
    hk = importlib.import_module("haiku")  # not of this project's environment

    def forward(x: jax.Array, *, is_training: bool) -> jax.Array:
        net = hk.nets.MobileNetV1((1, 2, 1, 2), (32, 64, 64, 128), _CLASSES)
        return net(x, is_training)

    pure = hk.without_apply_rng(hk.transform_with_state(forward))
    example = jnp.zeros((1, _SIDE, _SIDE, 1))

    def training(params: Any, stats: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        return pure.apply(params, stats, x, is_training=True)

    return Net(
        jax.jit(lambda key: pure.init(key, example, is_training=True)),
        lambda params, stats, x: pure.apply(params, stats, x, is_training=False)[0],
        training,
    )


def _equinox() -> Net:
    """The MLP of Equinox, of six narrow layers."""

    def build(key: jax.Array) -> Any:
        return eqx.nn.MLP(_SIDE**2, _CLASSES, 96, 6, jax.nn.gelu, key=key)

    _, static = eqx.partition(build(jax.random.key(0)), eqx.is_array)

    def init(key: jax.Array) -> tuple[Any, Any]:
        return eqx.filter(build(key), eqx.is_array), {}

    def apply(params: Any, stats: Any, x: jax.Array) -> jax.Array:
        return jax.vmap(eqx.combine(params, static))(x.reshape(x.shape[0], -1))

    return Net(init, apply, lambda params, stats, x: (apply(params, stats, x), stats))


def _of_run(name: str, what: str) -> Kind:
    """Return a network of `run.py`, with the training that other benchmarks give it."""
    training = TRAININGS[name]
    return Kind(what, lambda: of_run(name), MODELS[name].view, training.images, training.epochs)


KINDS: dict[str, Kind] = {
    "cifar": _of_run("cifar", "convolutional, with batch norms"),
    "lenet-5": _of_run("lenet-5", "convolutional, most weights dense"),
    "lenet-300-100": _of_run("lenet-300-100", "dense"),
    "vit": Kind("transformer of pictures", _vit, lambda x: x / 127.5 - 1, blocks="params/blocks"),
    "text": Kind("transformer of tokens", _text, _tokens, blocks="params/encoder/blocks"),
    "gru": Kind("recurrent, over rows", _recurrent, _greys),
    "haiku": Kind("MobileNetV1 of Haiku", _haiku, lambda x: _greys(x)[..., None]),
    "equinox": Kind("MLP of Equinox, six layers", _equinox, _greys),
}
