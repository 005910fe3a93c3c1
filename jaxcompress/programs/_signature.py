"""What goes into a program and comes out: structure, names, shapes and dtypes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.artifact.outline import Outline, fill, outline, paths
from jaxcompress.text import printable
from jaxcompress.trees import PyTree

ANY = "batch"
"""Stands for the number of rows, where a program takes any."""


class Input(NamedTuple):
    """One array that goes in, or comes out.

    Attributes:
        name: of the argument, with keys behind slashes, where it is a tree.
        shape: `"batch"` for the number of rows, where a program takes any.
        dtype: as numpy names it.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str

    def __str__(self) -> str:
        """Return `x float32[batch, 64]`."""
        return f"{printable(self.name)} {self.dtype}[{', '.join(map(str, self.shape))}]"


class Ends(NamedTuple):
    """All arrays that go in, or come out.

    Attributes:
        structure: of the tuple of arguments, or of the result.
        arrays: in the order of its leaves.
    """

    structure: Outline
    arrays: list[Input]

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        rows = [{"name": a.name, "shape": list(a.shape), "dtype": a.dtype} for a in self.arrays]
        return {"tree": self.structure, "arrays": rows}

    def filled(self, leaves: Sequence[Any]) -> PyTree:
        """Return the tree of the given leaves."""
        return fill(self.structure, leaves)

    def leaves(self, tree: PyTree) -> list[Any]:
        """Return the leaves of arguments, in order.

        Raises:
            ValueError: a tree of another structure.
        """
        given = outline(tree, lambda leaf: False)
        if given != self.structure:
            wanted = ", ".join(map(str, self.arrays))
            raise ValueError(
                f"inputs: must be {wanted}, got {_listed(tree)}; pass the arguments of the "
                "function that was shipped, without the parameters."
            )
        return jax.tree.leaves(tree)


def read_ends(told: Any) -> Ends:
    """Return what a manifest says.

    Raises:
        ValueError: it is not of this form.
    """
    try:
        rows = [Input(row["name"], tuple(row["shape"]), row["dtype"]) for row in told["arrays"]]
        for row in rows:
            if not isinstance(row.name, str) or not all(map(_is_size, row.shape)):
                raise ValueError(f"an array {str(row)[:80]}")
            np.dtype(row.dtype)
        if len(paths(told["tree"])) != len(rows):
            raise ValueError("a tree of another number of arrays")
        return Ends(told["tree"], rows)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from None


def _is_size(size: Any) -> bool:
    return size == ANY or (type(size) is int and size >= 0)


def inputs_of(apply: Callable[..., PyTree], inputs: Sequence[PyTree], *, any_batch: bool) -> Ends:
    """Return what goes in, named as the arguments of a function.

    Args:
        apply: `apply(tree, *inputs)`.
        inputs: of one example call.
        any_batch: whether the first axis of all arrays may have any length.

    Raises:
        TypeError: an input that is no array.
    """
    found, structure = [], outline(tuple(inputs), lambda leaf: False)
    names = _names(apply, len(inputs))
    rows = [row for number, part in enumerate(inputs) for row in _named(names[number], part)]
    for name, leaf in rows:
        array = np.asarray(leaf) if not hasattr(leaf, "dtype") else leaf
        if array.dtype == object:
            raise TypeError(f"{name}: must be an array, got {type(leaf).__name__}; convert it.")
        dtype = jax.dtypes.canonicalize_dtype(array.dtype)
        shape: tuple[int | str, ...] = tuple(int(n) for n in np.shape(array))
        if any_batch and shape:
            shape = (ANY, *shape[1:])
        found.append(Input(name, shape, str(dtype)))
    return Ends(structure, found)


def outputs_of(names: Sequence[str] | None, shapes: PyTree) -> Ends:
    """Return what comes out.

    Args:
        names: of the arrays, None to name them by their keys.
        shapes: the tree that is returned, of anything with shape and dtype.

    Raises:
        ValueError: another number of names than arrays.
    """
    leaves = jax.tree.leaves(shapes)
    own = [name or "output" for name in paths(outline(shapes, lambda leaf: False))]
    if names is not None and len(names) != len(own):
        raise ValueError(
            f"outputs: must name {len(own)} arrays, got {len(names)}; name each, or none."
        )
    found = [
        Input(name, tuple(n if isinstance(n, int) else ANY for n in leaf.shape), str(leaf.dtype))
        for name, leaf in zip(names or own, leaves, strict=True)
    ]
    return Ends(outline(shapes, lambda leaf: False), found)


def _names(apply: Callable[..., PyTree], count: int) -> list[str]:
    """Return the names of the arguments after the first."""
    try:
        parameters = list(inspect.signature(apply).parameters.values())[1:]
    except (TypeError, ValueError):
        parameters = []
    own = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [*own, *(f"input{n}" for n in range(len(own), count))][:count]


def _named(name: str, part: PyTree) -> list[tuple[str, Any]]:
    keys = paths(outline(part, lambda leaf: False))
    return [
        ("/".join(filter(None, (name, key))), leaf)
        for key, leaf in zip(keys, jax.tree.leaves(part), strict=True)
    ]


def _listed(tree: PyTree) -> str:
    rows: Mapping[str, Any] = dict(_named("", tree))
    return ", ".join(f"{k} {list(np.shape(leaf))}" for k, leaf in list(rows.items())[:8]) or "none"
