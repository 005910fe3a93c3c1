"""Finding the units of a function by tracing it, and trying out whether its code follows a cut."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress.costs.flops import count_flops
from jaxcompress.prune.groups import UnitGroup, UnitGroups
from jaxcompress.prune.patterns import (
    Found,
    frozen_axes,
    named_groups,
    read_groups,
    unknown_primitives,
)
from jaxcompress.trace.program import abstract, trace
from jaxcompress.trace.silence import mismatch, shape_left
from jaxcompress.trace.walk import Units, find_units
from jaxcompress.trees import PyTree, named_leaves


def unit_groups(apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree) -> UnitGroups:
    """Find the units of a function that can be cut out of its parameters, by tracing it.

    A unit is the set of all slices, of all leaves, that must go together: a convolution's output
    channel, the norm's scale and offset behind it, the input channel of what reads it. Units that
    reach an input or an output stay, and so does what a primitive without a rule touches.

    The function is traced again with fewer units of the groups. Groups that its code does not
    follow, because it has their size written down or has two lose equally many, stay too. Flax
    Linen checks shapes against its configuration and follows nothing: then the table says so, and
    holds what tracing alone has found.

    Args:
        apply: `apply(params, *inputs)` that returns arrays.
        params: any pytree of arrays, or of shapes and dtypes; statistics of norms belong in it.
        *inputs: any pytrees of arrays, or of shapes and dtypes.

    Returns:
        The groups; shapes decide them, values do not matter.

    Raises:
        ValueError: two leaves of one path.
        TypeError: leaves or results that are no arrays.

    Example:
        >>> params = {"in": np.ones((3, 8)), "out": np.ones((8, 2))}
        >>> apply = lambda p, x: np.tanh(1) * (x @ p["in"]) @ p["out"]
        >>> print(unit_groups(apply, params, np.ones((1, 3))))
        group  units  parameters a unit  FLOPs a unit  goes with a unit: path:axis x indices
        in         8                  5            10  in:1, out:0
        <BLANKLINE>
        stays                                          in:0  [an input]
        stays                                          out:1  [an output]

    Source: Fang et al. 2023 (DepGraph), arXiv:2301.12900, has the idea of coupled layers; here
    equations are walked instead of modules.
    """
    return _group(apply, params, inputs)


def trace_units(
    apply: Callable[..., PyTree], params: PyTree, inputs: Sequence[PyTree], *, part: bool
) -> Units:
    """Return what walking the function finds; keys and integers among its parameters stay.

    Args:
        apply: `apply(params, *inputs)`.
        params: as in `unit_groups`.
        inputs: as in `unit_groups`.
        part: whether units of two kinds may share an axis.
    """
    whole = [
        not (jnp.issubdtype(leaf.dtype, jnp.inexact) or leaf.dtype == bool)
        for leaf in named_leaves(params).leaves
    ]
    return find_units(trace(apply, params, *inputs), whole, part=part)


def _group(apply: Callable[..., PyTree], params: PyTree, inputs: Sequence[PyTree]) -> UnitGroups:
    named = named_leaves(params)
    twice = [path for path, times in Counter(named.paths).items() if times > 1]
    if twice:
        raise ValueError(
            f"{twice[0]}: a path must mean one leaf, got several; rename keys that hold a slash."
        )
    units = trace_units(apply, params, inputs, part=True)
    found, alone = read_groups(units, named.paths)
    trial = _Trial(apply, params, inputs, units, named.paths)
    good, complaint = trial.run(found)
    note = ""
    if found and not good and complaint.startswith(_CHECKED_BY_CONFIGURATION):
        units = trace_units(apply, params, inputs, part=False)
        found, alone = read_groups(units, named.paths)
        good = found
        note = (
            f"The function does not run at smaller sizes ({complaint}), so that its groups are not "
            "tried out: rebuild it with the new sizes after the cut."
        )
    kept = {id(group) for group in good}
    stuck = [group.components for group in found if id(group) not in kept]
    more = {"alone of its kind": alone}
    if stuck:
        more[f"the code does not follow: {complaint}"] = np.concatenate(stuck)
    shapes = {path: tuple(leaf.shape) for path, leaf in zip(named.paths, named.leaves, strict=True)}
    by_path = count_flops(units.program, named.paths).by_path
    return UnitGroups(
        groups=tuple(_with_flops(g, by_path, shapes) for g in named_groups(good, shapes)),
        frozen=frozen_axes(units, named.paths, good, more),
        unknown=unknown_primitives(units, named.paths),
        shapes=shapes,
        parted=not note,
        note=note,
    )


def _with_flops(
    group: UnitGroup, by_path: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]
) -> UnitGroup:
    """Fill in the operations that go with one unit: of each leaf the share that its entries are."""
    left: dict[str, float] = {}
    for part in group.slices:
        share = part.indices.shape[1] / shapes[part.path][part.axis]
        left[part.path] = left.get(part.path, 1.0) * (1 - share)
    carried = sum(by_path.get(path, 0) * (1 - rest) for path, rest in left.items())
    return replace(group, flops=round(carried))


_CHECKED_BY_CONFIGURATION = "ScopeParamShapeError"  # Flax Linen's: modules are built anew


class _Trial(NamedTuple):
    """Traces a function with fewer units of some groups."""

    apply: Callable[..., PyTree]
    params: PyTree
    inputs: Sequence[PyTree]
    units: Units
    paths: list[str]

    def run(self, found: list[Found]) -> tuple[list[Found], str]:
        """Return the groups that the code follows, and what went wrong with the first other.

        Plain groups first, all at once, then kind by kind; of a kind that fails, one by one,
        unless the first fails alone.
        """
        complaint = self.complaint(found)
        if complaint is None:
            return found, ""
        plain = [group for group in found if not group.layered]
        good = plain if plain and self.complaint(plain) is None else []
        kinds: dict[Any, list[Found]] = {}
        for group in [g for g in found if g.layered] if good else found:
            kinds.setdefault(group.kind, []).append(group)
        for _, groups in sorted(kinds.items()):
            good = good + self._followed(good, groups)
        followed = {id(group) for group in good}
        order = [group for group in found if id(group) in followed]
        first = next((group for group in found if id(group) not in followed), None)
        return order, (self.complaint([first]) or complaint) if first else complaint

    def _followed(self, good: list[Found], groups: list[Found]) -> list[Found]:
        if self.complaint([*good, *groups]) is None:
            return groups
        more: list[Found] = []
        for group in groups if len(groups) > 1 else []:
            if self.complaint([*good, *more, group]) is None:
                more.append(group)
            elif group is groups[0]:
                break
        return more

    def complaint(self, groups: Sequence[Found]) -> str | None:
        """Return what goes wrong when units of each group go, or None.

        The first unit of all groups, the last, and a half: where a unit stands must not matter.
        Then a half of some groups and none of the others, so that for any two there is a trial
        that cuts one alone: groups that must lose equally many are found out.
        """
        rng = np.random.default_rng(0)
        halves = [rng.permutation(g.components)[: len(g.components) // 2] for g in groups]
        every = range(len(groups))
        trials = [
            [groups[k].components[:1] for k in every],
            [groups[k].components[-1:] for k in every],
            halves,
        ]
        for bit in range(len(groups).bit_length() if len(groups) > 1 else 0):
            trials.append([halves[k] for k in every if k >> bit & 1])
        for trial in trials:
            if trial and (found := self._trial(np.concatenate(trial))):
                return found
        return None

    def _trial(self, components: np.ndarray) -> str | None:
        units = self.units
        out = np.zeros(units.solution.components, bool)
        out[components] = True
        removed = out[units.solution.component]
        shapes = {
            path: shape_left(units.walk.values[units.program.inputs[k]], removed)
            for k, path in enumerate(self.paths)
        }
        try:
            small = trace(self.apply, abstract(self.params, shapes), *self.inputs)
        except Exception as error:  # whatever the code raises, it does not follow
            lines = str(error).strip().splitlines() or [""]
            return f"{type(error).__name__}: {shorten(lines[0], 100)}"
        return mismatch(units.program, units.walk, small, removed)
