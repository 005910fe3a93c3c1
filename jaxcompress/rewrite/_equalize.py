"""Ranges of channels made equal across layers."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.rewrite._equivalence import Sameness
from jaxcompress.rewrite._links import Stage, find_stages
from jaxcompress.rewrite.adjust import channel_factors, set_offset
from jaxcompress.rewrite.affine import affine, find_chains
from jaxcompress.rewrite.values import Expressions, wide
from jaxcompress.trees import PyTree, is_floating
from jaxcompress.units.find import trace_units
from jaxcompress.units.groups import Slice
from jaxcompress.units.patterns import read_groups

_MOST_ROUNDS = 100
_EQUAL = 1e-3  # relative change of a range below which it has converged
_TRIED = (4, 8)  # powers of 2 that trials scale with, which lose no digits


def equalize(apply: Callable[..., PyTree], tree: PyTree, *inputs: PyTree) -> PyTree:
    """Make ranges of weights equal across layers, without changing the function.

    Where a function `f` with `f(s * x) = s * f(x)` for `s > 0` lies between two layers (ReLU, max
    and mean pooling, reshaping), a channel may be divided by `s` in the weight that makes it and
    multiplied by `s` in the one that reads it. With `s = sqrt(r1 / r2)`, `r1` and `r2` the largest
    magnitudes of both slices, each gets the range `sqrt(r1 * r2)`; this is done in turn for all
    layers until it changes nothing. Then one grid for a whole weight fits all its channels.

    Channels are found by tracing: units as in `unit_groups`, those of residual streams with all
    layers that write and read them, those of depthwise layers before and behind these. Offsets
    behind the weights are divided too; fold norms first. Channels between which something else
    lies (tanh, a norm of the activations, clipping) stay: each set is tried on the inputs, with
    powers of 2 from 16 to 256 and their inverses and with its own factors, and only scaled if the
    results stay the same.

    Args:
        apply: `apply(tree, *inputs)` in evaluation mode.
        tree: parameters and running statistics, any pytree of arrays.
        *inputs: arrays like those that the function will see; a clipping that none of them reaches
            is not noticed.

    Returns:
        A tree of the same structure, shapes and dtypes. Channels of range 0 stay as they are.

    Raises:
        ValueError: a function that does not run on these arrays.
        TypeError: leaves or inputs without values.

    Example:
        >>> tree = {"a": np.array([[4.0, 1.0]], "f"), "b": np.array([[1.0], [4.0]], "f")}
        >>> apply = lambda p, x: jax.nn.relu(x @ p["a"]) @ p["b"]
        >>> equal = equalize(apply, tree, np.ones((1, 1), "f"))
        >>> equal["a"].tolist(), equal["b"].tolist()
        ([[2.0, 2.0]], [[2.0], [2.0]])

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1.
    """
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(inputs)):
        raise TypeError(
            "inputs: must be arrays with values, got shapes; what is scaled is tried on them."
        )
    values = Expressions.of(apply, tree, inputs)
    named, scaling = values.named, _Scaling(values)
    sameness = Sameness(apply, values, inputs)
    units = trace_units(apply, tree, inputs, part=True)
    groups = [found.slices for found in read_groups(units, named.paths)[0]]
    stages = [
        stage
        for stage in find_stages(values, groups)
        if all(_scale(scaling, sameness, [stage], [tried]) for tried in _trials(stage.size))
    ]
    while True:
        kept = _scale(scaling, sameness, stages, _converged(stages, scaling, named.leaves))
        if len(kept) == len(stages):
            return values.tree()
        stages = kept  # without the others the ranges converge elsewhere


def _scale(
    scaling: "_Scaling", sameness: Sameness, stages: Sequence[Stage], factors: Sequence[np.ndarray]
) -> list[Stage]:
    """Scale stages of a function as it was, one after the other; return where it stays the same."""
    values, kept = scaling.values, []
    values.restore(values.named.leaves)
    for stage, own in zip(stages, factors, strict=True):
        before = list(values.leaves)
        if scaling.scale(stage, own) and sameness.difference(values.leaves) <= sameness.within:
            kept.append(stage)
        else:
            values.restore(before)
    return kept


def _trials(size: int) -> Iterator[np.ndarray]:
    """Yield `[channels]` factors that make channels much smaller, then much larger."""
    factors = 2.0 ** np.random.default_rng(0).integers(*_TRIED, size, endpoint=True)
    yield factors
    yield 1 / factors


class _Scaling:
    """Moves factors from the weights that make channels to those that read them.

    Attributes:
        values: of the parameters, which change.
        leaf: number of a leaf by path.
    """

    def __init__(self, values: Expressions) -> None:
        self.values = values
        self.leaf = {path: leaf for leaf, path in enumerate(values.named.paths)}
        self._chains = {chain.leaf: chain for chain in find_chains(values)}

    def scale(self, stage: Stage, factors: np.ndarray) -> bool:
        """Divide channels by `[channels]` factors where they are made, multiply where read.

        Returns:
            Whether it can be: what other code reads too, or has an offset that no leaf alone holds,
            cannot. Then some leaves may have changed.
        """
        for piece in stage.producers:
            chain = self._chains.get(self.leaf[piece.path])
            if chain is None:
                return False
            b = affine(self.values, chain.terms, chain.count).b
            by_channel = channel_factors(chain, self._multiply(piece, 1 / factors))
            if by_channel is None or not set_offset(self.values, chain, b * by_channel):
                return False
        for piece in stage.consumers:
            self._multiply(piece, factors)
        return all(
            is_floating(self.values.leaves[self.leaf[piece.path]]) for piece in sum(stage, [])
        )

    def _multiply(self, piece: Slice, factors: np.ndarray) -> np.ndarray:
        """Multiply a leaf; return by what, in its shape."""
        leaf = self.leaf[piece.path]
        array = wide(self.values.leaves[leaf])
        spread = np.broadcast_to(_along(piece, factors, array.shape), array.shape)
        self.values.change(leaf, array * spread)
        return spread


def _along(piece: Slice, factors: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return `[channels]` factors where a slice has them along its axis, elsewhere 1."""
    spread = np.ones(shape[piece.axis])
    spread[piece.indices] = factors[:, None]
    return spread.reshape([-1 if k == piece.axis else 1 for k in range(len(shape))])


def _converged(
    stages: Sequence[Stage], scaling: _Scaling, leaves: Sequence[Any]
) -> list[np.ndarray]:
    """Return the factors of stages with which the ranges of both sides are equal."""
    axes: dict[str, set[int]] = {}
    for stage in stages:
        for piece in sum(stage, []):
            axes.setdefault(piece.path, set()).add(piece.axis)
    sizes = {path: _largest(wide(leaves[scaling.leaf[path]]), own) for path, own in axes.items()}
    factors = [np.ones(stage.size) for stage in stages]
    for _ in range(_MOST_ROUNDS):
        largest = 0.0
        for number, stage in enumerate(stages):
            made, read = (_range([(sizes[p.path], p) for p in side]) for side in stage)
            given = (made > 0) & (read > 0) & np.isfinite(made) & np.isfinite(read)
            step = np.sqrt(np.divide(made, read, out=np.ones_like(made), where=given))
            for side, more in zip(stage, (1 / step, step), strict=True):
                for piece in side:
                    sizes[piece.path] *= _along(piece, more, sizes[piece.path].shape)
            factors[number] = factors[number] * step
            largest = max(largest, float(np.abs(np.log(step)).max(initial=0.0)))
        if largest < _EQUAL:
            break
    return factors


def _largest(array: np.ndarray, axes: Collection[int]) -> np.ndarray:
    """Return the largest magnitudes along some axes, of size 1 along the others."""
    others = tuple(axis for axis in range(array.ndim) if axis not in axes)
    return np.abs(array).max(axis=others, keepdims=True)


def _range(pieces: Sequence[tuple[np.ndarray, Slice]]) -> np.ndarray:
    """Return `[channels]`, the largest magnitude in all slices."""
    largest = [
        _largest(array, {piece.axis}).ravel()[piece.indices].max(axis=1) for array, piece in pieces
    ]
    return np.max(largest, axis=0)
