"""Formats of GGUF by matrix: one for all, as llama.cpp mixes them, or by measured damage."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.gpt.ggml import Kinds, Matrix, Quantize, as_leaf, dequantized, row_bytes
from jaxcompress.scopes import named_leaves
from jaxcompress.typing import PyTree

OFFERED = ("Q2_K", "IQ3_XXS", "Q3_K", "IQ3_S", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K")
"""Formats that `by_damage` chooses from."""

_PROBED = "Q3_K"
_NEEDS_IMPORTANCE = {"IQ2_XXS": "Q2_K", "IQ2_XS": "Q2_K", "IQ2_S": "IQ3_S", "IQ3_XXS": "IQ3_S"}


def pure(kind: str) -> Kinds:
    """Return one format for all matrices, as `llama-quantize --pure`.

    Tables have no importance, and formats that need one are replaced as llama.cpp does it.
    """
    return lambda path: _NEEDS_IMPORTANCE.get(kind, kind) if path.endswith("embedding") else kind


def _mixture(kind: str, others: Mapping[str, str]) -> Kinds:
    """Return a format for all matrices whose paths contain none of the keys of `others`."""
    return lambda path: next((other for part, other in others.items() if part in path), kind)


_DOWN = ("attention/value", "dense2")

MIXTURES: dict[str, Kinds] = {
    "Q4_K_M": _mixture(
        "Q4_K",
        {"predict": "Q6_K"} | {f"blocks/{k}/{part}": "Q6_K" for k in (2, 5) for part in _DOWN},
    ),
    "Q3_K_M": _mixture(
        "Q3_K",
        {"predict": "Q6_K"}
        | {f"blocks/{k}/attention/value": "Q5_K" for k in (0, 1)}
        | dict.fromkeys((*_DOWN, "attention/out"), "Q4_K"),
    ),
    "Q2_K": _mixture(
        "Q2_K", {"predict": "Q6_K"} | dict.fromkeys((*_DOWN, "attention/out"), "Q3_K")
    ),
}
"""The mixtures of llama.cpp for six blocks, from its `llama_tensor_get_type_impl`."""


class Choice(NamedTuple):
    """What a format makes of a matrix.

    Attributes:
        kind: the format.
        size_bytes: of its blocks.
        damage: to the outputs, measured at one format and scaled by the squared error to others.
    """

    kind: str
    size_bytes: int
    damage: float


def choices(
    params: PyTree,
    given: Mapping[str, Matrix],
    quantize: Quantize,
    damage: Callable[[PyTree], float],
) -> dict[str, list[Choice]]:
    """Return what each format makes of each matrix.

    Args:
        params: of the network.
        given: its matrices.
        quantize: the quantizer.
        damage: of parameters, to the outputs.
    """
    named = named_leaves(params)
    table = {}
    for at, (path, leaf) in enumerate(zip(named.paths, named.leaves, strict=True)):
        if path not in given:
            continue
        matrix = given[path]
        kinds = [k for k in OFFERED if matrix.importance is not None or k not in _NEEDS_IMPORTANCE]
        found = {kind: dequantized(quantize(matrix, kind), kind) for kind in kinds}
        weight = 1.0 if matrix.importance is None else matrix.importance
        errors = {k: float(np.sum(weight * (rows - matrix.rows) ** 2)) for k, rows in found.items()}
        rows = found[_PROBED]
        tried = [*named.leaves]
        tried[at] = rows if path.endswith("embedding") else as_leaf(rows, leaf)
        unit = max(damage(named.rebuild(tried)), 0.0) / errors[_PROBED]
        sizes = {kind: len(rows) * row_bytes(rows.shape[1], kind) for kind in kinds}
        table[path] = [Choice(kind, sizes[kind], unit * errors[kind]) for kind in kinds]
    return table


def by_damage(table: Mapping[str, Sequence[Choice]], budget_bytes: float) -> Kinds:
    """Return the formats of least damage in a budget: of each matrix the least of damage + price.

    The price of a byte is found by bisection; a little of the budget may be left.
    """

    def at(price: float) -> dict[str, Choice]:
        return {
            path: min(options, key=lambda c: c.damage + price * c.size_bytes)
            for path, options in table.items()
        }

    low, high = -60.0, 20.0  # logarithms
    for _ in range(60):
        middle = (low + high) / 2
        fits = sum(c.size_bytes for c in at(np.exp(middle)).values()) <= budget_bytes
        low, high = (low, middle) if fits else (middle, high)
    chosen = at(np.exp(high))
    return lambda path: chosen[path].kind
