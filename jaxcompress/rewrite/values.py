"""Values that a function computes from its parameters alone, for any entries of these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.placement import like, on_host
from jaxcompress.trace.moves import MOVES
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind, trace
from jaxcompress.trees import NamedLeaves, PyTree, is_traced, named_leaves

_OUTPUT = -1
"""Stands for the outputs of a program among numbers of equations."""


class _Known(NamedTuple):
    """Values that depend on no input, by number of the value.

    Attributes:
        leaves: numbers of the parameters.
        makers: equations that compute the others.
        sources: numbers of the parameters on which each depends.
    """

    leaves: dict[int, int]
    makers: dict[int, Equation]
    sources: dict[int, frozenset[int]]


@dataclass(frozen=True, eq=False, repr=False)
class Values:
    """The values of a function that depend on no input.

    Attributes:
        program: of the function.
        named: its original parameters.
        leaves: its present parameters.
    """

    program: Program
    named: NamedLeaves
    leaves: tuple[Any, ...]
    _known: _Known
    _readers: Mapping[int, frozenset[int]]
    _computed: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, apply: Callable[..., PyTree], tree: PyTree, inputs: Sequence[PyTree]) -> "Values":
        """Return the values of `apply(tree, *inputs)`.

        Raises:
            ValueError: as `trace`.
            TypeError: as `trace`; leaves without values.
        """
        named = named_leaves(tree)
        for path, leaf in zip(named.paths, named.leaves, strict=True):
            if isinstance(leaf, jax.ShapeDtypeStruct) or is_traced(leaf):
                raise TypeError(
                    f"{path}: must be an array with values, got {type(leaf).__name__}; call this "
                    "outside of jit, on trained parameters."
                )
        program = trace(apply, tree, *inputs)
        known = _find_known(program, len(named.leaves))
        return cls(program, named, tuple(named.leaves), known, _readers(program, known.makers))

    def tree(self) -> PyTree:
        """Return the tree of the leaves; a leaf is an array of JAX if it was one before."""
        return self.named.rebuild(
            [
                like(jnp.asarray(new), old)
                if isinstance(old, jax.Array) and new is not old
                else new
                for new, old in zip(self.leaves, self.named.leaves, strict=True)
            ]
        )

    @np.errstate(over="ignore")
    def with_leaf(self, number: int, array: Any) -> "Values":
        """Return the values with other entries of one leaf, in its dtype."""
        new = np.asarray(array).astype(self.leaves[number].dtype)
        return self.with_leaves((*self.leaves[:number], new, *self.leaves[number + 1 :]))

    def with_leaves(self, leaves: tuple[Any, ...]) -> "Values":
        """Return the values with other leaves; only those that depend on them are computed anew."""
        both = enumerate(zip(leaves, self.leaves, strict=True))
        changed = {number for number, (new, old) in both if new is not old}
        sources = self._known.sources
        left = {k: array for k, array in self._computed.items() if not sources[k] & changed}
        return replace(self, leaves=leaves, _computed=left)

    def known(self, operand: Operand) -> bool:
        """Return whether an operand depends on no input."""
        return isinstance(operand, Constant) or operand in self._known.sources

    def leaf(self, operand: int) -> int | None:
        """Return the number of the leaf of an operand, None if the operand is computed."""
        return self._known.leaves.get(operand)

    def maker(self, operand: int) -> Equation:
        """Return the equation that computes an operand without inputs."""
        return self._known.makers[operand]

    def readers(self, leaf: int) -> frozenset[int]:
        """Return the first equations with inputs that depend on a leaf, -1 for the outputs."""
        return self._readers.get(self.program.inputs[leaf], frozenset())

    def value(self, operand: Operand) -> Any:
        """Return the array of an operand."""
        if isinstance(operand, Constant):
            return operand.value
        if (leaf := self.leaf(operand)) is not None:
            return self.leaves[leaf]
        if operand not in self._computed:  # the only mutation: a cache
            maker = self.maker(operand)
            given = list(map(self.value, maker.operands))
            if maker.name == "broadcast_in_dim":  # a view: it may have the size of activations
                results = [MOVES[maker.name](on_host(given[0]), maker.params)]
            else:
                results = bind(maker, given)
            self._computed.update(zip(maker.results, results, strict=True))
        return self._computed[operand]


def _find_known(program: Program, parameters: int) -> _Known:
    """Return values that depend on the first inputs and on constants alone."""
    leaves = {value: leaf for leaf, value in enumerate(program.inputs[:parameters])}
    makers: dict[int, Equation] = {}
    sources = {value: frozenset({leaf}) for value, leaf in leaves.items()}
    for equation in program.equations:
        values = [operand for operand in equation.operands if isinstance(operand, int)]
        if all(value in sources for value in values):
            below = frozenset().union(*(sources[value] for value in values))
            makers.update(dict.fromkeys(equation.results, equation))
            sources.update(dict.fromkeys(equation.results, below))
    return _Known(leaves, makers, sources)


def _readers(program: Program, makers: Mapping[int, Equation]) -> dict[int, frozenset[int]]:
    """Return for each value the first equations with inputs that depend on it."""
    found: dict[int, frozenset[int]] = {
        operand: frozenset({_OUTPUT}) for operand in program.outputs if isinstance(operand, int)
    }
    for number, equation in reversed(list(enumerate(program.equations))):
        results = [found.get(result, frozenset()) for result in equation.results]
        alone = equation.results and equation.results[0] in makers
        ends = frozenset().union(*results) if alone else frozenset({number})
        for operand in equation.operands:
            if isinstance(operand, int):
                found[operand] = found.get(operand, frozenset()) | ends
    return found


def tolerance(dtype: Any) -> float:
    """Return the relative error up to which numbers count as equal: 1.2e-4 for float32."""
    return float(np.sqrt(float(jnp.finfo(dtype).eps)) / 3)


def wide(array: Any) -> np.ndarray:
    """Return an array in float64."""
    return on_host(array).astype(np.float64)


def close(array: Any, target: np.ndarray, *dtypes: Any) -> bool:
    """Return whether an array equals a target up to the rounding of some dtypes."""
    within = max(map(tolerance, dtypes)) * np.abs(target).max(initial=0.0)
    return bool(np.all(np.abs(wide(array) - target) <= within))
