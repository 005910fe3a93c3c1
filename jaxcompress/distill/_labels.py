"""Labels: class numbers, or a probability for each class."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kinds import native
from jaxcompress.trees import is_floating, is_traced, widened

_TOLERANCE = 1e-3
"""How far the sum of probabilities may be from 1; in narrow dtypes at least four epsilons."""


def checked_labels(labels: Any, logits: jax.Array, where: jax.Array | None) -> jax.Array:
    """Return labels as int32, or probabilities in the dtype of the logits.

    Under a trace, invalid class numbers become the number of classes and invalid probabilities NaN;
    both make the loss NaN.

    Raises:
        TypeError: neither integers nor floating point.
        ValueError: other shapes, numbers out of range, rows that are not probabilities.
    """
    if labels is None:
        raise TypeError(
            "labels: must be integers or probabilities, got NoneType; without any pass a "
            "soft_weight of 1."
        )
    answers = jnp.asarray(native(labels))
    if is_floating(answers):
        return _checked_probabilities(answers, logits, where)
    if not jnp.issubdtype(answers.dtype, jnp.integer):
        raise TypeError(
            "labels: must be integers, or floating point for probabilities, got "
            f"{answers.dtype}; cast labels that are one-hot to floating point."
        )
    if answers.shape == logits.shape:
        raise ValueError(
            f"labels: integers must have the shape {logits.shape[:-1]}, a class for each row of "
            f"logits, got {answers.shape}; cast labels that are one-hot to floating point."
        )
    _check_rows("labels", answers, logits)
    return _checked_classes(answers, logits.shape[-1], where)


def cross_entropy(log_q: jax.Array, labels: jax.Array) -> jax.Array:
    """Return `-sum(p * log q)` of each row.

    Args:
        log_q: `[..., classes]`.
        labels: from `checked_labels`.
    """
    if is_floating(labels):
        there = labels != 0  # else 0 * -inf for a class that both rule out; NaN counts
        return -jnp.sum(jnp.where(there, labels * jnp.where(there, log_q, 0), 0), axis=-1)
    return -jnp.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]


def _checked_classes(answers: jax.Array, classes: int, where: jax.Array | None) -> jax.Array:
    if where is not None:
        answers = jnp.where(where, answers, 0)
    if not is_traced(answers):
        least, most = int(answers.min()), int(answers.max())
        if least < 0 or most >= classes:
            raise ValueError(
                f"labels: must be 0 to {classes - 1}, got {least if least < 0 else most}; count "
                "classes from 0, and leave out samples without a label by where."
            )
    answers = answers.astype(jnp.int32)
    return jnp.where(answers < 0, classes, answers)  # -1 would be the last class


def _checked_probabilities(
    given: jax.Array, logits: jax.Array, where: jax.Array | None
) -> jax.Array:
    if given.shape != logits.shape:
        raise ValueError(
            f"labels: probabilities must have the shape of the logits, {logits.shape}, got "
            f"{given.shape}; numbers of classes must be integers."
        )
    p = widened(jax.lax.stop_gradient(given))
    if where is not None:
        p = jnp.where(where[..., None], p, 1 / p.shape[-1])
    tolerance = max(_TOLERANCE, 4 * float(jnp.finfo(given.dtype).eps))
    sums = jnp.sum(p, axis=-1)
    wrong = ~((jnp.abs(sums - 1) <= tolerance) & jnp.all(p >= 0, axis=-1))  # NaN is wrong
    if not is_traced(wrong) and wrong.any():
        row = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise ValueError(
            "labels: probabilities must be at least 0 and sum to 1 over the last axis, got a least "
            f"of {float(p[row].min()):g} and a sum of {float(sums[row]):g} in row "
            f"{', '.join(map(str, row))}; pass logits through a softmax, and leave out samples "
            "without a label by where."
        )
    return jnp.where(wrong[..., None], jnp.nan, p).astype(logits.dtype)


def checked_where(where: Any, logits: jax.Array) -> jax.Array:
    """Return which samples count.

    Raises:
        TypeError: it does not hold booleans.
        ValueError: it has another shape than the rows of logits, or no sample counts.
    """
    counts = jnp.asarray(where)
    if counts.dtype != bool:
        raise TypeError(f"where: must be booleans, got {counts.dtype}; pass tokens != 0, say.")
    _check_rows("where", counts, logits)
    if not is_traced(counts) and not counts.any():
        raise ValueError("where: must leave a sample at least, got none; leave such a batch out.")
    return counts


def _check_rows(name: str, array: jax.Array, logits: jax.Array) -> None:
    if array.shape != logits.shape[:-1]:
        raise ValueError(
            f"{name}: must have the shape {logits.shape[:-1]}, one for each row of logits, got "
            f"{array.shape}."
        )
