"""Arrays of a student and of its teacher, checked together."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcompress.kinds import native
from jaxcompress.trees import is_floating, widened


def pair(what: str, student: Any, teacher: Any, *, rank: int) -> tuple[jax.Array, jax.Array]:
    """Return both in at least float32; no gradient reaches the teacher's.

    Args:
        what: what they are, for errors.
        student: floating point, of at least `rank` axes, not empty.
        teacher: likewise.
        rank: the least number of axes.

    Raises:
        TypeError: one is not an array of floating-point numbers.
        ValueError: one has fewer axes, or is empty.
    """
    student, teacher = native(student), native(teacher)
    for whose, array in (("student", student), ("teacher", teacher)):
        if not hasattr(array, "dtype") or not is_floating(array):
            kind = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{whose}: {what} must be an array of floating point, got {kind}.")
        if array.ndim < rank:
            raise ValueError(
                f"{whose}: {what} must have at least {rank} axes, got {array.shape}; give them "
                "for a batch."
            )
        if not array.size:
            raise ValueError(
                f"{whose}: {what} must not be empty, got {array.shape}; leave such a batch out."
            )
    arrays = widened(jnp.asarray(student)), jax.lax.stop_gradient(widened(jnp.asarray(teacher)))
    dtype = jnp.result_type(
        *arrays
    )  # float32 at least; JAX does not promote narrower floats itself
    return arrays[0].astype(dtype), arrays[1].astype(dtype)


def check_alike(what: str, student: tuple[int, ...], teacher: tuple[int, ...], remedy: str) -> None:
    """Refuse a student and a teacher that differ in some sizes.

    Raises:
        ValueError: naming both.
    """
    if student != teacher:
        raise ValueError(
            f"student: {what} must be the teacher's, {teacher}, got {student}; {remedy}."
        )
