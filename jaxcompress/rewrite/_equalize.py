"""Ranges of channels made equal across layers."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.rewrite._equivalence import Sameness
from jaxcompress.rewrite._links import Link, find_links
from jaxcompress.rewrite.adjust import channel_factors, set_offset
from jaxcompress.rewrite.affine import Chain, affine, find_chains
from jaxcompress.rewrite.values import Values, wide
from jaxcompress.trees import PyTree, is_floating
from jaxcompress.units.find import trace_units
from jaxcompress.units.groups import Slice
from jaxcompress.units.patterns import read_groups

_MOST_ROUNDS = 100
_EQUAL = 1e-3  # relative change of ranges below which they have converged
_TRIED = (4, 8)  # trials scale with these powers of 2, which lose no digits


def equalize(apply: Callable[..., PyTree], tree: PyTree, *inputs: PyTree) -> PyTree:
    """Make ranges of weights equal across layers, without changing the function.

    Where a function `f` with `f(s * x) = s * f(x)` for `s > 0` lies between two layers (ReLU, max
    and mean pooling, reshaping), a channel may be divided by `s` in the weight that produces it
    and multiplied by `s` in the weight that reads it. With `s = sqrt(r1 / r2)`, where `r1` and `r2`
    are the largest magnitudes of both slices, each gets the range `sqrt(r1 * r2)`. This is repeated
    for all layers until nothing changes. Then one grid for a whole weight fits all its channels.

    Channels are found by tracing: units as in `unit_groups`. Units of a residual stream include all
    layers that write and read it; a depthwise layer has channels before and behind it. Offsets
    behind the weights are divided too; fold norms first. Channels with another function between
    the layers (tanh, a norm of the activations, clipping) are not scaled: each set is tried on the
    inputs, with powers of 2 from 16 to 256 and their inverses and with its own factors, and is
    scaled only if the results do not change.

    Args:
        apply: `apply(tree, *inputs)` in evaluation mode.
        tree: parameters and running statistics, any pytree of arrays.
        *inputs: arrays like those that the function will see; a clipping that none of them reaches
            goes unnoticed.

    Returns:
        A tree of the same structure, shapes and dtypes. Channels of range 0 are not changed.

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
    values = Values.of(apply, tree, inputs)
    places, sameness = _by_path(values), Sameness.of(apply, values, inputs)
    units = trace_units(apply, tree, inputs, part=True)
    groups = [found.slices for found in read_groups(units, values.named.paths)[0]]
    links = [
        link
        for link in find_links(values, groups)
        if all(_scale(values, places, sameness, [(link, by)])[1] for by in _trials(link.size))
    ]
    while True:
        factors = _converged(links, places, values.leaves)
        equal, kept = _scale(values, places, sameness, list(zip(links, factors, strict=True)))
        if len(kept) == len(links):
            return equal.tree()
        links = kept  # without the others the ranges converge elsewhere


class _Place(NamedTuple):
    """A leaf, and the chain behind its product if the leaf is a weight."""

    leaf: int
    chain: Chain | None


def _by_path(values: Values) -> dict[str, _Place]:
    """Return the leaves by path."""
    chains = {chain.leaf: chain for chain in find_chains(values)}
    return {path: _Place(leaf, chains.get(leaf)) for leaf, path in enumerate(values.named.paths)}


def _scale(
    values: Values,
    places: Mapping[str, _Place],
    sameness: Sameness,
    scaling: Sequence[tuple[Link, np.ndarray]],
) -> tuple[Values, list[Link]]:
    """Return values with links scaled in turn, and the links that keep the results the same.

    Args:
        values: of the parameters.
        places: of the leaves.
        sameness: the original results.
        scaling: links with their `[channels]` factors.
    """
    kept = []
    for link, factors in scaling:
        scaled = _scaled(values, places, link, factors)
        if scaled is not None and sameness.difference(scaled.leaves) <= sameness.within:
            values = scaled
            kept.append(link)
    return values, kept


def _scaled(
    values: Values, places: Mapping[str, _Place], link: Link, factors: np.ndarray
) -> Values | None:
    """Return values with channels divided where they are produced, multiplied where read.

    Returns:
        None if other code reads them too, or if no single leaf holds their offset.
    """
    if not all(is_floating(values.leaves[places[piece.path].leaf]) for piece in sum(link, [])):
        return None
    for piece in link.producers:
        if (divided := _divided(values, places[piece.path], piece, factors)) is None:
            return None
        values = divided
    for piece in link.consumers:
        leaf = places[piece.path].leaf
        values = _multiplied(values, leaf, _in_shape(piece, factors, values.leaves[leaf].shape))
    return values


def _divided(values: Values, place: _Place, piece: Slice, factors: np.ndarray) -> Values | None:
    """Return values with channels and offsets divided where a weight produces them."""
    leaf, chain = place
    if chain is None:
        return None
    by_entry = _in_shape(piece, 1 / factors, values.leaves[leaf].shape)
    if (by_channel := channel_factors(chain, by_entry)) is None:
        return None
    b = affine(values, chain.terms, chain.count).b
    return set_offset(_multiplied(values, leaf, by_entry), chain, b * by_channel)


def _multiplied(values: Values, leaf: int, factors: np.ndarray) -> Values:
    """Return values with a leaf multiplied by a factor for each entry."""
    return values.with_leaf(leaf, wide(values.leaves[leaf]) * factors)


def _in_shape(piece: Slice, factors: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return `[channels]` factors as those of each entry of a leaf."""
    return np.broadcast_to(_along(piece, factors, shape), shape)


def _trials(size: int) -> Iterator[np.ndarray]:
    """Yield `[channels]` factors that make channels much smaller, then much larger."""
    factors = 2.0 ** np.random.default_rng(0).integers(*_TRIED, size, endpoint=True)
    yield factors
    yield 1 / factors


def _along(piece: Slice, factors: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return `[channels]` factors where a slice has them along its axis, elsewhere 1."""
    spread = np.ones(shape[piece.axis])
    spread[piece.indices] = factors[:, None]
    return spread.reshape([-1 if k == piece.axis else 1 for k in range(len(shape))])


def _converged(
    links: Sequence[Link], places: Mapping[str, _Place], leaves: Sequence[Any]
) -> list[np.ndarray]:
    """Return the factors of links that make the ranges of both sides equal."""
    axes: dict[str, set[int]] = {}
    for link in links:
        for piece in sum(link, []):
            axes.setdefault(piece.path, set()).add(piece.axis)
    sizes = {path: _largest(wide(leaves[places[path].leaf]), own) for path, own in axes.items()}
    factors = [np.ones(link.size) for link in links]
    for _ in range(_MOST_ROUNDS):
        largest = 0.0
        for number, link in enumerate(links):
            made, read = (_range([(sizes[p.path], p) for p in side]) for side in link)
            given = (made > 0) & (read > 0) & np.isfinite(made) & np.isfinite(read)
            ratio = np.sqrt(np.divide(made, read, out=np.ones_like(made), where=given))
            for side, more in zip(link, (1 / ratio, ratio), strict=True):
                for piece in side:
                    sizes[piece.path] *= _along(piece, more, sizes[piece.path].shape)
            factors[number] = factors[number] * ratio
            largest = max(largest, float(np.abs(np.log(ratio)).max(initial=0.0)))
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
