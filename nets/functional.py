"""NNX modules as pure functions of plain nested dicts."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx

from nets.sizes import follow_arrays, held_in, lists_of, shorten

Params = dict[str, Any]
Stats = dict[str, Any]


class Net(NamedTuple):
    """A network as pure functions.

    Attributes:
        init: `init(key) -> (params, stats)`, nested dicts of arrays. `stats` holds what training
            changes without a gradient (the running statistics of norms); it may be empty.
        apply: `apply(params, stats, x) -> logits`, in evaluation mode.
        apply_training: `apply_training(params, stats, x) -> (logits, stats)`.
    """

    init: Callable[[jax.Array], tuple[Params, Stats]]
    apply: Callable[[Params, Stats, jax.Array], jax.Array]
    apply_training: Callable[[Params, Stats, jax.Array], tuple[jax.Array, Stats]]


def parameters_in(params: Any) -> int:
    """Return how many parameters a tree of arrays, or of their shapes, holds.

    Example:
        >>> parameters_in({"kernel": jax.numpy.ones((2, 3)), "bias": jax.numpy.ones(3)})
        9
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def functional(build: Callable[[nnx.Rngs], Any]) -> Net:
    """Return the module that `build` makes as pure functions.

    The module is made without computing anything; `init` is one compiled function, since every
    random draw of a new shape would otherwise be compiled alone. It runs on parameters from which
    units or, where it has a list of modules, some of these are gone.

    Args:
        build: from random generators to an NNX module that maps `x` to logits.
    """

    def shell(key: jax.Array) -> Any:
        return build(nnx.Rngs(key))

    abstract = nnx.eval_shape(shell, jax.random.key(0))

    @jax.jit
    def init(key: jax.Array) -> tuple[Params, Stats]:
        _, params, stats = nnx.split(shell(key), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    lists = lists_of(abstract)

    @functools.cache
    def parts(set_mode: Callable[[Any], Any], lengths: tuple[int, ...]) -> tuple[Any, Any, Any]:
        module = nnx.clone(abstract)
        shorten(module, dict(zip(lists, lengths, strict=True)))
        set_mode(module)
        graph, params_like, stats_like = nnx.split(module, nnx.Param, ...)
        return graph, params_like, stats_like

    def assemble(set_mode: Callable[[Any], Any], params: Params, stats: Stats) -> Any:
        lengths = tuple(held_in(params, path) for path in lists)
        graph, params_like, stats_like = parts(set_mode, lengths)
        module = nnx.merge(graph, _filled(params_like, params), _filled(stats_like, stats))
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


def _filled(like: Any, values: dict[str, Any]) -> Any:
    """Return the NNX state of the structure of `like` that holds `values`."""
    state = jax.tree.map(lambda leaf: leaf, like)
    nnx.replace_by_pure_dict(state, values)
    return state
