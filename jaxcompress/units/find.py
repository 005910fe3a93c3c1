"""Finding the units of a function by tracing it, and trying whether its code follows a cut."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_unique
from jaxcompress.costs.counting import count_flops
from jaxcompress.trace.inputs import other_examples
from jaxcompress.trace.program import trace
from jaxcompress.trees import PyTree, named_leaves, shapes_of
from jaxcompress.units._coupling import couple
from jaxcompress.units._failures import Failure
from jaxcompress.units._pairs import with_pairs
from jaxcompress.units.groups import UnitGroup, UnitGroups
from jaxcompress.units.patterns import (
    Found,
    frozen_axes,
    named_groups,
    read_groups,
    unknown_primitives,
)
from jaxcompress.units.trials import Rebuild, Trial, by_kind
from jaxcompress.units.walk import Units, find_units


def unit_groups(
    apply: Callable[..., PyTree],
    params: PyTree,
    *inputs: PyTree,
    others: Sequence[PyTree] = (),
    rebuild: Rebuild | None = None,
) -> UnitGroups:
    """Find the units of a function that can be cut out of its parameters, by tracing it.

    A unit is the set of all slices, of all leaves, that must be removed together: a convolution's
    output channel, the norm's scale and offset behind it, the input channel of the layers that read
    it. Units that reach an input, an output or a primitive without a rule are frozen: they cannot
    be removed.

    The function is traced again with fewer units of the groups. Groups that must lose equally many
    units are joined. Groups whose size is written down in the code are frozen too, each with its
    reason. Code that checks its sizes, such as modules that compare shapes with a configuration,
    raises an error of its own: its groups are found by tracing alone, and are marked as not tried
    unless `rebuild` gives the code for other sizes.

    Args:
        apply: `apply(params, *inputs)` that returns arrays.
        params: any pytree of arrays, or of shapes and dtypes; statistics of norms belong in it.
        *inputs: any pytrees of arrays, or of shapes and dtypes. Entries of an axis that this
            example does not use, such as rows of a position table beyond its length, are frozen.
        others: further examples, each an input or a tuple of inputs, with other sizes
            wherever sizes may vary. Slices that are removed together in one example always are;
            entries that only some examples use are frozen; entries that no example uses may be
            removed.
        rebuild: `rebuild(sizes)` gets the new shape of every leaf by path,
            `{"dense/kernel": (3, 8), ...}`, and returns the `apply` of the module built for these
            sizes. The groups are tried on it. It is called for each trial, and may raise any error
            for impossible sizes.

    Returns:
        The groups; they depend on shapes, not on values.

    Raises:
        ValueError: two leaves of one path, a function that does not run on these arrays, or whose
            shapes depend on their values; another example of the same shapes; a `rebuild` that
            does not give the same function at the present sizes.
        TypeError: leaves, inputs or results that are not arrays.

    Example:
        >>> params = {"in": np.ones((3, 8)), "out": np.ones((8, 2))}
        >>> apply = lambda p, x: np.tanh(1) * (x @ p["in"]) @ p["out"]
        >>> print(unit_groups(apply, params, np.ones((1, 3))))
        group  units  parameters a unit  FLOPs a unit  goes with a unit: path:axis x indices
        in         8                  5            10  in:1, out:0
        <BLANKLINE>
        stays                                          in:0  [an input]
        stays                                          out:1  [an output]

        A module that checks its sizes is rebuilt from the shapes of its parameters:

        >>> def build(width):
        ...     def apply(p, x):
        ...         if p["in"].shape[1] != width:
        ...             raise ValueError(f"expected a width of {width}")
        ...         return x @ p["in"] @ p["out"]
        ...     return apply
        >>> unit_groups(build(8), params, np.ones((1, 3)))["in"].untried
        'ValueError: expected a width of 8'
        >>> rebuild = lambda sizes: build(sizes["in"][1])
        >>> unit_groups(build(8), params, np.ones((1, 3)), rebuild=rebuild)["in"].untried
        ''

    Source: Fang et al. 2023 (DepGraph), arXiv:2301.12900, introduced coupled layers; here
    equations are walked instead of modules.
    """
    return _group(apply, params, inputs, other_examples(inputs, others), rebuild)


def trace_units(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    *,
    part: bool,
    others: Sequence[Sequence[PyTree]] = (),
) -> Units:
    """Trace and walk the function; keys and integers among its parameters are frozen.

    Args:
        apply: `apply(params, *inputs)`.
        params: as in `unit_groups`.
        inputs: as in `unit_groups`.
        part: whether an axis may have units of two kinds.
        others: further examples, each the inputs behind `params`.
    """
    whole = [
        not (jnp.issubdtype(leaf.dtype, jnp.inexact) or leaf.dtype == bool)
        for leaf in named_leaves(params).leaves
    ]
    program, *more = [trace(apply, params, *example) for example in (inputs, *others)]
    return find_units(program, whole, part=part, others=more)


def _group(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    others: Sequence[Sequence[PyTree]],
    rebuild: Rebuild | None,
) -> UnitGroups:
    named = named_leaves(params)
    check_unique(named.paths)
    units = trace_units(apply, params, inputs, part=True, others=others)
    trial = Trial(apply, params, inputs, units, named.paths, rebuild, seen={}, raised={})
    if rebuild and (failure := trial.at_full_size()):
        raise ValueError(
            "rebuild: must give the same function at the sizes that the parameters have, got "
            f"{failure.text.rstrip('.')}; build it from the shapes in sizes, by path "
            f"({', '.join(named.paths[:3])}, ...)."
        )
    tried = _try_out(trial, others)
    parted = not tried.unproved or bool(tried.good)
    if not parted:
        # Trials cannot tell which kind of unit an axis has: take that of the first of the axes.
        units = trace_units(apply, params, inputs, part=False, others=others)
        tried = _try_out(trial._replace(units=units, seen={}), [])
    units = tried.trial.units
    marks = {group.mark for group in (*tried.good, *tried.unproved)}
    offered = [group for group in tried.found if group.mark in marks]
    untried = {group.mark: tried.failures[group.mark].text for group in tried.unproved}
    stuck: dict[str, list[np.ndarray]] = {"alone of its kind": [tried.alone]}
    code = "rebuilt code" if rebuild else "code"
    for group in tried.found:
        if group.mark not in marks:
            why = f"the {code} does not follow: {tried.failures[group.mark].text}"
            stuck.setdefault(why, []).append(group.components)
    shapes = shapes_of(params)
    by_path = count_flops(units.program, named.paths).by_path
    return UnitGroups(
        groups=tuple(
            replace(_with_flops(group, by_path, shapes), untried=untried.get(found.mark, ""))
            for group, found in zip(named_groups(offered, shapes), offered, strict=True)
        ),
        frozen=frozen_axes(
            units, named.paths, offered, {why: np.concatenate(ids) for why, ids in stuck.items()}
        ),
        unknown=unknown_primitives(units, named.paths),
        shapes=shapes,
        parted=parted,
        note=_note(list(untried.values())),
    )


class _Tried(NamedTuple):
    """Groups of a function after trials.

    Attributes:
        trial: has groups joined that must lose equally many units.
        found: all groups.
        alone: components that are the only ones of their kind.
        good: groups that the code follows.
        unproved: groups whose size the code checks, so that it must be built anew.
        failures: of groups that are not good, by mark.
    """

    trial: Trial
    found: list[Found]
    alone: np.ndarray
    good: list[Found]
    unproved: list[Found]
    failures: dict[int, Failure]


def _try_out(trial: Trial, others: Sequence[Sequence[PyTree]]) -> _Tried:
    found, alone = read_groups(trial.units, trial.paths)
    good, failures = trial.run(by_kind(found), [])
    if failures:
        trial, good = couple(trial, found, good, failures)
        found, alone = read_groups(trial.units, trial.paths)
        good, failures = _one_by_one(trial, found, good, failures)
        good = with_pairs(trial, found, good, trace_again)
    for example, (program, walk) in zip(others, trial.units.others if others else (), strict=True):
        units = trial.units._replace(program=program, walk=walk)
        elsewhere = trial._replace(inputs=example, units=units, seen={}, raised={})
        followed, more = elsewhere.run(by_kind(good), [])
        followed, more = _one_by_one(elsewhere, good, followed, more)
        good = with_pairs(elsewhere, good, followed, trace_again)
        failures |= more
    kept = {group.mark for group in good}
    checked = [g for g in found if g.mark not in kept and failures[g.mark].checked]
    unproved = [] if trial.rebuild else _apart(checked, good)
    return _Tried(trial, found, alone, good, unproved, failures)


def _one_by_one(
    trial: Trial, found: Sequence[Found], good: list[Found], failures: dict[int, Failure]
) -> tuple[list[Found], dict[int, Failure]]:
    """Try the groups without a result, and return the results of all."""
    known = {group.mark for group in good} | set(failures)
    good, more = trial.run([[group] for group in found if group.mark not in known], good)
    return good, failures | more


def trace_again(trial: Trial, params: PyTree) -> Units:
    """Trace and walk the function of a trial with parameters of other shapes."""
    return trace_units(trial.function(shapes_of(params)), params, trial.inputs, part=True)


def _apart(groups: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    """Return the groups that have no entry in common with others or with earlier ones."""
    taken = {entry for group in others for entry in _entries(group)}
    result = []
    for group in groups:
        mine = set(_entries(group))
        if taken.isdisjoint(mine):
            taken |= mine
            result.append(group)
    return result


def _entries(group: Found) -> Iterator[tuple[str, int, int]]:
    for part in group.slices:
        for index in part.indices.ravel().tolist():
            yield part.path, part.axis, index


def _note(errors: Sequence[str]) -> str:
    if not errors:
        return ""
    distinct = list(dict.fromkeys(errors))
    more = f", and {len(distinct) - _SHOWN} more errors" if len(distinct) > _SHOWN else ""
    return (
        f"The function does not run at smaller sizes ({'; '.join(distinct[:_SHOWN])}{more}), so "
        f"that the sizes of {len(errors)} group{'s' * (len(errors) > 1)} are not tried: pass "
        "rebuild=, which gives the function for other sizes, or rebuild it with the new sizes "
        "after the cut and check that one."
    )


_SHOWN = 3  # errors in the note


def _with_flops(
    group: UnitGroup, by_path: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]
) -> UnitGroup:
    """Fill in the operations of one unit: for each leaf, in proportion to its entries."""
    left: dict[str, float] = {}
    for part in group.slices:
        fraction = part.indices.shape[1] / shapes[part.path][part.axis]
        left[part.path] = left.get(part.path, 1.0) * (1 - fraction)
    carried = sum(by_path.get(path, 0) * (1 - rest) for path, rest in left.items())
    return replace(group, flops=round(carried))
