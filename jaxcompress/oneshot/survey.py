"""Which tensors of a source are compressed, and why the others are kept exactly."""

import math
from collections.abc import Callable

from jaxcompress.kinds import REALS
from jaxcompress.oneshot.sources import Source
from jaxcompress.prequantized import quantized_layers
from jaxcompress.states import averages, optimizer_states, without
from jaxcompress.trees import NamedLeaves, Scope, check_scope, in_scope, kernels

OUTSIDE = "outside of the scope"
STATE = "the state of an optimizer"
AVERAGE = "averages of weights beside them"
THIN = "a vector, or few rows"
SMALL = "small"
QUANTIZED = "quantized already"
RULE = "by a rule"
NOT_FINITE = "not finite"
NO_GRID = "beyond what steps or grids can hold"
FEW_VALUES = "few values: codes are exact"
SMALL_FLOAT = "8 bits already"
SMALLER = "smaller as they are"
LOSSLESS = "lossless"

MOST_ERROR = 0.5
"""Largest relative error of a tensor that steps leave, whatever the size asked for."""

_ROWS, _LONG = 4, 32
_FEW, _LITTLE = 512, 200


def survey(
    source: Source, scope: Scope = kernels, *, keeps: Callable[[str], bool] = lambda path: False
) -> list[str | None]:
    """Return for each leaf why it is kept exactly, None if it is compressed.

    States of optimizers, averages of weights that lie beside the weights, and integers and scales
    of another library are kept whatever the scope. Vectors, tables of fewer than four rows, and
    tensors of at most 512 numbers that are less than half a percent of all, are kept unless the
    scope is one of the user's: they take few bytes, and all outputs use each of their numbers.

    Args:
        source: of the leaves.
        scope: which leaves are compressed.
        keeps: whether a rule keeps a path.

    Raises:
        ValueError: the scope is empty.
        TypeError: the scope chooses a leaf that is not of floating-point numbers.
    """
    check_scope(scope)
    paths, shapes = source.paths, [leaf.shape for leaf in source.leaves]
    found: list[str | None] = [None] * len(paths)
    parts = {index for part in quantized_layers(paths, source.leaves).values() for index in part}
    for reason, which in (
        (STATE, optimizer_states(paths, shapes)),
        (AVERAGE, averages(paths, shapes)),
        (QUANTIZED, [index in parts for index in range(len(paths))]),
        (RULE, list(map(keeps, paths))),
    ):
        found = [
            why or (reason if is_so else None) for why, is_so in zip(found, which, strict=True)
        ]
    apart = {path for path, why in zip(paths, found, strict=True) if why in (STATE, AVERAGE)}
    picked = [path for path, leaf in zip(paths, source.leaves, strict=True) if scope(path, leaf)]
    if picked and apart.issuperset(picked):
        raise ValueError(
            f"{picked[0]}: the scope must hold weights, got the state of an optimizer alone, which "
            "is kept exactly; pass the network, or rename what is none."
        )
    named = NamedLeaves(paths, source.leaves, None)
    chosen = in_scope(named, without(apart, scope), kinds=REALS, shapes=True)
    sizes = [math.prod(shape) for shape, pick in zip(shapes, chosen, strict=True) if pick]
    few = min(_FEW, sum(sizes) // _LITTLE)

    def why_small(shape: tuple[int, ...]) -> str | None:
        if scope is not kernels:
            return None
        return THIN if is_thin(shape) else SMALL if math.prod(shape) <= few else None

    return [
        why or (why_small(shape) if pick else OUTSIDE)
        for why, pick, shape in zip(found, chosen, shapes, strict=True)
    ]


def is_thin(shape: tuple[int, ...]) -> bool:
    """Return whether a tensor is a vector beside axes of one entry, or has fewer than four rows.

    Example:
        >>> [is_thin(shape) for shape in ((1, 1, 768), (2, 384), (3, 3), (4, 384))]
        [True, True, False, False]
    """
    longest = max(shape, default=1)
    return longest >= _LONG and math.prod(shape) < _ROWS * longest
