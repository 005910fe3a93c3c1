"""The vision transformer, its blocks in a list or stacked."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from nets.transformer import Block


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Sizes of a ViT; the defaults make 415 946 parameters.

    Attributes:
        classes: number of logits.
        image_size: height and width of the images, a multiple of `patch`.
        patch: height and width of the squares of an image; each becomes one token.
        width: of the tokens, a multiple of `heads`.
        depth: number of blocks.
        heads: of each attention; each has an equal part of the width.
        hidden: width of each MLP.
    """

    classes: int = 10
    image_size: int = 32
    patch: int = 8
    width: int = 64
    depth: int = 12
    heads: int = 4
    hidden: int = 128


class ViT(nnx.Module):
    """Patches and a class token, plus positions, then blocks with norms first, a norm, dense.

    Input `[n, image_size, image_size, 3]`, output `[n, classes]`.

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929.
    """

    def __init__(self, config: ViTConfig, *, rngs: nnx.Rngs) -> None:
        if config.width % config.heads or config.image_size % config.patch:
            raise ValueError(
                f"ViTConfig: width must be a multiple of heads and image_size of patch, got "
                f"{config.width} and {config.heads}, {config.image_size} and {config.patch}."
            )
        tokens, patch = 1 + (config.image_size // config.patch) ** 2, (config.patch,) * 2
        small = nnx.initializers.normal(0.02)
        self.embed = nnx.Conv(3, config.width, patch, strides=patch, padding="VALID", rngs=rngs)
        self.first = nnx.Param(small(rngs.params(), (1, 1, config.width)))
        self.places = nnx.Param(small(rngs.params(), (1, tokens, config.width)))
        self.blocks = self._blocks(config, rngs)
        self.norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.classify = nnx.Linear(config.width, config.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        x = self.embed(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        first = jnp.broadcast_to(self.first[...], (x.shape[0], 1, x.shape[-1]))
        x = self._through(jnp.concatenate([first, x], axis=1) + self.places[...])
        return self.classify(self.norm(x[:, 0]))

    def _blocks(self, config: ViTConfig, rngs: nnx.Rngs) -> Any:
        return nnx.List([_block(config, rngs) for _ in range(config.depth)])

    def _through(self, x: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x)
        return x


class StackedViT(ViT):
    """A ViT with stacked blocks: each array has an axis of blocks in front; run by `lax.scan`."""

    def _blocks(self, config: ViTConfig, rngs: nnx.Rngs) -> Any:
        many = nnx.vmap(lambda rngs: _block(config, rngs), in_axes=0, out_axes=0)
        return many(rngs.split(config.depth))

    def _through(self, x: jax.Array) -> jax.Array:
        graph, arrays = nnx.split(self.blocks)
        return jax.lax.scan(lambda x, of_one: (nnx.merge(graph, of_one)(x), None), x, arrays)[0]


def _block(config: ViTConfig, rngs: nnx.Rngs) -> Block:
    return Block(config.width, config.heads, config.hidden, rngs=rngs)


def stacked(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a ViT as those of a StackedViT."""
    blocks = [params["blocks"][number] for number in sorted(params["blocks"])]
    return params | {"blocks": jax.tree.map(lambda *arrays: jnp.stack(arrays), *blocks)}


def listed(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a StackedViT as those of a ViT."""
    depth = len(jax.tree.leaves(params["blocks"])[0])
    blocks = {k: jax.tree.map(lambda a: a[k], params["blocks"]) for k in range(depth)}  # noqa: B023
    return params | {"blocks": blocks}
