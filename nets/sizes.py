"""Sizes and lists that NNX modules keep beside their arrays, brought into line with the arrays."""

from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx
from flax.nnx.nn.recurrent import GRUCell, LSTMCell, OptimizedLSTMCell, SimpleCell


def follow_arrays(module: Any) -> None:
    """Set the sizes that layers of `module` keep as attributes to those of their arrays.

    After units have been cut out of the arrays, most layers run at the new sizes as they are. Heads
    of attention, groups of convolutions and the widths of group norms and recurrent cells are
    attributes. What arrays cannot tell stays: the number of groups of a group norm, and of a
    convolution unless each group has one input channel (then one group goes with each). Axes in
    front, as stacked layers have them, do not matter to attention and its like.
    """
    for _, layer in nnx.iter_graph(module):
        for kind, follow in _FOLLOW.items():
            if isinstance(layer, kind):
                follow(layer)


def lists_of(module: Any) -> list[tuple[Any, ...]]:
    """Return the paths of the lists of modules in `module`."""
    return [path for path, node in nnx.iter_graph(module) if isinstance(node, nnx.List)]


def held_in(params: Mapping[str, Any], path: tuple[Any, ...]) -> int:
    """Return how many modules of the list at a path `params` holds."""
    held: Any = params
    for key in path:
        held = held.get(key, {}) if isinstance(held, Mapping) else {}
    return len(held)


def shorten(module: Any, lengths: Mapping[tuple[Any, ...], int]) -> None:
    """Leave so many modules in each list of `module`, those at the beginning.

    Lists of which nothing would be left stay: their modules have no parameters.
    """
    for path, node in list(nnx.iter_graph(module)):
        if 0 < lengths.get(path, 0) < len(node):
            del node[lengths[path] :]


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


_FOLLOW: dict[type, Callable[[Any], None]] = {
    nnx.LinearGeneral: _linear_general,
    nnx.MultiHeadAttention: _attention,
    nnx.Conv: _conv,
    nnx.GroupNorm: _group_norm,
    LSTMCell: _hidden("hi"),
    OptimizedLSTMCell: _hidden("dense_h"),
    GRUCell: _hidden("dense_h"),
    SimpleCell: _hidden("dense_h"),
}
