"""Flax Linen: modules hold no arrays, and check the sizes that their fields say."""

from collections.abc import Collection, Mapping
from typing import Any

import jax

from jaxcompress.modules._example import Example
from jaxcompress.modules._integers import Place, integers, replaced
from jaxcompress.modules._solving import Shapes, solved
from jaxcompress.trace.inputs import first_line
from jaxcompress.trees import PyTree, named_leaves

_SHOWN = 3


class Fields:
    """The integers of a module, and the shapes of its variables for some of them.

    Shapes are traced once, whatever trees it is to be rebuilt for.

    Args:
        module: at its own sizes.
        example: of one call.

    Attributes:
        initial: shapes of its variables at its own sizes.

    Raises:
        ValueError: it does not run.
    """

    def __init__(self, module: Any, example: Example) -> None:
        self._module, self._example = module, example
        self._own = dict(integers(module))
        try:
            self.initial = self._made(module)
        except Exception as error:
            raise ValueError(
                f"inputs: must be those of one call of the module, got {first_line(error)}"
            ) from error
        self._known: dict[tuple[int, ...], dict[str, Any] | None] = {
            tuple(self._own.values()): self.initial
        }

    def rebuilt(self, tree: PyTree) -> Any:
        """Return the module with the fields at which its variables have the shapes of a tree.

        Raises:
            ValueError: no fields are found, or several.
        """
        variables = as_variables(tree)
        wanted = _shapes(variables, variables)

        def shapes_of(values: Mapping[Place, int]) -> Shapes | None:
            made = self._traced(values)
            return None if made is None else _shapes(made, variables)

        found = solved(self._own, wanted, shapes_of)
        if found is None:
            raise ValueError(_unsolved(_shapes(self.initial, variables), wanted, self._own))
        return replaced(self._module, {p: n for p, n in found.items() if n != self._own[p]})

    def _traced(self, values: Mapping[Place, int]) -> dict[str, Any] | None:
        """Return the variables for some integers, None where the code does not run with them."""
        key = tuple(values.values())
        if key not in self._known:
            try:
                self._known[key] = self._made(replaced(self._module, values))
            except Exception:  # whatever the code raises at sizes that do not fit
                self._known[key] = None
        return self._known[key]

    def _made(self, module: Any) -> dict[str, Any]:
        inputs, keywords = self._example
        return jax.eval_shape(lambda key: module.init(key, *inputs, **keywords), jax.random.key(0))


def as_variables(tree: PyTree) -> dict[str, Any]:
    """Return a tree of variables, of which the parameters alone may be given."""
    return dict(tree) if "params" in tree else {"params": tree}


def _shapes(tree: Mapping[str, Any], wanted: Collection[str]) -> Shapes:
    """Return the shapes of the collections wanted, `params` say."""
    named = named_leaves({name: part for name, part in tree.items() if name in wanted})
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
