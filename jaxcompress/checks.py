"""Checks of trees and arrays at the boundary: errors give path, rule, value and remedy.

check_fits  refuse a tree whose leaves are not those of another
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from jaxcompress.kinds import FLOATS, check_kind, check_values, native, refuse_masked
from jaxcompress.placement import on_host, spans_processes
from jaxcompress.trees import PyTree, is_traced, named_leaves, path_text, some_of

__all__ = ["check_fits"]

T = TypeVar("T")


def finite(array: np.ndarray) -> np.ndarray:
    """Return which entries are finite; numpy warns of signalling NaN of the small dtypes."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(array)


def is_finite(array: np.ndarray) -> bool:
    """Return whether an array is free of NaN and infinity."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.sum(array, dtype=np.float32 if array.dtype.itemsize < 4 else None)
    # One fast pass: a finite sum has finite terms.
    return bool(np.isfinite(total)) or bool(finite(array).all())


def check_finite(path: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: naming the tensor, the count and the first index.
    """
    if is_finite(array):
        return
    bad = np.argwhere(~finite(array))
    first = tuple(int(i) for i in bad[0])
    raise ValueError(
        f"{path}: must be finite, got {len(bad)} NaN or infinite of {array.size}, the "
        f"first at {first}; look for a diverged training run."
    )


def check_floats(path: str, leaf: Any) -> np.ndarray:
    """Return a leaf unchanged, as an array of finite floats of 16 bits or more.

    Raises:
        TypeError: it holds other numbers.
        ValueError: NaN or infinity.
    """
    check_kind(path, leaf, FLOATS)
    tensor = np.asarray(on_host(native(leaf)), order="C")
    check_finite(path, tensor)
    return tensor


def check_concrete(function: str, tree: PyTree) -> None:
    """Refuse a tree whose numbers cannot be read.

    Raises:
        TypeError: called under `jit`, naming the function; a shape or an array of
            `numpy.ma`, naming the leaf.
    """
    if is_traced(tree):
        raise TypeError(
            f"{function}: params must be concrete, got tracers; call it outside of jit."
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = path_text(path)
        check_values(name, leaf)
        refuse_masked(name, leaf)


def check_known(names: Iterable[str], known: Collection[str], rule: str, remedy: str) -> None:
    """Refuse unknown names.

    Raises:
        ValueError: naming the first unknown name, and some known ones.
    """
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name}: {rule}, got a name that is not among {some_of(sorted(known))}; {remedy}."
            )


def check_together(name: str, inputs: PyTree, params: PyTree) -> None:
    """Refuse inputs of one process for parameters that span several.

    JAX would take them for equal in all processes, and each would compute with its own.

    Raises:
        ValueError: naming the inputs.
    """
    given = [leaf for leaf in jax.tree.leaves(inputs) if np.ndim(leaf)]
    if any(map(spans_processes, jax.tree.leaves(params))) and not all(map(spans_processes, given)):
        raise ValueError(
            f"{name}: must span the processes that params do, got an array of process "
            f"{jax.process_index()} alone; make it with jax.make_array_from_process_local_data."
        )


def nonempty_batches(batches: Iterable[T], remedy: str) -> Iterator[T]:
    """Yield batches one at a time, and raise an error at the end if there was none.

    Args:
        batches: read once.
        remedy: what to pass instead, for the error.

    Raises:
        ValueError: there is none.
    """
    empty = True
    for batch in batches:
        empty = False
        yield batch
    if empty:
        raise ValueError(f"batches: must hold at least one batch, got none; {remedy}.")


def check_unique(
    paths: Sequence[str],
    *,
    rule: str = "a path must mean one leaf",
    place: str = "",
    written: Sequence[str] = (),
) -> None:
    """Refuse a tree with two leaves of one path, which keys with slashes may cause.

    Args:
        paths: of all leaves.
        rule: for the error.
        place: prefix of the path in the error, such as a file.
        written: each path as the tree has it, to tell the two apart in the error.

    Raises:
        ValueError: naming the first path that occurs twice.
    """
    twice = next((path for path, times in Counter(paths).items() if times > 1), None)
    if twice is not None:
        both = [text for path, text in zip(paths, written, strict=False) if path == twice][:2]
        raise ValueError(
            f"{place}{twice}: {rule}, got {' and '.join(both) or 'several'}; rename keys that hold "
            "a slash."
        )


def check_fits(name: str, tree: PyTree, like_name: str, like: PyTree) -> None:
    """Refuse a tree without the leaves of another, of the same shapes and at the same paths.

    Containers may differ: some libraries wrap a leaf in one more, so that its path is longer.

    Raises:
        ValueError: naming the first leaf that differs.

    Example:
        >>> params = {"kernel": np.ones((2, 3))}
        >>> check_fits("mask", {"kernel": np.ones((2, 3), bool)}, "params", params)
        >>> check_fits("mask", {"bias": np.ones(3, bool)}, "params", params)
        Traceback (most recent call last):
        ValueError: kernel: mask must have the leaves of params, got 'bias' in this place; ...
    """
    mine, others = named_leaves(tree), named_leaves(like)
    for path, other in zip(mine.paths, others.paths, strict=False):
        if not (f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")):
            raise ValueError(
                f"{other}: {name} must have the leaves of {like_name}, got {path!r} in this "
                "place; build it from the same tree."
            )
    if len(mine.paths) != len(others.paths):
        longer = max(mine.paths, others.paths, key=len)
        path = longer[min(len(mine.paths), len(others.paths))]
        raise ValueError(
            f"{path}: {name} must have a leaf for each of the {len(others.paths)} of {like_name}, "
            f"got {len(mine.paths)}; build it from the same tree."
        )
    for path, leaf, other in zip(others.paths, mine.leaves, others.leaves, strict=True):
        if tuple(leaf.shape) != tuple(other.shape):
            raise ValueError(
                f"{path}: {name} must have the shape of {like_name}, {tuple(other.shape)}, got "
                f"{tuple(leaf.shape)}; build it from the same tree."
            )


def check_same(
    name: str,
    mine: Mapping[str, Any],
    like_name: str,
    others: Mapping[str, Any],
    *,
    remedy: str = "load it without one to see what it holds",
) -> None:
    """Refuse named arrays that differ from others in names, shapes or dtypes.

    Raises:
        ValueError: listing all differences.
    """
    both = [path for path in others if path in mine]
    differences = [
        *(f"{path}: is missing" for path in others if path not in mine),
        *(f"{path}: is not in the {like_name}" for path in mine if path not in others),
        *(
            f"{path}: {what} must be {getattr(others[path], what)}, got {getattr(mine[path], what)}"
            for path in both
            for what in ("shape", "dtype")
            if getattr(mine[path], what) != getattr(others[path], what)
        ),
    ]
    if differences:
        raise ValueError(
            f"{name}: must have the tensors of the {like_name}, got {len(differences)} "
            f"differences; {remedy}.\n  " + "\n  ".join(differences)
        )
