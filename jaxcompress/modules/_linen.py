"""Flax Linen: modules hold no arrays, and check the sizes that their fields say."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxcompress.modules._integers import Place, integers, replaced
from jaxcompress.modules._solving import Shapes, solved
from jaxcompress.trace.inputs import first_line
from jaxcompress.trees import PyTree, named_leaves

_SHOWN = 3


def rebuilt(module: Any, tree: PyTree, inputs: Sequence[Any]) -> Any:
    """Return the module with the fields at which its variables have the shapes of a tree.

    Raises:
        ValueError: it does not run, or no fields are found.
    """
    variables = as_variables(tree)
    wanted = _shapes(variables)

    known: dict[tuple[int, ...], Shapes | None] = {}

    def shapes_of(values: Mapping[Place, int]) -> Shapes | None:
        key = tuple(values.values())
        if key not in known:
            known[key] = traced(values)
        return known[key]

    def traced(values: Mapping[Place, int]) -> Shapes | None:
        try:
            made = replaced(module, values)
            found = _made(made, inputs)
        except Exception:  # whatever the code raises at sizes that do not fit
            return None
        return _shapes({name: part for name, part in found.items() if name in variables})

    fields = dict(integers(module))
    now = _shapes({n: part for n, part in initial(module, inputs).items() if n in variables})
    found = solved(fields, wanted, shapes_of)
    if found is None:
        raise ValueError(_unsolved(now, wanted, fields))
    return replaced(module, {place: n for place, n in found.items() if n != fields[place]})


def as_variables(tree: PyTree) -> dict[str, Any]:
    """Return a tree of variables, of which the parameters alone may be given."""
    return dict(tree) if "params" in tree else {"params": tree}


def initial(module: Any, inputs: Sequence[Any]) -> dict[str, Any]:
    """Return the shapes of the variables of a module at its own sizes.

    Raises:
        ValueError: it does not run.
    """
    try:
        return _made(module, inputs)
    except Exception as error:
        raise ValueError(
            f"inputs: must be those of one call of the module, got {first_line(error)}"
        ) from error


def _made(module: Any, inputs: Sequence[Any]) -> dict[str, Any]:
    return jax.eval_shape(lambda key: module.init(key, *inputs), jax.random.key(0))


def _shapes(tree: PyTree) -> Shapes:
    named = named_leaves(tree)
    return {path: tuple(leaf.shape) for path, leaf in zip(named.paths, named.leaves, strict=True)}


def _unsolved(now: Shapes, wanted: Shapes, fields: Mapping[Place, int]) -> str:
    other = [path for path in wanted if now.get(path) != wanted[path]]
    other += [path for path in now if path not in wanted]
    shown = ", ".join(
        f"{path} {list(now[path]) if path in now else 'absent'} -> "
        f"{list(wanted[path]) if path in wanted else 'absent'}"
        for path in other[:_SHOWN]
    )
    names = ", ".join(".".join(map(str, place)) for place in fields) or "none"
    return (
        f"module: must have fields for the sizes of the tree, got {shown} "
        f"({len(other)} arrays in all), and integers {names}; make the sizes fields of the module."
    )
