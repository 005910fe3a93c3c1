"""Used entries of operands, for primitives that put arrays together and take parts of them."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from jaxcompress.products.contraction import lookup
from jaxcompress.units._usage_rules import Look, Rule, Used, either, everything


def _concatenate(look: Look) -> Sequence[Used]:
    axis = look.equation.params["dimension"]
    sizes = [look.shape(place)[axis] for place in range(len(look.equation.operands))]
    pieces = np.split(look.result[axis], np.cumsum(sizes)[:-1])
    return [[*look.result[:axis], piece, *look.result[axis + 1 :]] for piece in pieces]


def _split(look: Look) -> Sequence[Used]:
    axis, sizes = look.equation.params["axis"], look.equation.params["sizes"]
    masks, pieces = everything(look.shape(0)), []
    for k in range(len(masks)):
        if k != axis:
            masks[k] = np.any([used[k] for used in look.results if used is not None], axis=0)
    for used, size in zip(look.results, sizes, strict=True):
        pieces.append(np.zeros(size, bool) if used is None else used[axis])
    masks[axis] = np.concatenate(pieces)
    return [masks]


def _stack(look: Look) -> Sequence[Used]:
    axis = look.equation.params["axis"]
    rest = [mask for k, mask in enumerate(look.result) if k != axis]
    return [rest if used else None for used in look.result[axis]]


def _unstack(look: Look) -> Sequence[Used]:
    axis, masks = look.equation.params["axis"], list(reduce(either, look.results) or [])
    masks.insert(axis, np.array([used is not None for used in look.results]))
    return [masks]


def _slice(look: Look) -> Sequence[Used]:
    params = look.equation.params
    masks = [np.zeros(size, bool) for size in look.shape(0)]
    strides = params["strides"] or (1,) * len(masks)
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    for mask, taken, place in zip(masks, look.result, bounds, strict=True):
        mask[slice(*place)] = taken
    return [masks]


def _reverse(look: Look) -> Sequence[Used]:
    turned = look.equation.params["dimensions"]
    return [[mask[::-1] if k in turned else mask for k, mask in enumerate(look.result)]]


def _pad(look: Look) -> Sequence[Used]:
    """Negative padding takes entries away, at the ends and not in between."""
    masks = []
    for mask, size, (low, _, between) in zip(
        look.result, look.shape(0), look.equation.params["padding_config"], strict=True
    ):
        places = low + np.arange(size) * (between + 1)
        inside = (places >= 0) & (places < len(mask))
        masks.append(inside & mask[np.where(inside, places, 0)] if len(mask) else inside)
    return [masks, []]


def _tile(look: Look) -> Sequence[Used]:
    shape = look.shape(0)
    return [
        [
            np.any(mask.reshape(-1, size), axis=0) if size else mask
            for mask, size in zip(look.result, shape, strict=True)
        ]
    ]


def _dynamic_slice(look: Look) -> Sequence[Used]:
    """Use entries from a known place; all entries if the place depends on an input."""
    masks = []
    for place, (size, taken) in enumerate(zip(look.shape(0), look.result, strict=True)):
        start = None if len(taken) == size else look.value(place + 1)
        mask = np.ones(size, bool)
        if len(taken) == size:
            mask = taken
        elif start is not None:
            mask = np.zeros(size, bool)
            first = int(np.clip(start, 0, size - len(taken)))
            mask[first : first + len(taken)] = taken
        masks.append(mask)
    return [masks, *[[] for _ in look.equation.operands[1:]]]


def _dynamic_update_slice(look: Look) -> Sequence[Used]:
    part = [
        mask if len(mask) == size else np.ones(size, bool)
        for mask, size in zip(look.result, look.shape(1), strict=True)
    ]
    return [look.result, part, *[[] for _ in look.equation.operands[2:]]]


def _gather(look: Look) -> Sequence[Used]:
    """Use rows looked up by known numbers, and the used part of axes taken whole; else all."""
    axes = lookup(look.equation)
    sizes, shape = look.equation.params["slice_sizes"], look.shape(0)
    masks = everything(shape)
    for axis, place in zip(*axes.windows, strict=True):
        if sizes[axis] == shape[axis]:
            masks[axis] = look.result[place]
    rows = look.value(1) if set(axes.looked_up) <= set(axes.single) else None
    if rows is not None and not axes.batch[0]:
        for column, axis in enumerate(axes.looked_up):
            read = rows[..., column].ravel().astype(np.int64)
            masks[axis] = np.isin(np.arange(shape[axis]), np.clip(read, 0, shape[axis] - 1))
    return [masks, everything(look.shape(1))]


PARTS: dict[str, Rule] = {
    "concatenate": _concatenate,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update": _dynamic_update_slice,
    "gather": _gather,
    "pad": _pad,
    "reverse": _reverse,
    "slice": _slice,
    "split": _split,
    "stack": _stack,
    "tile": _tile,
    "unstack": _unstack,
}
"""By kind, rules of primitives that put arrays together and take parts of them."""
