"""Finding the units of a function by tracing it, and trying out whether its code follows a cut."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from jaxcompress.costs.flops import count_flops
from jaxcompress.prune.coupling import couple
from jaxcompress.prune.groups import UnitGroup, UnitGroups
from jaxcompress.prune.pairs import TraceAgain, with_pairs
from jaxcompress.prune.patterns import (
    frozen_axes,
    named_groups,
    read_groups,
    unknown_primitives,
)
from jaxcompress.prune.trials import Trial
from jaxcompress.trace.inputs import as_inputs, check_inputs
from jaxcompress.trace.program import trace
from jaxcompress.trace.walk import Units, find_units
from jaxcompress.trees import PyTree, named_leaves


def unit_groups(
    apply: Callable[..., PyTree],
    params: PyTree,
    *inputs: PyTree,
    others: Sequence[PyTree] = (),
) -> UnitGroups:
    """Find the units of a function that can be cut out of its parameters, by tracing it.

    A unit is the set of all slices, of all leaves, that must go together: a convolution's output
    channel, the norm's scale and offset behind it, the input channel of what reads it. Units that
    reach an input or an output stay, and so does what a primitive without a rule touches.

    The function is traced again with fewer units of the groups. Groups that must lose equally many
    are joined, and those that its code does not follow, because it has their size written down,
    stay too. Flax Linen checks shapes against its configuration and follows nothing: then the table
    says so, and holds what tracing alone has found.

    Args:
        apply: `apply(params, *inputs)` that returns arrays.
        params: any pytree of arrays, or of shapes and dtypes; statistics of norms belong in it.
        *inputs: any pytrees of arrays, or of shapes and dtypes. Entries of an axis that this
            example does not use, such as the rows of a table of positions behind its length, stay.
        others: further examples, each an input or a tuple of inputs, of other sizes in whatever
            may have other sizes. What goes together in one of them does, what the examples use
            differently stays, and what all of them leave unused alike may go.

    Returns:
        The groups; shapes decide them, values do not matter.

    Raises:
        ValueError: two leaves of one path, a function that does not run on these arrays, or whose
            shapes depend on their values, another example of the same shapes.
        TypeError: leaves, inputs or results that are no arrays.

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
    return _group(apply, params, inputs, _other_examples(inputs, others))


def _other_examples(inputs: Sequence[PyTree], others: Sequence[PyTree]) -> list[tuple[PyTree, ...]]:
    """Return further examples as tuples; those that can tell nothing are refused."""
    if not isinstance(others, list | tuple):
        raise TypeError(
            f"others: must be a list of examples, got {type(others).__name__}; put it in one."
        )
    examples, seen = list(map(as_inputs, others)), [check_inputs(inputs)]
    for number, example in enumerate(examples):
        if (shapes := check_inputs(example)) in seen:
            raise ValueError(
                f"others[{number}]: must have other shapes than the examples before it, got "
                f"{', '.join(shapes)}; make it longer, or leave it out."
            )
        seen.append(shapes)
    return examples


def trace_units(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    *,
    part: bool,
    others: Sequence[Sequence[PyTree]] = (),
) -> Units:
    """Return what walking the function finds; keys and integers among its parameters stay.

    Args:
        apply: `apply(params, *inputs)`.
        params: as in `unit_groups`.
        inputs: as in `unit_groups`.
        part: whether units of two kinds may share an axis.
        others: further examples, each all that follows `params`.
    """
    whole = [
        not (jnp.issubdtype(leaf.dtype, jnp.inexact) or leaf.dtype == bool)
        for leaf in named_leaves(params).leaves
    ]
    program, *more = [trace(apply, params, *example) for example in (inputs, *others)]
    return find_units(program, whole, part=part, others=more)


def _tracing(apply: Callable[..., PyTree], inputs: Sequence[PyTree]) -> TraceAgain:
    return lambda params: trace_units(apply, params, inputs, part=True)


def _group(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    others: Sequence[Sequence[PyTree]],
) -> UnitGroups:
    named = named_leaves(params)
    twice = [path for path, times in Counter(named.paths).items() if times > 1]
    if twice:
        raise ValueError(
            f"{twice[0]}: a path must mean one leaf, got several; rename keys that hold a slash."
        )
    units = trace_units(apply, params, inputs, part=True, others=others)
    found, alone = read_groups(units, named.paths)
    trial = Trial(apply, params, inputs, units, named.paths)
    good, complaint = trial.run(found)
    note = ""
    if found and not good and complaint.startswith(_CHECKED_BY_CONFIGURATION):
        units = trace_units(apply, params, inputs, part=False, others=others)
        found, alone = read_groups(units, named.paths)
        good = found
        note = (
            f"The function does not run at smaller sizes ({complaint}), so that its groups are not "
            "tried out: rebuild it with the new sizes after the cut."
        )
    elif len(good) < len(found):
        trial, good = couple(trial, found, good)
        units = trial.units
        found, alone = read_groups(units, named.paths)
        good = with_pairs(trial, found, good, _tracing(apply, inputs))
    for example, (program, walk) in zip(others, units.others if not note else [], strict=False):
        elsewhere = trial._replace(inputs=example, units=units._replace(program=program, walk=walk))
        followed, complained = elsewhere.run(good)
        good = with_pairs(elsewhere, good, followed, _tracing(apply, example))
        complaint = complained or complaint
    kept = {group.components[0] for group in good}
    stuck = [group for group in found if group.components[0] not in kept]
    more = {"alone of its kind": alone}
    if stuck:
        complaint = trial.complaint(stuck[:1]) or complaint
        more[f"the code does not follow: {complaint}"] = np.concatenate(
            [group.components for group in stuck]
        )
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
