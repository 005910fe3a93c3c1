"""Groups of two units: three units, of which one is removed, show whether the code follows.

Some code is traced differently for one unit than for several: `jnp.matmul` writes the products of
one head without a batch. Then different equations for one unit and for two prove nothing. With a
third unit added, removing one does not change the equations if the code follows.
"""

from collections.abc import Callable, Sequence

from jaxcompress.trace.program import abstract
from jaxcompress.trees import PyTree
from jaxcompress.units.patterns import Found, read_groups
from jaxcompress.units.trials import Trial
from jaxcompress.units.walk import Units

TraceAgain = Callable[[Trial, PyTree], Units]
"""From a trial and shapes of parameters to the units of its function at these shapes."""


def with_pairs(
    trial: Trial, found: Sequence[Found], good: Sequence[Found], trace_again: TraceAgain
) -> list[Found]:
    """Return the groups that the code follows, pairs that it follows from three units included.

    Args:
        trial: has tried the groups.
        found: all groups.
        good: those that the code follows.
        trace_again: traces and walks the function of a trial.
    """
    kept = {place for group in good for place in _places(group)}
    kinds: dict[object, list[Found]] = {}
    for group in found:
        if len(group.components) == 2 and kept.isdisjoint(_places(group)):
            kinds.setdefault(group.kind, []).append(group)
    for alike in kinds.values():
        if _follows_from_three(trial, alike, good, trace_again):
            kept.update(place for group in alike for place in _places(group))
    return [group for group in found if not kept.isdisjoint(_places(group))]


def _follows_from_three(
    trial: Trial, pairs: Sequence[Found], good: Sequence[Found], trace_again: TraceAgain
) -> bool:
    """Return whether the code follows with one unit of three removed, and units of other groups."""
    inputs = trial.units.program.inputs[: len(trial.paths)]
    shapes = {
        path: list(trial.units.program.shapes[value])
        for path, value in zip(trial.paths, inputs, strict=True)
    }
    for group in pairs:
        for part in group.slices:
            shapes[part.path][part.axis] += part.indices.shape[1]
    params = abstract(trial.params, {path: tuple(sizes) for path, sizes in shapes.items()})
    try:
        units = trace_again(trial, params)
    except MemoryError:
        raise
    except Exception:  # whatever the code raises, it does not run with three units
        return False
    there: dict[object, list[Found]] = {}
    for group in read_groups(units, trial.paths)[0]:
        there.setdefault(_form(group), []).append(group)
    # Only those other groups that did not change: some now have more entries a unit.
    grown = [_take(there, (3, slices)) for _, slices in map(_form, pairs)]
    others = [_take(there, form) for form in map(_form, good)]
    bigger = trial._replace(params=params, units=units, seen={})
    return all(grown) and bigger.complaint([*filter(None, (*grown, *others))]) is None


def _take(groups: dict[object, list[Found]], form: object) -> Found | None:
    return groups[form].pop(0) if groups.get(form) else None


def _form(group: Found) -> tuple[int, frozenset[tuple[str, int, int]]]:
    """Return the number of units, and how many entries each has on which axes."""
    slices = frozenset((part.path, part.axis, part.indices.shape[1]) for part in group.slices)
    return len(group.components), slices


def _places(group: Found) -> list[int]:
    return group.components.tolist()
