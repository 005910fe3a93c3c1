"""Floating-point operations, counted from a traced function."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jax.extend import core

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.trace.loops import entering
from jaxcompress.trace.primitives import PRIMITIVES
from jaxcompress.trace.program import Constant, Equation, Operand, Program, flatten, trace
from jaxcompress.trees import PyTree, named_leaves

Origin = str | None
"""Path of the parameter from which alone a value was computed; None if inputs take part."""

ELSEWHERE = ""
"""Path for operations without a parameter, such as the scores of attention."""


class Flops(NamedTuple):
    """Floating-point operations of one call.

    Attributes:
        total: of the whole call.
        by_primitive: by name of the primitive, the largest first.
        by_path: by path of the parameter that takes part, the largest first; "" without one.
        unknown_loops: `while` loops, whose bodies are counted once: their lengths depend on data.
        unknown: primitives whose operations are not known and not in the total, such as kernels:
            by name, for each equation the path of the parameter that takes part, "" without one.
    """

    total: int
    by_primitive: dict[str, int]
    by_path: dict[str, int]
    unknown_loops: int
    unknown: dict[str, tuple[str, ...]]


def flops(apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree) -> Flops:
    """Count the floating-point operations of `apply(params, *inputs)` by tracing it.

    A multiplication and an addition count as two operations. A product of `[m, k]` and `[k, n]` is
    `2 m k n`. A convolution is `2 * entries of the result * entries of the kernel for one output
    channel`; padding counts, but the zeros that a transposed convolution inserts do not. An
    elementwise primitive (an exponential too) counts one for each entry of its result, a reduction
    one for each entry that it reads, a Fourier transform of `n` entries `5 n log2 n`. Moving,
    comparing and converting numbers is free. The body of a scan counts once for each turn, a
    condition counts its most expensive branch, `shard_map` its body on each device. Primitives that
    are not known, such as the kernels of Pallas, are named in `unknown`.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays, or of shapes and dtypes.
        *inputs: any pytrees of arrays, or of shapes and dtypes; the whole batch is counted.

    Raises:
        TypeError: leaves or results that are not arrays.

    Example:
        >>> import numpy as np
        >>> apply = lambda p, x: x @ p["kernel"] + p["bias"]
        >>> flops(apply, {"kernel": np.ones((3, 4)), "bias": np.ones(4)}, np.ones((5, 3)))[:3]
        (140, {'dot_general': 120, 'add': 20}, {'kernel': 120, 'bias': 20})
    """
    return count_flops(trace(apply, params, *inputs), named_leaves(params).paths)


def count_flops(program: Program, paths: Sequence[str]) -> Flops:
    """Count the floating-point operations of a traced function, as `flops` does.

    Args:
        program: from `trace`.
        paths: of its first inputs, the parameters.
    """
    origins: list[Origin] = [*paths, *[None] * (len(program.inputs) - len(paths))]
    sizes = {
        path: math.prod(program.shapes[value])
        for path, value in zip(paths, program.inputs, strict=False)
    }
    counts = _Counts(Counter(), Counter(), {})
    _count(counts, 1, program, origins, sizes)
    by_primitive: Counter[str] = Counter()
    by_path: Counter[str] = Counter()
    for (primitive, path), count in counts.operations.items():
        by_primitive[primitive] += count
        by_path[path] += count
    return Flops(
        total=counts.total,
        by_primitive=dict(by_primitive.most_common()),
        by_path=dict(by_path.most_common()),
        unknown_loops=counts.unknown_loops.total(),
        unknown={name: tuple(paths) for name, paths in counts.unknown.items()},
    )


class _Counts(NamedTuple):
    """Operations by primitive and path, added up on the walk, and unknown primitives."""

    operations: Counter[tuple[str, str]]
    unknown_loops: Counter[str]
    unknown: dict[str, list[str]]

    @property
    def total(self) -> int:
        return sum(self.operations.values())


def _count(
    counts: _Counts,
    times: int,
    program: Program,
    origins: Sequence[Origin],
    sizes: Mapping[str, int],
) -> None:
    """Add the operations of a program that runs a number of times."""
    known: dict[int, Origin] = dict(zip(program.inputs, origins, strict=True))
    for equation in program.equations:
        given = [origin_of(operand, known) for operand in equation.operands]
        alone = _largest(given, sizes)
        depends = any(
            not isinstance(operand, Constant) and known[operand] is None
            for operand in equation.operands
        )
        for result in equation.results:
            known[result] = None if depends else alone or ELSEWHERE
        if equation.bodies:
            _count_bodies(counts, times, equation, given, sizes)
        elif equation.name == "shard_map":
            _count_shards(counts, times, equation, given, sizes)
        elif equation.name not in PRIMITIVES:
            counts.unknown.setdefault(equation.name, []).append(alone or ELSEWHERE)
        elif count := OPERATIONS[PRIMITIVES[equation.name].operations](program, equation):
            counts.operations[equation.name, alone or ELSEWHERE] += times * count


def origin_of(operand: Operand, known: Mapping[int, Origin]) -> Origin:
    """Return the parameter from which alone an operand was computed; constants have none."""
    return None if isinstance(operand, Constant) else known[operand]


def _largest(origins: Sequence[Origin], sizes: Mapping[str, int]) -> Origin:
    """Return the path of the largest parameter that takes part."""
    return max(filter(None, origins), key=lambda path: sizes[path], default=None)


def _count_bodies(
    counts: _Counts,
    times: int,
    equation: Equation,
    given: Sequence[Origin],
    sizes: Mapping[str, int],
) -> None:
    """Add the operations of a loop's body or of the most expensive branch, as often as it runs."""
    inputs = [entering(equation, which, given).flat() for which in range(len(equation.bodies))]
    if equation.name == "scan":
        _count(counts, times * equation.params["length"], equation.bodies[0], inputs[0], sizes)
    elif equation.name == "cond":
        branches = [_Counts(Counter(), Counter(), counts.unknown) for _ in equation.bodies]
        for branch, body, mine in zip(branches, equation.bodies, inputs, strict=True):
            _count(branch, times, body, mine, sizes)
        costliest = max(branches, key=lambda branch: branch.total)
        counts.operations.update(costliest.operations)
        counts.unknown_loops.update(costliest.unknown_loops)
    else:
        for body, mine in zip(equation.bodies, inputs, strict=True):
            _count(counts, times, body, mine, sizes)
        counts.unknown_loops[equation.name] += 1


def _count_shards(
    counts: _Counts,
    times: int,
    equation: Equation,
    given: Sequence[Origin],
    sizes: Mapping[str, int],
) -> None:
    """Add the operations of a body that runs once on each device."""
    params = equation.params
    mesh = params["mesh"]
    names = ("newly_manual_axes", "manual_axes")  # by version of JAX; other axes are not split
    axes = next((params[name] for name in names if name in params), mesh.axis_names)
    devices = math.prod(mesh.shape[axis] for axis in axes)
    body = flatten(core.ClosedJaxpr(params["jaxpr"], ()))
    _count(counts, times * devices, body, given, sizes)


Operations = Callable[[Program, Equation], int]
"""From a program and an equation to the number of its operations."""


def _entries(program: Program, equation: Equation) -> int:
    return math.prod(program.shapes[equation.results[0]])


def _read(program: Program, equation: Equation) -> int:
    return math.prod(program.shape(equation.operands[0]))


def _free(program: Program, equation: Equation) -> int:
    del program, equation
    return 0


def _product(program: Program, equation: Equation) -> int:
    axes, left = contraction(equation), program.shape(equation.operands[0])
    terms = _entries(program, equation) * math.prod(left[axis] for axis in axes.summed[0])
    if axes.stacked:  # each term belongs to the sum of one group
        terms //= program.shapes[equation.results[0]][0]
    return 2 * terms


def _convolution(program: Program, equation: Equation) -> int:
    kernel = program.shape(equation.operands[1])
    taps = math.prod(kernel) // kernel[convolution(equation).channels_out[0]]
    # In a transposed convolution only one tap in that many meets an entry, not an inserted zero.
    return 2 * _entries(program, equation) * taps // math.prod(equation.params["lhs_dilation"])


def _transform(program: Program, equation: Equation) -> int:
    n = math.prod(equation.params["fft_lengths"])
    entries = max(_entries(program, equation), _read(program, equation))
    return round(5 * entries * math.log2(max(n, 1)))


def _updates(program: Program, equation: Equation) -> int:
    return math.prod(program.shape(equation.operands[2]))


def _windows(program: Program, equation: Equation) -> int:
    return _entries(program, equation) * math.prod(equation.params["window_dimensions"])


OPERATIONS: dict[str, Operations] = {
    "convolution": _convolution,
    "entries": _entries,
    "free": _free,
    "product": _product,
    "read": _read,
    "transform": _transform,
    "updates": _updates,
    "windows": _windows,
}
"""By the words of the table of primitives."""
