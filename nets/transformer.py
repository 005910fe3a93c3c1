"""The blocks of transformers: attention, then two dense layers, each added to its input."""

import jax
from flax import nnx


class Block(nnx.Module):
    """A block with norms before attention and MLP, as in ViT.

    Args:
        width: of the tokens.
        heads: of the attention; each has `width / heads` channels.
        hidden: width of the MLP.
        epsilon: added to the variance in the norms.
        rngs: of the initial weights.

    Source: Vaswani et al. 2017, arXiv:1706.03762; norms first: Dosovitskiy et al. 2021,
    arXiv:2010.11929.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, *, epsilon: float = 1e-6, rngs: nnx.Rngs
    ) -> None:
        self.norm1 = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.dense1 = nnx.Linear(width, hidden, rngs=rngs)
        self.dense2 = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return tokens `[n, t, width]`; `mask` broadcasts to `[n, heads, t, t]`."""
        x = x + self.attention(self.norm1(x), mask=mask)
        return x + self._mlp(self.norm2(x))

    def _mlp(self, x: jax.Array) -> jax.Array:
        return self.dense2(nnx.gelu(self.dense1(x), approximate=False))


class PostNormBlock(Block):
    """A block with norms after the sums, as in BERT.

    Source: Devlin et al. 2019, arXiv:1810.04805.
    """

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return tokens `[n, t, width]`; `mask` broadcasts to `[n, heads, t, t]`."""
        x = self.norm1(x + self.attention(x, mask=mask))
        return self.norm2(x + self._mlp(x))
