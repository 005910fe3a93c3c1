"""Moments of few samples, shrunk towards their diagonal, or towards equal ones."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from jaxcompress.placement import by_compiler, like
from jaxcompress.products.moments import Moments
from jaxcompress.trees import PyTree

_PARTS = np.r_[np.geomspace(1e-5, 0.5, 64), 1 - np.geomspace(0.5, 1e-3, 32)[1:]]


def towards_diagonal(moments: Moments, samples: int) -> Moments:
    """Return moments whose entries off the diagonal are smaller: those of few samples are noise.

    `(1 - r) gram + r diag(gram)`, where `r` is estimated from the correlations `C` of `p` inputs:
    `r = (t - 2 t / p + p^2) / ((n + 1 - 2 / p) (t - p))`, at most 1, with `t = tr(C^2)`. It falls
    to 0 with the number of samples.

    Args:
        moments: from `input_moments`.
        samples: `n`, independent ones: rows of a batch, not patches of an image.

    Example:
        >>> from jaxcompress.products.moments import Layer
        >>> layer = Layer(np.array([[[0], [1]]]), np.array([[[4.0, 3.2], [3.2, 4.0]]]))
        >>> few, many = (towards_diagonal(Moments({"w": [layer]}, {}), n) for n in (10, 1000))
        >>> [round(float(each.layers["w"][0].gram[0, 0, 1]), 2) for each in (few, many)]
        [2.2, 3.19]

    Source: Chen et al. 2010, Shrinkage algorithms for MMSE covariance estimation (the oracle
    approximating estimator), applied to correlations.
    """
    return _changed(moments, lambda path, place, gram: _shrunk(gram, samples))


def halves(batches: Iterable[PyTree]) -> tuple[list[PyTree], list[PyTree]]:
    """Return every other batch, and the others; of a single one every other row, and the others.

    Raises:
        ValueError: no batches, or a single one that has not two rows at least.

    Example:
        >>> halves([np.arange(5)])
        ([array([0, 2, 4])], [array([1, 3])])
    """
    found = list(batches)
    if len(found) > 1:
        return found[::2], found[1::2]
    rows = {np.shape(x)[0] if np.ndim(x) else 0 for x in jax.tree.leaves(found)}
    if len(rows) != 1 or min(rows) < 2:
        raise ValueError(
            "batches: must be two at least, or one of two rows at least, as damage is measured on "
            f"data by which levels are not chosen, got {len(found)} with {sorted(rows)} rows; pass "
            "more."
        )
    even, odd = (jax.tree.map(lambda x, at=at: _every_other(x, at), found) for at in range(2))
    return even, odd


def _every_other(rows: Any, start: int) -> Any:
    """Return every other row, split over devices as all rows are."""
    return like(by_compiler(lambda rows: rows[start::2], rows), rows)


def cross_validated(one: Moments, two: Moments) -> tuple[Moments, Moments]:
    """Return the moments of some data, and those of all data, a part spread over all inputs alike.

    The part `r` of each layer is that at which the other data are likeliest (`likeliest_parts`);
    of all data it has half of the odds, `r / (2 - r)`, as they are twice as many.

    Args:
        one: moments of some data.
        two: moments of as many other data. Layers that are in one alone are left out.

    Example:
        >>> from jaxcompress.products.moments import Layer
        >>> entries = np.array([[[0], [1]]])
        >>> few, both = cross_validated(*(
        ...     Moments({"w": [Layer(entries, np.array([gram]))]}, {})
        ...     for gram in ([[8.0, 0.0], [0.0, 0.0]], [[7.0, 0.0], [0.0, 1.0]])
        ... ))
        >>> [each.layers["w"][0].gram[0].round(1).tolist() for each in (few, both)]
        [[[7.0, 0.0], [0.0, 1.0]], [[14.0, 0.0], [0.0, 2.0]]]
    """
    one, two = _in_both(one, two), _in_both(two, one)
    parts = likeliest_parts(one, two)
    layers = {
        path: [
            layer._replace(gram=layer.gram + other.gram)
            for layer, other in zip(own, two.layers[path], strict=True)
        ]
        for path, own in one.layers.items()
    }
    fewer = {path: [part / (2 - part) for part in own] for path, own in parts.items()}
    return towards_identity(one, parts), towards_identity(one._replace(layers=layers), fewer)


def _in_both(moments: Moments, others: Moments) -> Moments:
    """Return moments of the layers that others have too: which have any depends on the batch."""
    kept = {path: own for path, own in moments.layers.items() if path in others.layers}
    lost = dict.fromkeys(moments.layers.keys() - kept, "other batches have no moments of it")
    return Moments(kept, others.left_out | lost | moments.left_out)


def likeliest_parts(moments: Moments, others: Moments) -> dict[str, list[float]]:
    """Return for each layer which part of its moments is best spread over all inputs alike.

    The part `r` of `(1 - r) G + r tr(G) / p I` for `p` inputs at which other data are likeliest:
    the least `log det M + tr(M^-1 H)` for these moments `M` and those of the other data `H`, of
    equal traces, as of a Gaussian. Few samples miss inputs that will come, and the samples of an
    image or a text tell of each other: other data show both.

    Args:
        moments: of some data.
        others: of other data.

    Returns:
        By path, one number for each of the layers.

    Example:
        >>> from jaxcompress.products.moments import Layer
        >>> entries = np.array([[[0], [1]]])
        >>> one, two = (
        ...     Moments({"w": [Layer(entries, np.array([gram]))]}, {})
        ...     for gram in ([[8.0, 0.0], [0.0, 0.0]], [[7.0, 0.0], [0.0, 1.0]])
        ... )
        >>> round(likeliest_parts(one, two)["w"][0], 2)
        0.25
    """
    return {
        path: [
            _likeliest(layer.gram, other.gram)
            for layer, other in zip(own, others.layers[path], strict=True)
        ]
        for path, own in moments.layers.items()
    }


def _likeliest(grams: np.ndarray, others: np.ndarray) -> float:
    losses = np.zeros(len(_PARTS))
    for gram, other in zip(grams, others, strict=True):
        size, mean, trace = len(gram), np.trace(gram) / max(len(gram), 1), np.trace(other)
        if not (mean > 0 and trace > 0):
            continue
        values, vectors = np.linalg.eigh(gram / mean)
        seen = np.einsum("ij,ij->j", vectors, other @ vectors) * (size / trace)
        losses += _losses(values, seen)
    return float(_PARTS[np.argmin(losses)])


def likeliest_part(some: np.ndarray, others: np.ndarray) -> float:
    """Return the same part of variances, none of which tells of another.

    Args:
        some: `[n]` variances by some data, not all 0.
        others: those by other data, not all 0.

    Example:
        >>> round(likeliest_part(np.array([8.0, 0.0]), np.array([7.0, 1.0])), 2)
        0.25
    """
    return float(_PARTS[np.argmin(_losses(some / some.mean(), others / others.mean()))])


def _losses(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return by part how unlikely variances `seen` are, both of mean 1."""
    spread = np.maximum(values, 0)[None] * (1 - _PARTS[:, None]) + _PARTS[:, None]
    return np.sum(np.log(spread) + seen / spread, axis=1)


def psd(matrix: np.ndarray) -> np.ndarray:
    """Return the nearest symmetric matrix without negative eigenvalues.

    Example:
        >>> psd(np.array([[2.0, 0.0], [0.0, -1.0]])).tolist()
        [[2.0, 0.0], [0.0, 0.0]]
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def towards_identity(moments: Moments, parts: dict[str, list[float]]) -> Moments:
    """Return moments `G` as `(1 - r) G + r tr(G) / p I`: a part is spread over all inputs alike.

    Args:
        moments: from `input_moments`.
        parts: `r` of each layer, by path.

    Example:
        >>> from jaxcompress.products.moments import Layer
        >>> layer = Layer(np.array([[[0], [1]]]), np.array([[[8.0, 4.0], [4.0, 0.0]]]))
        >>> found = towards_identity(Moments({"w": [layer]}, {}), {"w": [0.25]})
        >>> found.layers["w"][0].gram.tolist()
        [[[7.0, 3.0], [3.0, 1.0]]]
    """
    return _changed(moments, lambda path, place, gram: _spread(gram, parts[path][place]))


def _changed(moments: Moments, change: Callable[[str, int, np.ndarray], np.ndarray]) -> Moments:
    """Return moments with other matrices, each by path, place of its layer, and what it was."""
    layers = {
        path: [
            layer._replace(gram=np.stack([change(path, place, gram) for gram in layer.gram]))
            for place, layer in enumerate(own)
        ]
        for path, own in moments.layers.items()
    }
    return moments._replace(layers=layers)


def _spread(gram: np.ndarray, part: float) -> np.ndarray:
    size = max(len(gram), 1)
    return (1 - part) * gram + part * np.trace(gram) / size * np.eye(len(gram))


def _shrunk(gram: np.ndarray, samples: int) -> np.ndarray:
    diagonal = np.diag(gram)
    used = np.flatnonzero(diagonal > 0)
    p = used.size
    inverse = 1 / np.sqrt(diagonal[used])
    trace = float(np.sum((gram[np.ix_(used, used)] * np.outer(inverse, inverse)) ** 2))
    if trace <= p or p < 2:  # nothing off the diagonal
        return gram
    r = ((1 - 2 / p) * trace + p * p) / ((samples + 1 - 2 / p) * (trace - p))
    r = min(r, 1.0)
    return (1 - r) * gram + r * np.diag(diagonal)
