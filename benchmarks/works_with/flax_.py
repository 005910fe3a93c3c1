"""Networks of Flax that others wrote: classes of Hugging Face, and a Mamba-2."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import numpy as np

from benchmarks.works_with.cases import Case, Sizes, Source, normal, randomized, tokens


def _hugging_face(
    network: str, config: str, inputs: tuple[Any, ...], *more: Any, **options: Any
) -> Case:
    """Return a case of a class; `more` are arguments of its module that have no default."""
    transformers = import_module("transformers")
    model = getattr(transformers, network)(getattr(transformers, config)(**options), seed=0)

    def apply(params: Any, *inputs: Any) -> Any:
        return model.module.apply({"params": params}, *inputs, *more)[0]

    return Case(apply, randomized(model.params), inputs, lambda sizes: _resized(apply, sizes))


def _resized(apply: Callable[..., Any], sizes: Sizes) -> Callable[..., Any]:
    """Return a network whose layers have as many features as their kernels say.

    A configuration has one width for all layers; each layer is given its own while it is called.
    """
    nn = import_module("flax.linen")

    def give_width(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        kernel = sizes.get("/".join((*context.module.path, "kernel")))
        if context.method_name == "__call__" and kernel is not None:
            turned = type(context.module).__name__ == "FlaxConv1D"
            object.__setattr__(context.module, "features", kernel[0 if turned else -1])
        return call(*args, **kwargs)

    def resized(*args: Any) -> Any:
        with nn.intercept_methods(give_width):
            return apply(*args)

    return resized


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
}


def _bert() -> Case:
    ids, length = tokens(2, 6), np.arange(6, dtype=np.int32)
    inputs = (ids, np.ones_like(ids), np.zeros_like(ids), np.stack([length, length]))
    return _hugging_face(
        "FlaxBertModel",
        "BertConfig",
        inputs,
        None,  # masks of heads
        vocab_size=50,
        max_position_embeddings=6,
        **SMALL,
    )


def _gpt2() -> Case:
    ids, length = tokens(2, 6), np.arange(6, dtype=np.int32)
    return _hugging_face(
        "FlaxGPT2LMHeadModel",
        "GPT2Config",
        (ids, np.ones_like(ids), np.stack([length, length])),
        vocab_size=50,
        n_positions=6,
        n_embd=16,
        n_layer=2,
        n_head=4,
    )


def _vit() -> Case:
    return _hugging_face(
        "FlaxViTModel",
        "ViTConfig",
        (normal(2, 16, 16, 3),),
        image_size=16,
        patch_size=8,
        **SMALL,
    )


def _mamba() -> Case:
    nnx, mamba = import_module("flax.nnx"), import_module("mamba2_jax.modeling")
    config = mamba.Mamba2Config(
        vocab_size=50,
        hidden_size=16,
        state_size=4,
        head_dim=8,
        chunk_size=4,
        num_hidden_layers=2,
    )
    net = mamba.Mamba2ForCausalLM(config, rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(net, nnx.Param, ...)

    def apply(params: Any, x: Any) -> Any:
        return nnx.merge(graph, params, rest)(x)["logits"]

    return Case(apply, randomized(jax.tree.map(np.asarray, params)), (tokens(2, 8),))


NETWORKS = {
    "Transformers, FlaxBert": Source(("transformers", "flax"), _bert),
    "Transformers, FlaxGPT2": Source(("transformers", "flax"), _gpt2),
    "Transformers, FlaxViT": Source(("transformers", "flax"), _vit),
    "mamba2-jax, Mamba-2": Source(("mamba2-jax", "flax"), _mamba),
}
