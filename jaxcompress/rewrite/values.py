"""What a function computes from its parameters alone, and leaves that make it something else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.trace.moves import MOVES
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind, trace
from jaxcompress.trees import NamedLeaves, PyTree, is_floating, is_traced, named_leaves

_OUTPUT = -1
"""Stands for what a program returns where equations have numbers."""


def tolerance(dtype: Any) -> float:
    """Return the relative error up to which numbers count as equal: 1.2e-4 for float32."""
    return float(np.sqrt(float(jnp.finfo(dtype).eps)) / 3)


class Expressions:
    """The values of a function that depend on no input, for leaves that may change.

    Attributes:
        program: of the function.
        named: its parameters as they were.
        leaves: as they are.
    """

    def __init__(self, program: Program, named: NamedLeaves) -> None:
        self.program, self.named, self.leaves = program, named, list(named.leaves)
        self._number = {value: k for k, value in enumerate(program.inputs[: len(self.leaves)])}
        self._makers: dict[int, Equation] = {}
        for equation in program.equations:
            if all(map(self.known, equation.operands)):
                self._makers.update(dict.fromkeys(equation.results, equation))
        self._readers = _readers(program, self._makers)
        self._values: dict[int, Any] = {}

    @classmethod
    def of(
        cls, apply: Callable[..., PyTree], tree: PyTree, inputs: Sequence[PyTree]
    ) -> "Expressions":
        """Return the values of `apply(tree, *inputs)`.

        Raises:
            ValueError: as `trace`.
            TypeError: as `trace`, and leaves that have no values.
        """
        named = named_leaves(tree)
        for path, leaf in zip(named.paths, named.leaves, strict=True):
            if isinstance(leaf, jax.ShapeDtypeStruct) or is_traced(leaf):
                raise TypeError(
                    f"{path}: must be an array with values, got {type(leaf).__name__}; call this "
                    "outside of jit, on trained parameters."
                )
        return cls(trace(apply, tree, *inputs), named)

    def tree(self) -> PyTree:
        """Return the tree of the leaves, of which each is an array of JAX if it was one."""
        return self.named.rebuild(
            [
                jnp.asarray(new) if isinstance(old, jax.Array) and new is not old else new
                for new, old in zip(self.leaves, self.named.leaves, strict=True)
            ]
        )

    def known(self, operand: Operand) -> bool:
        """Return whether an operand depends on no input."""
        return isinstance(operand, Constant) or operand in self._number or operand in self._makers

    @np.errstate(over="ignore")
    def change(self, leaf: int, array: Any) -> None:
        """Give a leaf other entries, in the dtype that it has."""
        self.leaves[leaf] = np.asarray(array).astype(self.leaves[leaf].dtype)
        self._values.clear()

    def restore(self, leaves: Sequence[Any]) -> None:
        """Give all leaves the entries that they had."""
        self.leaves = list(leaves)
        self._values.clear()

    def value(self, operand: Operand) -> Any:
        """Return the array that an operand is."""
        if isinstance(operand, Constant):
            return operand.value
        if operand in self._number:
            return self.leaves[self._number[operand]]
        if operand not in self._values:
            maker = self._makers[operand]
            given = list(map(self.value, maker.operands))
            if maker.name == "broadcast_in_dim":  # a view: it may have the size of activations
                results = [MOVES[maker.name](np.asarray(given[0]), maker.params)]
            else:
                results = bind(maker, given)
            self._values.update(zip(maker.results, results, strict=True))
        return self._values[operand]

    def readers(self, leaf: int) -> frozenset[int]:
        """Return the equations with inputs that a leaf enters, -1 for what is returned."""
        return self._readers.get(self.program.inputs[leaf], frozenset())

    def solve(self, operand: Operand, target: np.ndarray, among: frozenset[int]) -> bool:
        """Change one leaf so that an operand gets a value.

        The leaf with the fewest operations between is taken. It is tried: the operand must have
        the value then.

        Args:
            operand: what depends on no input.
            target: its value, of its shape.
            among: equations; a leaf that enters others is not touched.

        Returns:
            Whether there is such a leaf; if not, all stay as they were.
        """
        if np.array_equal(wide(self.value(operand)), target):
            return True
        for leaf, path in sorted(self._paths(operand), key=lambda found: len(found[1])):
            if not (is_floating(self.leaves[leaf]) and self.readers(leaf) <= among):
                continue
            before, solution = list(self.leaves), self._undo(path, target)
            if solution is None:
                continue
            self.change(leaf, solution)
            found = self.value(operand)
            if close(found, target, found.dtype, self.leaves[leaf].dtype):
                return True
            self.restore(before)
        return False

    def _paths(self, operand: Operand) -> Iterator[tuple[int, list[tuple[Equation, int]]]]:
        """Yield leaves below an operand, with the equations between and the places in them."""
        if isinstance(operand, Constant):
            return
        if operand in self._number:
            yield self._number[operand], []
            return
        maker = self._makers[operand]
        if maker.name in INVERSES or (maker.name in MOVES and not maker.bodies):
            for place, lower in enumerate(maker.operands):
                for leaf, path in self._paths(lower):
                    yield leaf, [(maker, place), *path]

    def _undo(self, path: Sequence[tuple[Equation, int]], target: np.ndarray) -> np.ndarray | None:
        for equation, place in path:
            given = [wide(self.value(operand)) for operand in equation.operands]
            old = given[place]
            with np.errstate(all="ignore"):
                if equation.name in MOVES:
                    new = old.copy()
                    index = np.arange(old.size).reshape(old.shape)
                    new.reshape(-1)[MOVES[equation.name](index, equation.params)] = target
                else:
                    new = INVERSES[equation.name](target, given, place, equation.params)
            if new.ndim != old.ndim:
                return None
            new = new[tuple(slice(1) if size == 1 else slice(None) for size in old.shape)]
            # Where the operand does not matter, as beside a factor of 0, it stays.
            target = np.where(np.isfinite(new), new, old)
        return target


Inverse = Callable[[np.ndarray, Sequence[np.ndarray], int, Mapping[str, Any]], np.ndarray]
"""From a result, the operands, the place of one and the parameters to what this one must be."""

INVERSES: dict[str, Inverse] = {
    "add": lambda result, given, place, _: result - given[1 - place],
    "sub": lambda result, given, place, _: result + given[1] if place == 0 else given[0] - result,
    "mul": lambda result, given, place, _: result / given[1 - place],
    "div": lambda result, given, place, _: result * given[1] if place == 0 else given[0] / result,
    "neg": lambda result, *_: -result,
    "rsqrt": lambda result, *_: result**-2.0,
    "sqrt": lambda result, *_: result**2.0,
    "square": lambda result, *_: np.sqrt(result),
    "integer_pow": lambda result, given, place, params: result ** (1 / params["y"]),
    "exp": lambda result, *_: np.log(result),
}
"""Primitives that can be undone for one of their operands."""


def _readers(program: Program, makers: Mapping[int, Equation]) -> dict[int, frozenset[int]]:
    """Return by value the equations that it enters in the end, past those without inputs."""
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


def wide(array: Any) -> np.ndarray:
    """Return an array in float64."""
    return np.asarray(array).astype(np.float64)


def close(array: Any, target: np.ndarray, *dtypes: Any) -> bool:
    """Return whether an array is a target but for the rounding of some dtypes."""
    within = max(map(tolerance, dtypes)) * np.abs(target).max(initial=0.0)
    return bool(np.all(np.abs(wide(array) - target) <= within))
