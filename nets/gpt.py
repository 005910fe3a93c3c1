"""A language model in the manner of GPT: blocks with norms first that see only earlier tokens."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from nets.transformer import Block

_SLOWEST = 10_000.0


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Sizes of a GPT; the defaults make 5 787 648 parameters.

    Attributes:
        vocabulary: number of tokens.
        width: of a token, a multiple of twice the heads.
        depth: number of blocks.
        heads: of each attention; each has an equal part of the width.
        hidden: width of each MLP.
    """

    vocabulary: int = 2048
    width: int = 256
    depth: int = 6
    heads: int = 4
    hidden: int = 1024


class GPT(nnx.Module):
    """Words, blocks with causal attention and rotary positions, a norm, and logits.

    Input `[n, t]` integer tokens, output `[n, t, vocabulary]`: logits of the token that follows.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; positions:
    Su et al. 2021, arXiv:2104.09864.
    """

    def __init__(self, config: GPTConfig, *, rngs: nnx.Rngs) -> None:
        if config.width % (2 * config.heads):
            raise ValueError(
                f"GPTConfig: width must be a multiple of twice the heads, got {config.width} and "
                f"{config.heads}."
            )
        small = nnx.initializers.normal(0.02)
        self.words = nnx.Embed(config.vocabulary, config.width, embedding_init=small, rngs=rngs)
        self.blocks = nnx.List([_block(config, rngs) for _ in range(config.depth)])
        self.norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.predict = nnx.Linear(config.width, config.vocabulary, use_bias=False, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Return logits."""
        x = self.words(tokens)
        past = jnp.tril(jnp.ones((tokens.shape[1],) * 2, bool))
        for block in self.blocks:
            x = block(x, past)
        return self.predict(self.norm(x))


def rotated(x: jax.Array) -> jax.Array:
    """Return queries or keys `[n, t, heads, d]`, turned by angles that grow with the position.

    Channels k and k + d/2 are the coordinates of a point in a plane, which turns by 10000^(-2k/d)
    a token. So products of queries and keys depend on their distance alone.

    Source: Su et al. 2021, arXiv:2104.09864.
    """
    half = x.shape[-1] // 2
    speeds = _SLOWEST ** (-jnp.arange(half) / half)
    angles = (jnp.arange(x.shape[1])[:, None] * speeds)[:, None, :]
    first, second = x[..., :half], x[..., half:]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _attention(query: jax.Array, key: jax.Array, value: jax.Array, **options: Any) -> jax.Array:
    return nnx.dot_product_attention(rotated(query), rotated(key), value, **options)


def _block(config: GPTConfig, rngs: nnx.Rngs) -> Block:
    block = Block(config.width, config.heads, config.hidden, rngs=rngs)
    block.attention.attention_fn = _attention
    return block
