"""Checks that inputs and results of a function are arrays, with errors that name what they are."""

from collections.abc import Callable, Sequence
from textwrap import shorten
from typing import Any

import jax

from jaxcompress.errors import NoArrayError
from jaxcompress.kinds import is_array, is_key, native
from jaxcompress.trees import PyTree


def as_inputs(given: PyTree) -> tuple[PyTree, ...]:
    """Return the inputs after the parameters: a tuple holds several, anything else is one."""
    return given if isinstance(given, tuple) else (given,)


def batch_size_of(inputs: PyTree) -> int:
    """Return the first axis of the first input, 0 if it has none."""
    leaves = jax.tree.leaves(inputs)
    shape = getattr(leaves[0], "shape", ()) if leaves else ()
    return int(shape[0]) if shape else 0


def first_line(error: Exception, width: int = 200) -> str:
    """Return the kind of an error and the first line of its message."""
    try:
        lines = str(error).strip().splitlines() or [""]
    except Exception:  # a foreign class, whose errors may not even print
        lines = [""]
    return f"{type(error).__name__}: {shorten(lines[0], width)}"


def check_inputs(inputs: Sequence[PyTree]) -> list[str]:
    """Return dtypes and shapes of all inputs; each must be an array or a Python number."""
    texts = []
    for number, part in enumerate(inputs):
        for keys, leaf in jax.tree_util.tree_flatten_with_path(part)[0]:
            path = f"inputs[{number}]" + "".join(f"/{_key(key)}" for key in keys)
            if not is_array(leaf):
                if not isinstance(leaf, _NUMBERS):
                    raise TypeError(
                        f"{path}: must be an array, got {type(leaf).__name__}; pass what the "
                        "function computes with, and close over everything else."
                    )
                texts.append(f"{path}: {type(leaf).__name__}")
                continue
            if getattr(leaf.dtype, "kind", "V") in "OSUMm":
                raise TypeError(
                    f"{path}: must be an array of numbers, got dtype {leaf.dtype}; encode it first."
                )
            texts.append(f"{path}: {leaf.dtype}[{','.join(map(str, leaf.shape))}]")
    return texts


def other_examples(inputs: Sequence[PyTree], others: Sequence[PyTree]) -> list[tuple[PyTree, ...]]:
    """Return further examples as tuples; refuse examples that add no information."""
    if not isinstance(others, list | tuple):
        raise TypeError(
            f"others: must be a list of examples, got {type(others).__name__}; put it in one."
        )
    examples, seen = list(map(as_inputs, others)), [check_inputs(inputs)]
    for number, example in enumerate(examples):
        if (shapes := check_inputs(example)) in seen:
            raise ValueError(
                f"others[{number}]: must have other shapes than the examples before it, got "
                f"{', '.join(shapes)}; make it longer, or leave it out."
            )
        seen.append(shapes)
    return examples


_NUMBERS = (bool, int, float, complex)


def _key(key: Any) -> str:
    return jax.tree_util.keystr((key,), simple=True)


def arrays_only(apply: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Return `apply` with an error for results that are not arrays."""

    def checked(*args: Any) -> PyTree:
        results = apply(*args)
        leaves = jax.tree.leaves(results)
        wrong = [
            leaf for leaf in leaves if not hasattr(leaf, "shape") and not isinstance(leaf, _NUMBERS)
        ]
        if wrong or not leaves:
            got = "None" if results is None else type(wrong[0] if wrong else results).__name__
            raise NoArrayError(
                f"apply: must return arrays, got {got}; return what the network computes and "
                "nothing else."
            )
        return results

    return checked


def shell(leaf: Any, shape: tuple[int, ...] | None = None) -> Any:
    """Return shape (or another one) and dtype of an input; weak dtypes remain weak.

    Dtypes are those that JAX computes with: float32 for float64, unless 64 bits are enabled. Python
    numbers are returned unchanged: all of them are weak.
    """
    if not hasattr(leaf, "shape"):
        return leaf
    leaf = native(leaf)
    weak = getattr(leaf, "weak_type", False)
    dtype = leaf.dtype if is_key(leaf) else jax.dtypes.canonicalize_dtype(leaf.dtype)
    return jax.ShapeDtypeStruct(leaf.shape if shape is None else shape, dtype, weak_type=weak)
