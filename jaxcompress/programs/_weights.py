"""Constants of a graph that are leaves of the tree, in another order of their axes or as codes."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import Quantized, dense
from jaxcompress.trace.inputs import first_line

_MOST_AXES = 5
_FIRST = 64  # numbers that are compared before all of them


class Weight(NamedTuple):
    """A constant of a graph that is a leaf of the tree.

    Attributes:
        name: of the constant.
        leaf: its number in the tree.
        form: a key of `_FORMS`.
        axes: in which order the graph has those of the leaf.
        shape: of the constant.
    """

    name: str
    leaf: int
    form: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the constant, at most."""
        return math.prod(self.shape) * (8 if self.form == DENSE else 1)

    def of(self, leaves: Sequence[Any]) -> np.ndarray:
        """Return the constant.

        Raises:
            ArtifactError: the leaf is of another kind or of other sizes.
        """
        try:
            found = _FORMS[self.form](leaves[self.leaf])
            return np.ascontiguousarray(found.transpose(self.axes).reshape(self.shape))
        except (AttributeError, IndexError, KeyError, ValueError) as error:
            raise ArtifactError(
                f"a constant of the program is no leaf of the file: {first_line(error)}"
            ) from None


def _floats(leaf: Any) -> np.ndarray:
    found = np.asarray(dense([leaf])[0])
    return found.astype(np.float32) if jnp.issubdtype(found.dtype, jnp.floating) else found


def _codes(leaf: Any) -> np.ndarray:
    return np.asarray(leaf.values).astype(np.int8)


DENSE = "dense"
_FORMS: dict[str, Callable[[Any], np.ndarray]] = {
    DENSE: _floats,
    "codes": _codes,
    "codes + 128": lambda leaf: (_codes(leaf).astype(np.int16) + 128).astype(np.uint8),
}
"""What graphs have of a leaf."""


class Finder:
    """Tells which leaf a constant is.

    Args:
        leaves: of the file.
    """

    def __init__(self, leaves: Sequence[Any]) -> None:
        self._leaves = leaves
        self._made: dict[tuple[int, str], np.ndarray] = {}

    def weight(self, name: str, values: np.ndarray) -> Weight | None:
        """Return the leaf and the order of its axes, None if the constant is no leaf.

        Args:
            name: of the constant.
            values: of the constant.
        """
        for number, leaf in enumerate(self._leaves):
            shape = np.shape(leaf)
            if math.prod(shape) != values.size or len(shape) > _MOST_AXES:
                continue
            for form in _FORMS if isinstance(leaf, Quantized) else (DENSE,):
                axes = _axes(self._form(number, form), values)
                if axes is not None:
                    return Weight(name, number, form, axes, values.shape)
        return None

    def _form(self, number: int, form: str) -> np.ndarray:
        key = number, form
        if key not in self._made:
            self._made[key] = _FORMS[form](self._leaves[number])
        return self._made[key]


def _axes(found: np.ndarray, values: np.ndarray) -> tuple[int, ...] | None:
    """Return the order of axes in which arrays are equal, None if there is none."""
    if found.dtype != values.dtype:
        return None
    first = values.reshape(-1)[:_FIRST]
    for axes in itertools.permutations(range(found.ndim)):
        turned = found.transpose(axes)
        if np.array_equal(turned.flat[:_FIRST], first) and np.array_equal(
            turned.reshape(values.shape), values
        ):
            return axes
    return None


def read_weights(told: Any) -> list[Weight]:
    """Return what a manifest says of weights.

    Raises:
        ValueError: it is not of this form.
    """
    if not isinstance(told, list):
        raise ValueError(f"weights {told!r:.40}")
    found = []
    for row in told:
        name, leaf, form, axes, shape = row
        numbers = [leaf, *axes, *shape]
        if not isinstance(name, str) or form not in _FORMS:
            raise ValueError(f"a weight {row!r:.80}")
        if not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError(f"a weight {row!r:.80}")
        found.append(Weight(name, leaf, form, tuple(axes), tuple(shape)))
    if len({each.name for each in found}) < len(found):
        raise ValueError("weights of the same name")
    return found
