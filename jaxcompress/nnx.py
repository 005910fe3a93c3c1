"""Flax NNX modules that follow the sizes of their arrays, and modules as pure functions.

`follow_arrays` sets the sizes that layers keep as attributes. `functional` turns a module into a
`Net`, functions of plain nested dicts, which does so by itself. Both need Flax, the extra `flax`,
which is imported when they are called.

    follow_arrays  set the sizes in attributes of layers to those of their arrays
    with_arrays    a copy of a module with other arrays, and layers that follow
    functional     turn a module into pure functions
    Net            a network as pure functions
    Params         nested dicts of parameters
    Stats          nested dicts of arrays that training changes without a gradient
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxcompress.extras import library
from jaxcompress.trees import named_leaves

__all__ = ["Net", "Params", "Stats", "follow_arrays", "functional", "with_arrays"]

Params = dict[str, Any]
"""Parameters of a network: nested dicts of arrays."""

Stats = dict[str, Any]
"""Arrays that training changes without a gradient, as nested dicts."""

_Path = tuple[Any, ...]


class Net(NamedTuple):
    """A network as pure functions.

    Attributes:
        init: `init(key) -> (params, stats)`, nested dicts of arrays. `stats` holds the
            arrays that training changes without a gradient (the running statistics of norms); it
            may be empty.
        apply: `apply(params, stats, x) -> logits`, in evaluation mode.
        apply_training: `apply_training(params, stats, x) -> (logits, stats)`.
    """

    init: Callable[[jax.Array], tuple[Params, Stats]]
    apply: Callable[[Params, Stats, jax.Array], jax.Array]
    apply_training: Callable[[Params, Stats, jax.Array], tuple[jax.Array, Stats]]


def functional(build: Callable[[Any], Any]) -> Net:
    """Return the module that `build` makes as pure functions.

    The module is made without computing anything. `init` is one compiled function, since every
    random draw of a new shape would otherwise be compiled alone. The functions also run on
    parameters from which units, or modules of a list, were removed.

    Args:
        build: from random generators, `nnx.Rngs`, to an NNX module that maps `x` to logits.

    Raises:
        MissingLibraryError: Flax is not installed.

    Example:
        >>> from flax import nnx
        >>> net = functional(lambda rngs: nnx.GroupNorm(8, num_groups=2, rngs=rngs))
        >>> params, stats = net.init(jax.random.key(0))
        >>> params["scale"].shape, stats
        ((8,), {})
        >>> fewer = {name: array[:6] for name, array in params.items()}
        >>> net.apply(fewer, stats, jax.numpy.ones((1, 6))).shape
        (1, 6)
    """
    nnx = _flax("functional")

    def shell(key: jax.Array) -> Any:
        return build(nnx.Rngs(key))

    abstract = nnx.eval_shape(shell, jax.random.key(0))

    @jax.jit
    def init(key: jax.Array) -> tuple[Params, Stats]:
        _, params, stats = nnx.split(shell(key), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    lists = [path for path, node in nnx.iter_graph(abstract) if isinstance(node, nnx.List)]

    @functools.cache
    def parts(set_mode: Callable[[Any], Any], lengths: tuple[int, ...]) -> tuple[Any, Any, Any]:
        module = nnx.clone(abstract)
        _shorten(nnx, module, dict(zip(lists, lengths, strict=True)))
        set_mode(module)
        graph, params_like, stats_like = nnx.split(module, nnx.Param, ...)
        return graph, params_like, stats_like

    def filled(like: Any, values: dict[str, Any]) -> Any:
        state = jax.tree.map(lambda leaf: leaf, like)
        nnx.replace_by_pure_dict(state, values)
        return state

    def assemble(set_mode: Callable[[Any], Any], params: Params, stats: Stats) -> Any:
        lengths = tuple(_held_in(params, path) for path in lists)
        graph, params_like, stats_like = parts(set_mode, lengths)
        module = nnx.merge(graph, filled(params_like, params), filled(stats_like, stats))
        follow_arrays(module)
        return module

    def apply(params: Params, stats: Stats, x: jax.Array) -> jax.Array:
        return assemble(nnx.Module.eval, params, stats)(x)

    def apply_training(params: Params, stats: Stats, x: jax.Array) -> tuple[jax.Array, Stats]:
        module = assemble(nnx.Module.train, params, stats)
        logits = module(x)
        _, _, changed = nnx.split(module, nnx.Param, ...)
        return logits, nnx.to_pure_dict(changed)

    return Net(init, apply, apply_training)


def with_arrays(module: Any, tree: Mapping[Any, Any]) -> Any:
    """Return a copy of a module with the arrays of a tree, of any sizes, and layers that follow.

    Random generators of the module stay where the tree has none.

    Args:
        module: an NNX module; it is not changed.
        tree: nested dicts of its names, as `nnx.to_pure_dict(nnx.state(module))` has them.

    Raises:
        MissingLibraryError: Flax is not installed.
        ValueError: an array that only one of them has.

    Example:
        >>> from flax import nnx
        >>> norm = nnx.GroupNorm(8, num_groups=2, rngs=nnx.Rngs(0))
        >>> small = with_arrays(norm, {"scale": jax.numpy.ones(6), "bias": jax.numpy.zeros(6)})
        >>> small.num_features, small(jax.numpy.ones((1, 6))).shape
        (6, (1, 6))
    """
    nnx = _flax("with_arrays")
    new = nnx.clone(module)
    lists = [path for path, node in nnx.iter_graph(new) if isinstance(node, nnx.List)]
    _shorten(nnx, new, {path: _held_in(tree, path) for path in lists})
    graph, rest, state = nnx.split(new, nnx.RngState, ...)
    given, own = named_leaves(tree), named_leaves(nnx.to_pure_dict(state))
    missing = sorted(set(given.paths) ^ set(own.paths))
    if missing:
        where = "tree" if missing[0] in own.paths else "module"
        raise ValueError(
            f"{missing[0]}: must be in the tree and in the module, got none in the {where} "
            f"({len(missing)} arrays in all); build the module that the tree is of."
        )
    nnx.replace_by_pure_dict(state, tree)
    made = nnx.merge(graph, rest, state)
    follow_arrays(made)
    return made


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
        >>> from flax import nnx
        >>> norm = nnx.GroupNorm(8, num_groups=2, rngs=nnx.Rngs(0))
        >>> graph, state = nnx.split(norm)
        >>> small = nnx.merge(graph, jax.tree.map(lambda array: array[:6], state))
        >>> follow_arrays(small)
        >>> small.num_features, small.group_size
        (6, 3)
    """
    nnx = _flax("follow_arrays")
    rules = _rules(nnx)
    for _, layer in nnx.iter_graph(module):
        for kind, follow in rules.items():
            if isinstance(layer, kind):
                follow(layer)


def _flax(feature: str) -> Any:
    return library("flax.nnx", feature, extra="flax")


def _held_in(params: Mapping[str, Any], path: _Path) -> int:
    """Return the number of modules that `params` holds of the list at a path."""
    held: Any = params
    for key in path:
        held = held.get(key, {}) if isinstance(held, Mapping) else {}
    return len(held)


def _shorten(nnx: Any, module: Any, lengths: Mapping[_Path, int]) -> None:
    """Keep the given number of modules at the beginning of each list of `module`.

    A list that would become empty is kept: its modules have no parameters.
    """
    for path, node in list(nnx.iter_graph(module)):
        if 0 < lengths.get(path, 0) < len(node):
            del node[lengths[path] :]


def _rules(nnx: Any) -> dict[type, Callable[[Any], None]]:
    """Return the function that sets the sizes of a layer, by type."""
    return {
        nnx.LinearGeneral: _linear_general,
        nnx.MultiHeadAttention: _attention,
        nnx.Conv: _conv,
        nnx.GroupNorm: _group_norm,
        nnx.LSTMCell: _hidden("hi"),
        nnx.OptimizedLSTMCell: _hidden("dense_h"),
        nnx.GRUCell: _hidden("dense_h"),
        nnx.SimpleCell: _hidden("dense_h"),
    }


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
