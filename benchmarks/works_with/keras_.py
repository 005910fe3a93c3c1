"""Networks of Keras 3, called by `stateless_call`: variables keep their shapes."""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.works_with.cases import Case, Sizes, Source, normal, randomized, tokens


def _keras() -> Any:
    os.environ["KERAS_BACKEND"] = "jax"
    return import_module("keras")


def _stateless(model: Any) -> tuple[Callable[..., Any], Any]:
    def apply(tree: Any, x: Any) -> Any:
        kinds = ((model.trainable_variables, "trainable"), (model.non_trainable_variables, "state"))
        values = ([tree[kind][v.path] for v in some] for some, kind in kinds)
        return model.stateless_call(*values, x, training=False)[0]

    params = {
        "trainable": {v.path: v.value for v in model.trainable_variables},
        "state": {v.path: v.value for v in model.non_trainable_variables},
    }
    return apply, params


def _convolutions() -> Case:
    keras = _keras()

    def build(first: int, second: int, wide: int) -> tuple[Callable[..., Any], Any]:
        keras.utils.clear_session()  # names count up otherwise, and paths with them
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                layers.Conv2D(first, 3, padding="same", use_bias=False, name="first"),
                layers.BatchNormalization(name="norm"),
                layers.ReLU(max_value=6.0),
                layers.MaxPooling2D(),
                layers.SeparableConv2D(second, 3, padding="same", name="second"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(wide, activation="gelu", name="wide"),
                layers.Dropout(0.1),
                layers.Dense(5, name="last"),
            ]
        )
        return _stateless(model)

    def rebuild(sizes: Sizes) -> Callable[..., Any]:
        names = ("first/kernel", "second/pointwise_kernel", "wide/kernel")
        return build(*(sizes[f"trainable/sequential/{name}"][-1] for name in names))[0]

    apply, params = build(8, 16, 24)
    return Case(apply, randomized(params), (normal(2, 16, 16, 3),), rebuild)


def _transformer() -> Case:
    keras = _keras()

    def build(heads: int, keys: int, values: int, wide: int) -> tuple[Callable[..., Any], Any]:
        layers = keras.layers
        x = given = keras.Input((6,), dtype="int32")
        x = layers.Embedding(50, 16, name="embedding")(x)
        attend = layers.MultiHeadAttention(heads, keys, value_dim=values, name="attention")
        x = layers.LayerNormalization(name="norm1")(x + attend(x, x, use_causal_mask=True))
        y = layers.Dense(wide, activation="gelu", name="wide")(x)
        x = layers.LayerNormalization(name="norm2")(x + layers.Dense(16, name="narrow")(y))
        return _stateless(keras.Model(given, layers.Dense(5, name="last")(x)))

    def rebuild(sizes: Sizes) -> Callable[..., Any]:
        _, heads, keys = sizes["trainable/attention/query/kernel"]
        values = sizes["trainable/attention/value/kernel"][-1]
        return build(heads, keys, values, sizes["trainable/wide/kernel"][-1])[0]

    apply, params = build(4, 6, 6, 24)
    return Case(apply, randomized(params), (tokens(2, 6),), rebuild)


NETWORKS = {
    "Keras 3, separable convolutions": Source(("keras",), _convolutions),
    "Keras 3, transformer": Source(("keras",), _transformer),
}
