"""The function of a file, ready to be called."""

import itertools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact.memory import limit_of
from jaxcompress.artifact.reader import Opened, contents_of, open_parts, program_of
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.source import opened
from jaxcompress.compiled import jit_for_inference
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import dense
from jaxcompress.programs._export import deserialized
from jaxcompress.programs._onnx import opened_graph
from jaxcompress.programs._signature import ANY, Input
from jaxcompress.programs._story import DENSE, ONNX, Story, read_story
from jaxcompress.trees import PyTree

_BACKENDS = {"gpu": "cuda"}


class OpenFunction:
    """The function of a file, from `open_function`: `net(*inputs)`.

    Attributes:
        inputs: arrays that go in, with names, shapes and dtypes.
        outputs: arrays that come out.
        classes: what the entries of the last axis of the first output mean; None if unknown.
        preprocessing: from pictures to the first input; None if it takes none.
        metadata: of the file.
        made: how the tree was made, as JSON; None if the file does not say.
        story: all that the file says of its program.
        call: the compiled function, of the list of weights and the list of inputs.
        weights: that list.
    """

    def __init__(
        self, story: Story, metadata: dict[str, Any], call: Callable[..., Any], weights: list[Any]
    ) -> None:
        self.story, self.metadata, self.call, self.weights = story, metadata, call, weights
        self.inputs, self.outputs = story.inputs.arrays, story.outputs.arrays
        self.classes, self.preprocessing = story.classes, story.preprocessing
        self.made = story.made

    def __call__(self, *inputs: PyTree) -> PyTree:
        """Return what the function returns; dicts in place of other containers.

        Raises:
            ValueError: inputs of another structure, shape or dtype, or of no rows.
        """
        leaves = self.story.inputs.leaves(tuple(inputs))
        rows: dict[str, int] = {}
        arrays = [_checked(*pair, rows) for pair in zip(self.inputs, leaves, strict=True)]
        return self.story.outputs.filled(self.call(self.weights, arrays))

    def __repr__(self) -> str:
        """Return what goes in and comes out."""
        ends = (", ".join(map(str, each)) for each in (self.inputs, self.outputs))
        return f"OpenFunction({' -> '.join(ends)})"


def _checked(wanted: Input, given: Any, rows: dict[str, int]) -> Any:
    """Return an input, after the check that the program takes it."""
    array = given if isinstance(given, jax.Array) else np.asarray(given)
    shape = array.shape
    fits = len(shape) == len(wanted.shape) and all(
        n == m or m == ANY for n, m in zip(shape, wanted.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{wanted.name}: must be of shape [{', '.join(map(str, wanted.shape))}], got "
            f"{list(shape)}; reshape it."
        )
    if str(array.dtype) != wanted.dtype:
        raise ValueError(
            f"{wanted.name}: must be {wanted.dtype}, got {array.dtype}; pass "
            f'{wanted.name}.astype("{wanted.dtype}").'
        )
    if wanted.shape[:1] == (ANY,):
        first = next(iter(rows), wanted.name)
        rows.setdefault(wanted.name, shape[0])
        if not shape[0] or shape[0] != rows[first]:
            least = f"{rows[first]} rows, as {first} has" if shape[0] else "rows"
            raise ValueError(
                f"{wanted.name}: must have {least}, got {shape[0]}; pass one row or more."
            )
    return array


def open_function(
    path: str | os.PathLike[str],
    *,
    max_bytes: int | None = None,
    compiled_by: Callable[..., Any] | None = None,
) -> OpenFunction:
    """Return the function of a file that `ship` wrote.

    It needs neither the code of the network nor the libraries that it is written in. The data of
    the file is read without trust, as `load` reads it. The program is a program: whoever wrote the
    file decides what runs. Only open files from people whom you trust.

    Args:
        path: file to read.
        max_bytes: most bytes of memory, as for `load`, and of the program.
        compiled_by: what compiles the function, `jax.jit` say; None for `jit_for_inference`. On
            the same platform and version of JAX results are equal to the bit to those of the
            function that was shipped, compiled so. Programs of ONNX Runtime are compiled by it.

    Raises:
        ArtifactError: the file is damaged, has no program, or one of other tensors, of another
            version of JAX, or for other platforms.
        ValueError: `compiled_by` for a program of ONNX Runtime.
        MissingLibraryError: a program of ONNX Runtime, without the extra `onnx`.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> from jaxcompress.programs import ship
        >>> tree, x = {"kernel": np.eye(2, dtype=np.float32)}, np.ones((1, 2), np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = ship(f"{folder}/net.npz", lambda tree, x: x @ tree["kernel"], tree, x)
        ...     print(open_function(f"{folder}/net.npz"))
        OpenFunction(x float32[batch, 2] -> output float32[batch, 2])
    """
    limit = limit_of(max_bytes)
    with reading(path), opened(path) as source:
        found = open_parts(source, limit)
        data, story = program_of(found, limit), read_story(found.manifest["program"])
        is_misused = story.kind == ONNX and compiled_by is not None
        loaded = None if is_misused else _loaded(found, data, story, limit, compiled_by)
    if loaded is None:  # here, as a fault of the call and not of the file
        raise ValueError(
            "compiled_by: must be left out for a program of ONNX Runtime, got one; leave it out."
        )
    call, weights = loaded
    return OpenFunction(story, found.manifest["metadata"], call, jax.device_put(weights))


def _loaded(
    found: Opened,
    data: bytes,
    story: Story,
    limit: int,
    compiled_by: Callable[..., Any] | None,
) -> tuple[Callable[..., Any], list[Any]]:
    """Return the compiled function of the list of weights and the list of inputs, and the first."""
    leaves = [tensor.leaf for tensor in contents_of(found, limit).tensors]
    if story.kind == ONNX:
        return opened_graph(data, story, leaves, limit), []
    _check_platform(story)
    program = deserialized(data, jax_version=story.jax, convention=story.convention)
    weights = jax.tree.leaves(dense(leaves) if story.runs == DENSE else leaves)
    _check_shapes(program.in_avals, weights, story)
    return (compiled_by or jit_for_inference)(program.call), weights


def _check_platform(story: Story) -> None:
    backend = jax.default_backend()
    here = _BACKENDS.get(backend, backend)
    if here not in story.platforms:
        raise ArtifactError(
            "a program for other platforms; ship it again with this one, or choose another device",
            expected=", ".join(story.platforms),
            found=here,
        )


def _check_shapes(avals: Any, weights: list[Any], story: Story) -> None:
    """Refuse a program that takes other arrays than the file has and says."""
    taken = [(tuple(map(_size, aval.shape)), str(aval.dtype)) for aval in avals]
    narrow = jax.dtypes.canonicalize_dtype
    held = [(np.shape(each), str(narrow(each.dtype))) for each in weights]
    held += [(each.shape, each.dtype) for each in story.inputs.arrays]
    for wanted, found in itertools.zip_longest(taken, held):
        if wanted != found:
            raise ArtifactError(
                "the program takes other arrays than the file holds", expected=wanted, found=found
            )


def _size(size: Any) -> int | str:
    return size if isinstance(size, int) else ANY
