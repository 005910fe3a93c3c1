"""The loss of softened logits and labels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.bounds import check_temperature
from jaxcompress.distill._labels import checked_labels, checked_where, cross_entropy
from jaxcompress.distill._pairs import check_alike, pair
from jaxcompress.trees import is_traced


def distillation_loss(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array | None,
    *,
    temperature: float = 3.0,
    soft_weight: float = 0.7,
    where: jax.Array | None = None,
) -> jax.Array:
    """Return the loss of a student that learns from a teacher and from labels.

    `soft_weight * T^2 * KL(teacher_T || student_T) + (1 - soft_weight) * CE(student, labels)`, each
    a mean over the batch; `p_T` is the softmax of logits divided by the temperature `T`. The factor
    `T^2` keeps the gradients of the first term equally large at any temperature. Sources disagree
    on which term the weight belongs to; here it belongs to the soft term.

    Gathered to the host: nothing.

    Args:
        student_logits: `[..., classes]`, of the network in training mode.
        teacher_logits: the same shape, of the teacher in evaluation mode; no gradient reaches it.
            A class at -inf is ruled out.
        labels: integers `[...]`, from 0; or floating point `[..., classes]`, a probability for each
            class, as from mixup and label smoothing: then `CE = -sum(p * log softmax)`. The dtype
            decides which; no gradient reaches them. With a `soft_weight` of 1 they may be None.
        temperature: 0.001 to 10 000; the higher it is, the more the wrong classes count.
        soft_weight: in [0, 1].
        where: booleans `[...]`, which samples count, such as tokens that are not padding; others
            may have any logits and labels. Default: all.

    Returns:
        A scalar, float32 or wider.

    Raises:
        TypeError: logits that are not floating point, labels that are neither integers nor floating
            point, a `where` that is not boolean.
        ValueError: shapes that do not match, no sample, labels out of range, probabilities below
            0 or that do not sum to 1, a temperature or a weight out of range. Values are checked
            where they are known; under `jax.jit` such labels make the loss NaN, and so does a
            `where` without any sample.

    Example:
        >>> teacher, student = jnp.log(jnp.array([[0.8, 0.2]])), jnp.log(jnp.array([[0.5, 0.5]]))
        >>> loss = distillation_loss(student, teacher, jnp.array([0]), temperature=1.0)
        >>> expected = 0.7 * (0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5)) - 0.3 * np.log(0.5)
        >>> bool(abs(loss - expected) < 1e-6)
        True

    Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531.
    """
    student, teacher = pair("logits", student_logits, teacher_logits, rank=2)
    remedy = "both need the same classes, in the same order"
    check_alike("shape of the logits", student.shape, teacher.shape, remedy)
    _check_numbers(temperature, soft_weight)
    if where is not None:
        where = checked_where(where, student)
        student, teacher = (jnp.where(where[..., None], x, 0) for x in (student, teacher))
    alone = _is(soft_weight, 1)
    if labels is None and alone:
        labels = jnp.zeros(student.shape[:-1], int)  # they do not count
    answers = checked_labels(labels, student, where)
    total = jnp.zeros((), student.dtype)
    if not _is(soft_weight, 0):  # a term of weight 0 may be infinite
        soft = _divergence(*(_log_softmax(x, temperature) for x in (teacher, student)))
        total += soft_weight * (temperature * (temperature * jnp.mean(soft, where=where)))
    if not alone:
        hard = cross_entropy(_log_softmax(student, 1.0), answers)
        total += (1 - soft_weight) * jnp.mean(hard, where=where)
    return total


def _log_softmax(logits: jax.Array, temperature: Any) -> jax.Array:
    # In single precision gradients at a temperature of 1e6 are off by some percent, at 1e8 they are
    # 0: hence the bounds of the temperature.
    # The largest is subtracted first, so that no division overflows.
    largest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    return jax.nn.log_softmax((logits - largest) / temperature)


def _divergence(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
    """Return `KL(p || q)` along the last axis, exact also where both are almost equal.

    It is the sum of `p * (exp(-gap) - 1 + gap)` with `gap = log(p / q)`, since p and q both sum to
    1. No term is negative, so none cancels another. Where p is 0 the term is q.
    """
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    there = p > 0
    gap = jnp.where(there, log_p - log_q, 0)
    near = there & (jnp.abs(gap) < 1)
    small = jnp.where(near, gap, 0)
    return jnp.sum(jnp.where(near, p * (jnp.expm1(-small) + small), q - p + p * gap), axis=-1)


def _check_numbers(temperature: Any, soft_weight: Any) -> None:
    if not is_traced(temperature):
        check_temperature("temperature", temperature)
    if is_traced(soft_weight):
        return
    if isinstance(soft_weight, str | bool | None) or np.shape(soft_weight) != ():
        raise TypeError(
            f"soft_weight: must be a number in [0, 1], got {soft_weight!r}; 0.7 is usual."
        )
    if not 0 <= soft_weight <= 1:
        raise ValueError(
            f"soft_weight: must be in [0, 1], got {soft_weight}; it is the fraction of the "
            "teacher's term."
        )


def _is(number: Any, value: float) -> bool:
    return not is_traced(number) and number == value
