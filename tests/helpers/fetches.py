"""What is on the host of arrays that are split over devices."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress import placement
from jaxcompress.artifact import _parts


class Fetches:
    """Bytes of split arrays that were put together on the host, and are there at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.elsewhere: list[tuple[int, ...]] = []

    def took(self, array: np.ndarray) -> np.ndarray:
        self.now += array.nbytes
        self.most = max(self.most, self.now)
        weakref.finalize(array, self.freed, array.nbytes)
        return array

    def freed(self, size: int) -> None:
        self.now -= size


@contextlib.contextmanager
def watched() -> Iterator[Fetches]:
    """Count what is put together, and what numpy takes of split arrays by itself."""
    found, kind = Fetches(), type(jnp.zeros(1))
    before, value = placement._assembled, kind._value

    def read(array: Any) -> Any:
        if placement.is_split(array) and not array.is_fully_replicated:
            found.elsewhere.append(array.shape)
        return value.fget(array)

    try:
        placement._assembled = lambda array: found.took(before(array))
        kind._value = property(read)
        yield found
    finally:
        placement._assembled, kind._value = before, value


@contextlib.contextmanager
def small_parts() -> Iterator[None]:
    """Write each tensor as a part of the file: those of a part are in memory together."""
    before = _parts.NUMBERS
    try:
        _parts.NUMBERS = 1
        yield
    finally:
        _parts.NUMBERS = before
