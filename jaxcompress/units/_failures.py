"""What goes wrong when code runs at smaller sizes, and whether the code itself checks sizes."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from traceback import walk_tb
from types import FrameType
from typing import NamedTuple

import jax

from jaxcompress.trace.program import first_line


class Failure(NamedTuple):
    """What goes wrong when units are removed.

    Attributes:
        text: the message for users.
        place: files and lines of the error's traceback; empty if the code ran.
        checked: the code checks sizes: if it is built anew for other sizes, it may run.
    """

    text: str
    place: tuple[tuple[str, int], ...] = ()
    checked: bool = False


def failure_of(error: Exception, sizes: Collection[int]) -> Failure:
    """Return what an error says about code that ran with some units removed.

    An error that JAX raises, such as "cannot reshape", means that the code has a size written down.
    All other errors come from code that checks sizes: an assertion, a module that compares shapes
    with its configuration. So does an error of JAX inside a method whose object has one of the
    sizes as an attribute.

    Args:
        error: raised with the frames of JAX, see `all_frames`.
        sizes: full sizes of the groups and axes that lost units.
    """
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__)]
    place = tuple((frame.f_code.co_filename, line) for frame, line in frames)
    own = [frame for frame, _ in frames if not frame.f_code.co_filename.startswith(_NOT_OWN)]
    raised = bool(own) and own[-1] is frames[-1][0]
    return Failure(first_line(error, 100), place, raised or _keeps_a_size(own, sizes))


@contextmanager
def all_frames() -> Iterator[None]:
    """Let errors keep the frames of JAX, which JAX hides by default."""
    before = jax.config.jax_traceback_filtering  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_traceback_filtering", "off")
    try:
        yield
    finally:
        jax.config.update("jax_traceback_filtering", before)


def _folder(package: str) -> str:
    spec = find_spec(package)
    return os.path.dirname(spec.origin or package) + os.sep if spec else package


_NOT_OWN = tuple(map(_folder, ("jax", "jaxlib", "numpy", "opt_einsum", "jaxcompress")))


def _keeps_a_size(frames: list[FrameType], sizes: Collection[int]) -> bool:
    """Return whether the innermost method belongs to an object with one of the sizes."""
    for frame in reversed(frames):
        code = frame.f_code
        owner = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        if owner is None or isinstance(owner, type) or hasattr(owner, "dtype"):
            continue
        if kept := getattr(owner, "__dict__", None):
            return any(type(value) is int and value in sizes for value in kept.values())
    return False
