"""What is left of every value when units are removed, and whether a smaller program agrees."""

import numpy as np

from jaxcompress.trace.program import Constant, Equation, Program
from jaxcompress.units._rules import Value
from jaxcompress.units.dependencies import UNIFORM, Axis
from jaxcompress.units.walk import Walk


class Cut:
    """Removed nodes, and what is left of axes without them.

    Many values have the same array of ids: each array is read once.
    """

    def __init__(self, removed: np.ndarray) -> None:
        self.removed = removed
        self._known: dict[int, tuple[Axis, np.ndarray, int, int]] = {}

    def gone(self, axis: Axis) -> np.ndarray:
        """Return `[n]` booleans, True for removed entries."""
        return self._look(axis)[1]

    def left(self, axis: Axis) -> int:
        """Return how many entries are left."""
        return self._look(axis)[2]

    def shape(self, value: Value) -> tuple[int, ...]:
        """Return the shape of a value without the removed entries."""
        return tuple(map(self.left, value))

    def fits(self, shape: tuple[int, ...], value: Value) -> bool:
        """Return whether a shape is what is left of a value; uniform entries follow any cut."""
        if len(shape) != len(value):
            return False
        for size, axis in zip(shape, value, strict=True):
            _, _, most, loose = self._look(axis)
            if not most - loose <= size <= most:
                return False
        return True

    def _look(self, axis: Axis) -> tuple[Axis, np.ndarray, int, int]:
        found = self._known.get(id(axis))
        if found is None:  # keeps the array alive, so that no other gets its id()
            gone = np.zeros(axis.shape[1], bool)
            if self.removed.size:
                gone = np.any((axis >= 0) & self.removed[np.maximum(axis, 0)], axis=0)
            loose = int(np.count_nonzero((axis == UNIFORM).all(axis=0)))
            found = (axis, gone, int(np.count_nonzero(~gone)), loose)
            self._known[id(axis)] = found
        return found


def mismatch(program: Program, walk: Walk, small: Program, cut: Cut) -> str | None:
    """Say where a program traced at smaller sizes is not the full one without the removed units.

    Returns:
        None if both have the same equations and every value has the predicted shape;
        otherwise the first difference.
    """
    if len(program.equations) != len(small.equations):
        return f"{len(program.equations)} equations became {len(small.equations)}"
    for number, (full, other) in enumerate(zip(program.equations, small.equations, strict=True)):
        if full.name != other.name:
            return f"{full.name} became {other.name}"
        for before, after in zip(full.results, other.results, strict=True):
            if not cut.fits(small.shapes[after], walk.values[before]):
                return (
                    f"{full.name} gives {_text(small.shapes[after])} where "
                    f"{_text(cut.shape(walk.values[before]))} are left of "
                    f"{_text(program.shapes[before])}"
                )
        found = _misplaced(full, other, walk, small, cut)
        for own, body, theirs in zip(
            walk.bodies.get(number, []), full.bodies, other.bodies, strict=False
        ):
            found = found or mismatch(body, own, theirs, cut)
        if found:
            return found
    return None


def other_results(program: Program, small: Program) -> str | None:
    """Say whether shapes of results, never cut, changed; `mismatch` compares equations only."""
    before, after = ([_text(p.shape(o)) for o in p.outputs] for p in (program, small))
    if before == after:
        return None
    return f"results of {', '.join(before)} became {', '.join(after)}"


def _misplaced(full: Equation, other: Equation, walk: Walk, small: Program, cut: Cut) -> str | None:
    """Check which entries slices take, and how much is padded in front."""
    if full.name not in ("slice", "pad") or isinstance(full.operands[0], Constant):
        return None
    for k, axis in enumerate(walk.values[full.operands[0]]):
        if full.name == "slice":
            left = np.flatnonzero(~cut.gone(axis))
            if len(left) != small.shape(other.operands[0])[k]:
                continue  # uniform entries, which follow any cut
            wanted = np.arange(axis.shape[1])[_taken(full, k)]
            given = left[_taken(other, k)]
            if not np.array_equal(given, wanted[np.isin(wanted, left)]):
                return "slice takes other entries than those that are left"
            continue
        before, after = (e.params["padding_config"][k][0] for e in (full, other))
        result = walk.values[full.results[0]][k]
        predicted = int(np.count_nonzero(~cut.gone(result)[: max(before, 0)]))
        if before > 0 and predicted != after:
            return f"pad starts at {after} where {predicted} are left before"
    return None


def _taken(equation: Equation, axis: int) -> slice:
    params = equation.params
    stride = params["strides"][axis] if params["strides"] else 1
    return slice(params["start_indices"][axis], params["limit_indices"][axis], stride)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"
