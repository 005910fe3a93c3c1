"""Other arrays in a module."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxcompress.extras import library
from jaxcompress.nnx._following import follow_arrays
from jaxcompress.nnx._lists import held_in, lists_of, shorten
from jaxcompress.trees import named_leaves


def with_arrays(module: Any, tree: Mapping[Any, Any]) -> Any:
    """Return a copy of a module with the arrays of a tree, of any sizes, and layers that follow.

    Random generators stay those of the module. A module that stands in several places has its
    arrays at the first of them, as in `nnx.state`, and is one again. Of lists the first modules
    stay, as many as the tree has arrays for: they should differ in their arrays alone.

    Args:
        module: an NNX module; it is not changed.
        tree: nested dicts of its names, as `nnx.to_pure_dict(nnx.state(module))` has them, or
            `{"params": ..., "stats": ...}` as `functional` has them.

    Raises:
        MissingLibraryError: Flax is not installed.
        ValueError: an array that only one of them has, or that is given at several places; fewer
            modules for a list in which one stands several times.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> norm = nnx.GroupNorm(8, num_groups=2, rngs=nnx.Rngs(0))
        >>> small = with_arrays(norm, {"scale": jax.numpy.ones(6), "bias": jax.numpy.zeros(6)})
        >>> small.num_features, small(jax.numpy.ones((1, 6))).shape
        (6, (1, 6))
    """
    nnx = library("flax.nnx", "with_arrays", extra="flax")
    new = nnx.clone(module)
    lists = lists_of(nnx, new, nnx.Not(nnx.RngState))
    _, rest, state = nnx.split(new, nnx.RngState, ...)
    if set(tree) <= {"params", "stats"} and not set(tree) & set(nnx.to_pure_dict(state)):
        tree = _merged(tree.get("params", {}), tree.get("stats", {}))
    tree = _without(tree, nnx.to_pure_dict(rest))
    shorten(nnx, new, lists, {path: held_in(tree, path) for path in lists})
    graph, rest, state = nnx.split(new, nnx.RngState, ...)
    given, own = named_leaves(tree), named_leaves(nnx.to_pure_dict(state))
    missing = sorted(set(given.paths) ^ set(own.paths))
    if missing:
        _check_given_once(nnx, new, missing)
        where = "tree" if missing[0] in own.paths else "module"
        raise ValueError(
            f"{missing[0]}: must be in the tree and in the module, got none in the {where} "
            f"({len(missing)} arrays in all); build the module that the tree is of."
        )
    nnx.replace_by_pure_dict(state, tree)
    made = nnx.merge(graph, rest, state)
    follow_arrays(made)
    return made


def _check_given_once(nnx: Any, module: Any, paths: Sequence[str]) -> None:
    """Refuse arrays of a module at a place that is not its first.

    Raises:
        ValueError: one of the paths leads to an array that another path stands for.
    """
    first = {id(node): path for path, node in nnx.iter_graph(module)}
    for path in paths:
        node: Any = module
        for key in path.split("/"):
            entries = list(node) if isinstance(node, nnx.List) else []
            numbered = dict(zip(map(str, range(len(entries))), entries, strict=True))
            node = numbered[key] if key in numbered else getattr(node, key, None)
        found = "/".join(map(str, first.get(id(node), ())))
        if isinstance(node, nnx.Variable) and found != path:
            raise ValueError(
                f"{path}: must be left out, as it is {found}, of the same module, got it twice; "
                "leave it out."
            )


def _merged(one: Any, other: Any) -> Any:
    """Return nested dicts of both, which have no leaf in common."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return one
    both = {key: _merged(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **both}


def _without(tree: Any, like: Any) -> Any:
    """Return nested dicts without the leaves that others have."""
    if not isinstance(tree, Mapping) or not isinstance(like, Mapping):
        return tree
    kept = {
        key: _without(part, like.get(key, {}))
        for key, part in tree.items()
        if key not in like or isinstance(like[key], Mapping)
    }
    gone = {
        key for key, part in kept.items() if key in like and isinstance(part, dict) and not part
    }
    return {key: part for key, part in kept.items() if key not in gone}
