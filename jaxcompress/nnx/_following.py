"""Sizes that layers keep as attributes."""

from collections.abc import Callable
from typing import Any

from jaxcompress.extras import library


def follow_arrays(module: Any) -> None:
    """Set the sizes that layers of `module` keep as attributes to those of their arrays.

    After units were cut out of the arrays, most layers run at the new sizes unchanged. But heads of
    attention, groups of convolutions and the widths of group norms and recurrent cells are
    attributes. Attributes that arrays do not determine are kept: the number of groups of a group
    norm, and of a convolution unless each group has one input channel (then there is one group for
    each channel). Axes in front, as of stacked layers, do not matter for attention and similar
    layers.

    Args:
        module: an NNX module, such as from `nnx.merge`; it is changed in place.

    Raises:
        MissingLibraryError: Flax is not installed.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> norm = nnx.GroupNorm(8, num_groups=2, rngs=nnx.Rngs(0))
        >>> graph, state = nnx.split(norm)
        >>> small = nnx.merge(graph, jax.tree.map(lambda array: array[:6], state))
        >>> follow_arrays(small)
        >>> small.num_features, small.group_size
        (6, 3)
    """
    nnx = library("flax.nnx", "follow_arrays", extra="flax")
    rules = _rules(nnx)
    for _, layer in nnx.iter_graph(module):
        for kind, follow in rules.items():
            if isinstance(layer, kind):
                follow(layer)


def _rules(nnx: Any) -> dict[type, Callable[[Any], None]]:
    """Return the function that sets the sizes of a layer, by type."""
    return {
        nnx.Linear: _linear,
        nnx.LinearGeneral: _linear_general,
        nnx.BatchNorm: _norm,
        nnx.LayerNorm: _norm,
        nnx.RMSNorm: _norm,
        nnx.MultiHeadAttention: _attention,
        nnx.Conv: _conv,
        nnx.GroupNorm: _group_norm,
        nnx.LSTMCell: _hidden("hi"),
        nnx.OptimizedLSTMCell: _hidden("dense_h"),
        nnx.GRUCell: _hidden("dense_h"),
        nnx.SimpleCell: _hidden("dense_h"),
    }


def _linear(layer: Any) -> None:
    layer.in_features, layer.out_features = layer.kernel.shape[-2:]


def _norm(layer: Any) -> None:
    for array in (layer.scale, layer.bias):
        if array is not None:
            layer.num_features = array.shape[-1]


def _linear_general(layer: Any) -> None:
    inputs, outputs = len(layer.in_features), len(layer.out_features)
    shape = layer.kernel.shape[-inputs - outputs :]
    layer.in_features, layer.out_features = tuple(shape[:inputs]), tuple(shape[inputs:])


def _attention(layer: Any) -> None:
    layer.in_features, layer.num_heads, layer.head_dim = layer.query.kernel.shape[-3:]
    layer.qkv_features = layer.num_heads * layer.head_dim
    layer.out_features = layer.out.kernel.shape[-1]


def _conv(layer: Any) -> None:
    *_, inputs, outputs = layer.kernel.shape
    if layer.feature_group_count > 1 and inputs == 1:
        layer.feature_group_count = outputs * layer.feature_group_count // layer.out_features
    layer.in_features, layer.out_features = inputs * layer.feature_group_count, outputs
    layer.kernel_shape = tuple(layer.kernel.shape)


def _group_norm(layer: Any) -> None:
    for array in (layer.scale, layer.bias):
        if array is not None:
            layer.num_features = array.shape[-1]
            layer.group_size = layer.num_features // layer.num_groups


def _hidden(part: str) -> Callable[[Any], None]:
    def follow(layer: Any) -> None:
        layer.hidden_features = getattr(layer, part).kernel.shape[0]

    return follow
