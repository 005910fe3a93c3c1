"""Pytrees with names: paths, scopes and errors that name the leaf."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxcompress.kinds import (
    NUMBERS,
    REALS,
    WEIGHTS,
    Kinds,
    check_array,
    check_kind,
    check_values,
    kind_of,
    native,
)

PyTree: TypeAlias = Any
"""Any nesting of containers that JAX knows, with arrays as leaves."""

Array: TypeAlias = jax.Array | np.ndarray
"""An array of JAX or numpy."""

Scope = Callable[[str, Any], bool]
"""Decides by path (`"block1/conv/kernel"`) and leaf whether a technique applies."""


class NamedLeaves(NamedTuple):
    """A flattened tree: its paths and leaves, and the structure to rebuild it."""

    paths: list[str]
    leaves: list[Any]
    treedef: Any

    def rebuild(self, leaves: list[Any]) -> PyTree:
        """Return the tree with other leaves."""
        return jax.tree.unflatten(self.treedef, leaves)


def named_leaves(tree: PyTree, *, is_leaf: Callable[[Any], bool] | None = None) -> NamedLeaves:
    """Flatten `tree`, naming every leaf by its path; arrays of numpy get native byte order.

    Args:
        tree: any pytree of arrays.
        is_leaf: as in `jax.tree.flatten`.

    Raises:
        TypeError: a leaf is not an array of numpy or JAX (call `eqx.filter(model, eqx.is_array)`
            or the like first), or is one of `numpy.ma`, whose mask would be lost.

    Example:
        >>> named = named_leaves({"conv": {"bias": np.zeros(2), "kernel": np.ones((2, 2))}})
        >>> named.paths
        ['conv/bias', 'conv/kernel']
        >>> named.rebuild([1, 2])
        {'conv': {'bias': 1, 'kernel': 2}}
    """
    flat, treedef = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)
    paths = [path_text(path) for path, _ in flat]
    leaves = [leaf for _, leaf in flat]
    for path, leaf in zip(paths, leaves, strict=True):
        check_array(path or "(root)", leaf)
    return NamedLeaves(paths, list(map(native, leaves)), treedef)


def path_text(keys: Sequence[Any]) -> str:
    """Return the keys that lead to a leaf as its path, such as `block1/conv/kernel`."""
    return jax.tree_util.keystr(tuple(keys), simple=True, separator="/")


def nested(named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the nested dicts whose leaves have these paths: slashes separate keys.

    Args:
        named: pairs of path and leaf.

    Raises:
        ValueError: a path occurs twice, or is below another one.

    Example:
        >>> nested([("a/b", 1), ("a/c", 2), ("d", 3)])
        {'a': {'b': 1, 'c': 2}, 'd': 3}
    """
    tree: dict[str, Any] = {}
    for path, leaf in named:
        *parents, key = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ValueError(f"{path!r} lies below a leaf")
        if key in node:
            raise ValueError(f"{path!r} is there twice, or a leaf and more")
        node[key] = leaf
    return tree


def shapes_of(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Return the shape of every leaf, by path."""
    named = named_leaves(tree)
    return {p: tuple(leaf.shape) for p, leaf in zip(named.paths, named.leaves, strict=True)}


def is_floating(leaf: Any) -> bool:
    """Return whether `leaf` holds floating-point numbers.

    Example:
        >>> is_floating(np.ones(2, np.float16)), is_floating(np.ones(2, int))
        (True, False)
    """
    return kind_of(leaf) in REALS.members


def plain_bytes(leaf: Any) -> int:
    """Return the bytes of a leaf without compression."""
    return math.prod(leaf.shape) * leaf.dtype.itemsize


def widened(array: Any) -> Any:
    """Return small floats and integers as float32, others unchanged; every value is kept."""
    return array if array.dtype.itemsize >= 4 else array.astype(np.float32)


def everything(path: str, leaf: Any) -> bool:
    """Scope of all floating-point leaves.

    Example:
        >>> everything("bias", np.ones(2)), everything("step", np.array(3))
        (True, False)
    """
    del path
    return is_floating(leaf)


def kernels(path: str, leaf: Any) -> bool:
    """Scope of the weights with most of the bytes: floating-point leaves of rank 2 and up.

    It leaves out biases and the scales of norms, except those of heads and of stacked layers, which
    have two axes too. There use `matching("kernel")`, or `in_products`, which finds the weights of
    products by tracing.

    Example:
        >>> kernels("kernel", np.ones((2, 2))), kernels("bias", np.ones(2))
        (True, False)
    """
    del path
    return is_floating(leaf) and len(leaf.shape) >= 2


def weights(path: str, leaf: Any) -> bool:
    """Scope of the kernels and of complex leaves of rank 2 and up: the weights of units.

    Example:
        >>> kernel = np.ones((2, 2), complex)
        >>> weights("kernel", kernel), kernels("kernel", kernel), weights("bias", np.ones(2))
        (True, False, False)
    """
    del path
    return kind_of(leaf) in WEIGHTS.members and len(leaf.shape) >= 2


def check_scope(scope: Scope) -> None:
    """Refuse what is no function, such as a pattern.

    Raises:
        TypeError: with what to pass instead.
    """
    if not callable(scope):
        raise TypeError(
            f"scope: must be a function (path, leaf) -> bool, got {scope!r}; pass scopes.matching "
            "of a pattern."
        )


def matching(pattern: str, *, scope: Scope = kernels) -> Scope:
    """Scope of the leaves in `scope` whose path has a match of the regular expression `pattern`.

    Example:
        >>> scope = matching("dense")
        >>> scope("dense1/kernel", np.ones((2, 2))), scope("conv1/kernel", np.ones((2, 2)))
        (True, False)

    Raises:
        ValueError: `pattern` is not a regular expression.
        TypeError: `scope` is no function.
    """
    check_scope(scope)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"scope: {pattern!r} is not a regular expression ({error}); escape its special "
            "characters with a backslash."
        ) from None
    return lambda path, leaf: bool(expression.search(path)) and scope(path, leaf)


def in_scope(
    named: NamedLeaves, scope: Scope, *, kinds: Kinds = NUMBERS, shapes: bool = False
) -> list[bool]:
    """Return for each leaf whether `scope` chooses it and it has any entries.

    Args:
        named: the leaves.
        scope: of a technique.
        kinds: that the technique handles.
        shapes: whether shapes are enough, as of `jax.eval_shape`.

    Raises:
        ValueError: no leaf is chosen: a scope that matches nothing is a mistake.
        TypeError: a scope that is no function; a leaf of another kind is chosen, or a shape where
            values are needed.

    Example:
        >>> in_scope(named_leaves({"bias": np.zeros(2), "kernel": np.ones((2, 2))}), kernels)
        [False, True]
    """
    check_scope(scope)
    chosen = [
        int(np.prod(leaf.shape)) > 0 and scope(path, leaf)
        for path, leaf in zip(named.paths, named.leaves, strict=True)
    ]
    if not any(chosen):
        raise ValueError(
            f"scope: no leaf is chosen out of {len(named.paths)} "
            f"({some_of(named.paths)}); "
            "choose by path and shape among these, the default takes floating-point leaves of "
            "rank 2 and up."
        )
    for path, leaf, pick in zip(named.paths, named.leaves, chosen, strict=True):
        if pick:
            check_kind(path, leaf, kinds)
            if not shapes:
                check_values(path, leaf)
    return chosen


def some_of(names: Sequence[str]) -> str:
    """Return the first five names, for an error.

    Example:
        >>> some_of("abcdef")
        'a, b, c, d, e, ...'
    """
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])


def is_traced(tree: PyTree) -> bool:
    """Return whether any leaf of `tree` is a tracer, so that its values cannot be read."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def as_jax(array: np.ndarray) -> Array:
    """Return a JAX array, or `array` itself where JAX would narrow 64 bits to 32."""
    return (
        array if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype else jnp.asarray(array)
    )
