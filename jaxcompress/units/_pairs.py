"""Groups of two units: whether the code follows is seen with three, of which one goes.

Code is traced otherwise for one unit than for several: `jnp.matmul` writes the products of one head
without a batch. That equations differ when two units become one tells nothing then. With a third
unit added, one that goes leaves the equations as they are, if the code follows.
"""

from collections.abc import Callable, Sequence

from jaxcompress.trace.program import abstract
from jaxcompress.trees import PyTree
from jaxcompress.units.patterns import Found, read_groups
from jaxcompress.units.trials import Trial
from jaxcompress.units.walk import Units

TraceAgain = Callable[[Trial, PyTree], Units]
"""From a trial and shapes of parameters to what walking its function with them finds."""


def with_pairs(
    trial: Trial, found: Sequence[Found], good: Sequence[Found], trace_again: TraceAgain
) -> list[Found]:
    """Return the groups that the code follows, those of two units that it follows from three too.

    Args:
        trial: has tried out the groups.
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
    """Return whether the code follows when one unit of three goes, and units of other groups."""
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
    except Exception:  # whatever the code raises, it does not run with three
        return False
    there: dict[object, list[Found]] = {}
    for group in read_groups(units, trial.paths)[0]:
        there.setdefault(_form(group), []).append(group)
    # Of other groups those that are the same: the axes of some have more entries a unit now.
    grown = [_take(there, (3, slices)) for _, slices in map(_form, pairs)]
    others = [_take(there, form) for form in map(_form, good)]
    bigger = trial._replace(params=params, units=units, seen={})
    return all(grown) and bigger.complaint([*filter(None, (*grown, *others))]) is None


def _take(groups: dict[object, list[Found]], form: object) -> Found | None:
    return groups[form].pop(0) if groups.get(form) else None


def _form(group: Found) -> tuple[int, frozenset[tuple[str, int, int]]]:
    """Return how many units there are, and what each has on which axes."""
    slices = frozenset((part.path, part.axis, part.indices.shape[1]) for part in group.slices)
    return len(group.components), slices


def _places(group: Found) -> list[int]:
    return group.components.tolist()
