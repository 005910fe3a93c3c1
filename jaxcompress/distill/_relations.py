"""Losses on the relations between the samples of a batch; widths may differ."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.distill._pairs import check_alike, pair


def relational_distance_loss(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Return the difference of distances between the samples of a batch, student to teacher.

    `huber(d_s(i, j) - d_t(i, j))`, the mean over all pairs; `d` are distances divided by their
    mean.

    Args:
        student: embeddings `[n, ...]` of at least two samples.
        teacher: embeddings of the same samples; widths may differ. No gradient reaches them.
            Memory grows with `n^2` times the widths.

    Returns:
        A scalar, float32 or wider.

    Raises:
        TypeError: embeddings that are not arrays of floating point.
        ValueError: batches that differ, or fewer than two samples.

    Example:
        >>> teacher = jnp.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])  # 5, 5 and 10 apart
        >>> print(relational_distance_loss(7 * teacher, teacher))
        0.0

    Source: Park et al. 2019, arXiv:1904.05068.
    """
    student, teacher = _batches(student, teacher, least=2)
    difference = _relative_distances(student) - _relative_distances(teacher)
    return jnp.mean(_huber(difference))


def relational_angle_loss(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Return the difference of angles between the samples of a batch, student to teacher.

    `huber(cos_s(i, j, k) - cos_t(i, j, k))`, the mean over all triples; `cos(i, j, k)` is the
    cosine of the angle at `j`, 0 where two samples are equal.

    Args:
        student: embeddings `[n, ...]` of at least three samples.
        teacher: embeddings of the same samples; widths may differ. No gradient reaches them.
            Memory grows with `n^2` times the widths and with `n^3`.

    Returns:
        A scalar, float32 or wider.

    Raises:
        TypeError: embeddings that are not arrays of floating point.
        ValueError: batches that differ, or fewer than three samples.

    Example:
        >>> corner = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])  # 90, 45 and 45 degrees
        >>> print(relational_angle_loss(2 * corner, corner))
        0.0

    Source: Park et al. 2019, arXiv:1904.05068.
    """
    student, teacher = _batches(student, teacher, least=3)
    n = len(student)
    i, j, k = np.meshgrid(*3 * [np.arange(n)], indexing="ij")
    distinct = (i != j) & (j != k) & (i < k)
    difference = (_cosines(student) - _cosines(teacher))[j[distinct], i[distinct], k[distinct]]
    return jnp.mean(_huber(difference))


def _batches(student: jax.Array, teacher: jax.Array, *, least: int) -> tuple[jax.Array, jax.Array]:
    student, teacher = pair("embeddings", student, teacher, rank=2)
    check_alike("batch", student.shape[:1], teacher.shape[:1], "feed both the same")
    if len(student) < least:
        raise ValueError(
            f"student: embeddings must be of at least {least} samples, got {len(student)}; "
            "take larger batches."
        )
    return _near_one(student), _near_one(teacher)


def _near_one(batch: jax.Array) -> jax.Array:
    """Return `[n, width]` embeddings with a largest entry of 1, so that no square overflows."""
    flat = batch.reshape(len(batch), -1)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(flat)))
    return flat / jnp.where(largest > 0, largest, 1)


def _norms(vectors: jax.Array) -> jax.Array:
    squares = jnp.sum(jnp.square(vectors), axis=-1)
    # Not where(squares > 0, sqrt(squares), 0), whose gradient at 0 is 0 * inf.
    there = squares != 0  # true of NaN as well, which must remain NaN
    return jnp.where(there, jnp.sqrt(jnp.where(there, squares, 1)), 0)


def _relative_distances(batch: jax.Array) -> jax.Array:
    """Return the distances of all pairs, divided by their mean."""
    first, second = np.triu_indices(len(batch), 1)
    distances = _norms(batch[first] - batch[second])
    mean = jnp.mean(distances)
    return distances / jnp.where(mean > 0, mean, 1)


def _cosines(batch: jax.Array) -> jax.Array:
    """Return the cosines `[j, i, k]` of the angles at `j` between `i` and `k`."""
    differences = batch[None] - batch[:, None]
    norms = _norms(differences)[..., None]
    directions = differences / jnp.where(norms > 0, norms, 1)
    return jnp.einsum("jid,jkd->jik", directions, directions)


def _huber(difference: jax.Array) -> jax.Array:
    size = jnp.abs(difference)
    return jnp.where(size <= 1, jnp.square(difference) / 2, size - 0.5)
