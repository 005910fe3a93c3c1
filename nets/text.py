"""A text encoder in the manner of BERT, and a classifier on top of it."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from nets.transformer import PostNormBlock

PADDING = 0
"""The token of padding."""


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Sizes of a text encoder; the defaults are those of MiniLM-L6-H384.

    Attributes:
        vocabulary: number of tokens.
        positions: most tokens of a text.
        width: of a token, and of the embedding of a text.
        depth: number of blocks.
        heads: of each attention; they divide the width.
        hidden: width of each MLP.
        epsilon: added to the variance in the norms.
    """

    vocabulary: int = 30_522
    positions: int = 512
    width: int = 384
    depth: int = 6
    heads: int = 12
    hidden: int = 1536
    epsilon: float = 1e-12


class TextEncoder(nnx.Module):
    """Words plus positions, a norm, blocks, and the mean over all tokens of a text.

    Input `[n, t]` integer tokens, `t` at most `positions`, `PADDING` behind the end of a text;
    output `[n, width]`, 0 for a text without tokens. The embedding that BERT adds for the first of
    two sentences is part of the positions here.

    Source: Devlin et al. 2019, arXiv:1810.04805; the mean: Reimers and Gurevych 2019,
    arXiv:1908.10084.
    """

    def __init__(self, config: TextEncoderConfig, *, rngs: nnx.Rngs) -> None:
        width, epsilon = config.width, config.epsilon
        self.words = nnx.Embed(config.vocabulary, width, rngs=rngs)
        self.positions = nnx.Embed(config.positions, width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.blocks = nnx.List(
            [
                PostNormBlock(width, config.heads, config.hidden, epsilon=epsilon, rngs=rngs)
                for _ in range(config.depth)
            ]
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Return one embedding for each text.

        Raises:
            ValueError: more tokens than there are positions.
        """
        if tokens.shape[1] > self.positions.embedding.shape[0]:
            raise ValueError(
                f"tokens: must be at most {self.positions.embedding.shape[0]} a text, as there "
                f"are positions, got {tokens.shape[1]}; cut texts off."
            )
        is_token = tokens != PADDING
        x = self.norm(self.words(tokens) + self.positions(jnp.arange(tokens.shape[1])))
        for block in self.blocks:
            x = block(x, is_token[:, None, None, :])
        share = is_token / jnp.maximum(is_token.sum(axis=1, keepdims=True), 1)
        return jnp.einsum("nt,ntw->nw", share, x)


class TextClassifier(nnx.Module):
    """A text encoder and a dense layer: `[n, t]` tokens to `[n, classes]` logits."""

    def __init__(self, config: TextEncoderConfig, classes: int, *, rngs: nnx.Rngs) -> None:
        self.encoder = TextEncoder(config, rngs=rngs)
        self.classify = nnx.Linear(config.width, classes, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Return logits."""
        return self.classify(self.encoder(tokens))
