"""One rule for each kind: from used entries of results to used entries of operands."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.trace.program import Equation, Program
from jaxcompress.units._known import Known

Used = list[np.ndarray] | None
"""`[n]` booleans for each axis of a value; None where no result depends on it."""


class Look(NamedTuple):
    """The input of a rule.

    Attributes:
        program: the program of the equation.
        known: its values that depend on no input.
        equation: the primitive.
        results: used entries of its results, at least one of them used.
    """

    program: Program
    known: Known
    equation: Equation
    results: list[Used]

    @property
    def result(self) -> list[np.ndarray]:
        """Used entries of the only result."""
        return next(used for used in self.results if used is not None)

    def shape(self, place: int) -> tuple[int, ...]:
        """Return the shape of an operand."""
        return self.program.shape(self.equation.operands[place])

    def value(self, place: int) -> np.ndarray | None:
        """Return an operand that depends on no input."""
        return self.known.value(self.equation.operands[place])


Rule = Callable[[Look], Sequence[Used]]


def either(one: Used, other: Used) -> Used:
    """Return the entries used by one or the other."""
    if one is None or other is None:
        return other if one is None else one
    return [a | b for a, b in zip(one, other, strict=True)]


def everything(shape: Sequence[int]) -> list[np.ndarray]:
    """Return masks in which all entries are used."""
    return [np.ones(size, bool) for size in shape]


def all_operands(look: Look) -> list[list[np.ndarray]]:
    """Return masks in which all entries of all operands are used."""
    return [everything(look.shape(place)) for place in range(len(look.equation.operands))]


def _elementwise(look: Look) -> Sequence[Used]:
    """Entries of the same place; scalars and axes of one entry serve all."""
    used = []
    for place in range(len(look.equation.operands)):
        shape = look.shape(place)
        alike = len(shape) == len(look.result)
        used.append(
            [
                mask if len(mask) == size else np.ones(size, bool)
                for mask, size in zip(look.result if alike else [], shape, strict=alike)
            ]
        )
    return used


def _passing(look: Look) -> Sequence[Used]:
    return look.results


def _keeping(axes: Callable[[dict[str, Any], int], set[int]]) -> Rule:
    """Return the rule of primitives that work along some axes and keep all axes."""

    def rule(look: Look) -> Sequence[Used]:
        rank = len(look.shape(0))
        own = {axis % rank for axis in axes(look.equation.params, rank)}
        pairs = zip(everything(look.shape(0)), reduce(either, look.results) or [], strict=True)
        masks = [whole if k in own else mask for k, (whole, mask) in enumerate(pairs)]
        return [masks for _ in look.equation.operands]

    return rule


def _transpose(look: Look) -> Sequence[Used]:
    return [[look.result[k] for k in np.argsort(look.equation.params["permutation"])]]


def _broadcast(look: Look) -> Sequence[Used]:
    places = look.equation.params["broadcast_dimensions"]
    operand = [
        look.result[place] if size == len(look.result[place]) else np.ones(size, bool)
        for place, size in zip(places, look.shape(0), strict=True)
    ]
    return [operand, *[[] for _ in look.equation.operands[1:]]]


def _squeeze(look: Look) -> Sequence[Used]:
    shape = look.shape(0)
    gone = {d % len(shape) for d in look.equation.params["dimensions"]}
    rest = iter(look.result)
    return [[np.ones(1, bool) if k in gone else next(rest) for k in range(len(shape))]]


def _reshape(look: Look) -> Sequence[Used]:
    """Blocks of equally many entries, in C order."""
    shape = look.shape(0)
    if 0 in shape:
        return [everything(shape), *[[] for _ in look.equation.operands[1:]]]
    old, new = list(range(len(shape))), list(look.result)
    masks = everything(shape)
    while old and new:
        mine, mask = [old.pop(0)], new.pop(0)
        while (have := int(np.prod([shape[k] for k in mine]))) != len(mask):
            if have < len(mask):
                mine.append(old.pop(0))
            else:
                mask = np.outer(mask, new.pop(0)).ravel()
        block = mask.reshape([shape[k] for k in mine])
        for place, axis in enumerate(mine):
            rest = tuple(k for k in range(block.ndim) if k != place)
            masks[axis] = np.any(block, axis=rest)
    return [masks, *[[] for _ in look.equation.operands[1:]]]


def _reduction(look: Look) -> Sequence[Used]:
    rank, rest = len(look.shape(0)), iter(look.result)
    axes = {axis % max(rank, 1) for axis in look.equation.params["axes"]}
    whole = everything(look.shape(0))
    return [[whole[k] if k in axes else next(rest) for k in range(rank)]]


def _dot_general(look: Look) -> Sequence[Used]:
    """All that is summed over, except where the other operand is known to be zero."""
    axes = contraction(look.equation)
    sides = all_operands(look)
    ranks = list(map(len, sides))
    for side in (0, 1):
        for axis, place in axes.carried(side, ranks).items():
            sides[side][axis] = look.result[place]
        factor = look.value(1 - side)
        for axis, other in zip(axes.summed[side], axes.summed[1 - side], strict=True):
            if factor is not None:
                others = tuple(k for k in range(factor.ndim) if k != other)
                sides[side][axis] = np.any(factor != 0, axis=others)
    return sides


def _convolution(look: Look) -> Sequence[Used]:
    image, kernel = all_operands(look)
    axes = convolution(look.equation)
    if axes.batch_groups == 1:
        image[axes.batch[0]] = look.result[axes.batch[1]]
        kernel[axes.channels_out[0]] = features = look.result[axes.channels_out[1]]
        if axes.groups > 1:
            used, source = features.reshape(axes.groups, -1).any(1), axes.channels_in[0]
            image[source] = np.repeat(used, len(image[source]) // axes.groups)
    return [image, kernel]


NUMBERS: dict[str, Rule] = {
    "arg_reduction": _reduction,
    "broadcast": _broadcast,
    "convolution": _convolution,
    "cumsum": _keeping(lambda params, rank: {params["axis"]}),
    "cumulative": _keeping(lambda params, rank: {params["axis"]}),
    "elementwise": _elementwise,
    "fft": _keeping(lambda params, rank: set(range(-len(params["fft_lengths"]), 0))),
    "matrices": _dot_general,
    "passing": _passing,
    "reduction": _reduction,
    "reshape": _reshape,
    "sort": _keeping(lambda params, rank: {params["dimension"]}),
    "squeeze": _squeeze,
    "top_k": _keeping(lambda params, rank: {params.get("axis", -1)}),
    "transpose": _transpose,
}
"""By kind, rules of primitives that compute, or rearrange axes."""
