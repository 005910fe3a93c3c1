"""Losses on the inside of a teacher: its features and its attention maps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcompress.distill._pairs import check_alike, pair

Projection = Callable[[jax.Array], jax.Array]
"""From features of the student to the width of the teacher's."""


def feature_matching_loss(
    student: jax.Array, teacher: jax.Array, *, projection: jax.Array | Projection | None = None
) -> jax.Array:
    """Return the mean of `(P(s) - t)^2` over features of student and teacher.

    Args:
        student: features `[..., s]`.
        teacher: features `[..., t]` of the same places; no gradient reaches them.
        projection: `P`, from the student's widths to the teacher's: an array `[s, t]`, or any
            function. It is trained with the student and not needed afterwards. None for equal
            widths.

    Returns:
        A scalar, float32 or wider.

    Raises:
        TypeError: features that are not arrays of floating point.
        ValueError: sizes that do not match.

    Example:
        >>> student, teacher = jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 2.0, 5.0]])
        >>> projection = jnp.array([[1.0, 0, 0], [0, 1, 1]])
        >>> print(feature_matching_loss(student, teacher, projection=projection))
        3.0

    Source: Romero et al. 2015 (FitNets), arXiv:1412.6550.
    """
    student, teacher = pair("features", student, teacher, rank=2)
    if callable(projection):
        student = projection(student)
    elif projection is not None:
        widths = (student.shape[-1], teacher.shape[-1])
        if getattr(projection, "shape", None) != widths:
            raise ValueError(
                f"projection: must have the shape {widths}, widths of student and teacher, got "
                f"{getattr(projection, 'shape', projection)}."
            )
        student = student @ projection.astype(student.dtype)
    remedy = "pass a projection where widths differ, and pool the larger where images do"
    check_alike("shape of the features", student.shape, teacher.shape, remedy)
    return jnp.mean(jnp.square(student - teacher))


def attention_transfer_loss(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Return the squared difference of the attention maps of student and teacher.

    An attention map is the sum of squares over channels at each place, `a = sum_c f_c^2`. The loss
    is `||a_s / ||a_s|| - a_t / ||a_t|| ||^2`, the mean over the batch.

    Args:
        student: features `[n, ..., s]`, such as `[n, h, w, channels]`.
        teacher: features `[n, ..., t]` of the same places; widths may differ. No gradient reaches
            them.

    Returns:
        A scalar from 0 to 2, float32 or wider.

    Raises:
        TypeError: features that are not arrays of floating point.
        ValueError: places that differ.

    Example:
        >>> student, teacher = jnp.array([[[1.0], [0.0]]]), jnp.array([[[0.0, 0.0], [3.0, 4.0]]])
        >>> print(attention_transfer_loss(student, teacher))
        2.0

    Source: Zagoruyko and Komodakis 2017, arXiv:1612.03928; their code divides by the number of
    places.
    """
    student, teacher = pair("features", student, teacher, rank=3)
    remedy = "pool the larger"
    check_alike("batch and places", student.shape[:-1], teacher.shape[:-1], remedy)
    difference = _attention(student) - _attention(teacher)
    return jnp.mean(jnp.sum(jnp.square(difference), axis=1))


def _attention(features: jax.Array) -> jax.Array:
    """Return attention maps `[n, places]` of norm 1, or of norm 0 where all features are 0."""
    flat = features.reshape(len(features), -1, features.shape[-1])
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(flat), axis=(1, 2), keepdims=True))
    # Scaled first: the maps do not depend on the scale, but squares of squares overflow or vanish.
    sums = jnp.sum(jnp.square(flat / jnp.where(largest > 0, largest, 1)), axis=-1)
    squares = jnp.sum(jnp.square(sums), axis=1, keepdims=True)
    return sums / jnp.sqrt(jnp.where(squares > 0, squares, 1))
