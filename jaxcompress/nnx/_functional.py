"""Modules as pure functions."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxcompress.extras import library
from jaxcompress.nnx._following import follow_arrays
from jaxcompress.nnx._lists import held_in, lists_of, shorten

Params = dict[str, Any]
"""Parameters of a network: nested dicts of arrays."""

Stats = dict[str, Any]
"""Arrays that training changes without a gradient, as nested dicts."""


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
    nnx = library("flax.nnx", "functional", extra="flax")

    def shell(key: jax.Array) -> Any:
        return build(nnx.Rngs(key))

    abstract = nnx.eval_shape(shell, jax.random.key(0))

    @jax.jit
    def init(key: jax.Array) -> tuple[Params, Stats]:
        _, params, stats = nnx.split(shell(key), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    lists = lists_of(nnx, abstract, nnx.Param)

    @functools.cache
    def parts(set_mode: Callable[[Any], Any], counts: tuple[int, ...]) -> tuple[Any, Any, Any]:
        module = nnx.clone(abstract)
        shorten(nnx, module, lists, dict(zip(lists, counts, strict=True)))
        set_mode(module)
        graph, params_like, stats_like = nnx.split(module, nnx.Param, ...)
        return graph, params_like, stats_like

    def filled(like: Any, values: dict[str, Any]) -> Any:
        state = jax.tree.map(lambda leaf: leaf, like)
        nnx.replace_by_pure_dict(state, values)
        return state

    def assemble(set_mode: Callable[[Any], Any], params: Params, stats: Stats) -> Any:
        counts = tuple(held_in(params, path) for path in lists)
        graph, params_like, stats_like = parts(set_mode, counts)
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
