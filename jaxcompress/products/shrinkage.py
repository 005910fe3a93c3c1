"""Moments of few samples, shrunk towards their diagonal."""

import numpy as np

from jaxcompress.products.moments import Moments


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
    layers = {
        path: [
            layer._replace(gram=np.stack([_shrunk(g, samples) for g in layer.gram]))
            for layer in own
        ]
        for path, own in moments.layers.items()
    }
    return moments._replace(layers=layers)


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
