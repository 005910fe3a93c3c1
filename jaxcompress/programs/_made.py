"""The program of a call: StableHLO, or a graph of ONNX."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from jaxcompress.errors import ArtifactError
from jaxcompress.execution import execute
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.programs._export import exported
from jaxcompress.programs._onnx import graph_of, opened_graph
from jaxcompress.programs._signature import ANY, Ends, outputs_of
from jaxcompress.programs._story import COMPRESSED, DENSE, JAX, ONNX, Story
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.trees import PyTree, named_leaves

MOST_BYTES = 1 << 40
"""More than any file of one's own takes to be read back."""


class Call(NamedTuple):
    """What is shipped.

    Attributes:
        apply: the function.
        tree: its first argument.
        inputs: the others, of one example call.
        ends: what is said of these.
    """

    apply: Callable[..., PyTree]
    tree: PyTree
    inputs: Sequence[PyTree]
    ends: Ends


class Made(NamedTuple):
    """A program.

    Attributes:
        data: its bytes.
        result: shapes and dtypes of what it returns.
        story: what is said of it, without classes and own names of outputs.
    """

    data: bytes
    result: PyTree
    story: Story


def as_stablehlo(
    call: Call, leaves: Sequence[Any] | None, *, platforms: Sequence[str], gradients: bool
) -> Made:
    """Return a call as StableHLO.

    Args:
        call: what is shipped.
        leaves: of the file, on which it runs as they are; None to run on decoded arrays.
        platforms: that it is compiled for.
        gradients: whether it may be differentiated once.
    """
    named = named_leaves(call.tree, is_leaf=is_compressed)
    if leaves is None:
        run, leaves = call.apply, [_dense(leaf) for leaf in named.leaves]
        runs = DENSE
    else:
        run, runs = execute(call.apply), COMPRESSED
    weights, form = jax.tree.flatten(list(leaves))

    def rebuilt(weights: list[Any]) -> PyTree:
        return named.rebuild(jax.tree.unflatten(form, weights))

    def flat(weights: list[Any], inputs: list[Any]) -> list[Any]:
        return jax.tree.leaves(run(rebuilt(weights), *call.ends.filled(inputs)))

    shapes = [jax.ShapeDtypeStruct(np.shape(each), each.dtype) for each in weights]
    arrays = _specs(call.ends)
    program = exported(flat, (shapes, arrays), platforms=platforms)
    data = bytes(program.serialize(vjp_order=int(gradients)))
    result = jax.eval_shape(run, rebuilt(shapes), *call.ends.filled(arrays))
    story = _story(
        call.ends,
        result,
        runs=runs,
        convention=program.calling_convention_version,
        platforms=list(program.platforms),
    )
    return Made(data, result, story)


def as_graph(call: Call, leaves: Sequence[Any], int8: Ranges | None) -> Made:
    """Return a call as a graph of ONNX.

    Args:
        call: what is shipped.
        leaves: of the file.
        int8: ranges of activations, for products in integers.

    Raises:
        ValueError: as `graph_of`; the graph needs to know the number of rows.
    """
    graph = graph_of(call.apply, call.tree, leaves, call.inputs, int8)
    ends = call.ends
    if not graph.any_batch and any(ANY in each.shape for each in ends.arrays):
        raise ValueError(
            "any_batch: must be False, as the graph needs to know the number of rows, got True; "
            "write x.shape[0] in place of len(x), or pass any_batch=False."
        )
    tree = jax.eval_shape(dense, call.tree)
    result = jax.eval_shape(call.apply, tree, *ends.filled(_specs(ends)))
    story = _story(ends, result, kind=ONNX, weights=graph.weights)
    _check_opens(graph.data, story, leaves)
    return Made(graph.data, result, story)


def _check_opens(data: bytes, story: Story, leaves: Sequence[Any]) -> None:
    """Open a graph as a receiver does.

    Raises:
        ValueError: its arrays are not those that the file would say, of 64 bits for example.
    """
    try:
        opened_graph(data, story, leaves, MOST_BYTES)
    except ArtifactError as error:
        raise ValueError(
            f"inputs: must be what graphs have (float32, int32, uint8, bool), got {error}"
        ) from None


def _story(ends: Ends, result: PyTree, **known: Any) -> Story:
    usual = {"runs": DENSE, "convention": 0, "platforms": ["cpu"], "kind": JAX}
    return Story(
        inputs=ends,
        outputs=outputs_of(None, result),
        classes=None,
        preprocessing=None,
        jax=jax.__version__,
        **usual | known,  # pyright: ignore[reportArgumentType]
    )


def _dense(leaf: Any) -> Any:
    found = dense([leaf])[0]
    return found if hasattr(found, "dtype") else np.asarray(found)


def _specs(ends: Ends) -> list[Any]:
    """Return shapes and dtypes, with one symbol for all numbers of rows."""
    scope = export.SymbolicScope()
    (rows,) = export.symbolic_shape(ANY, scope=scope)
    return [
        jax.ShapeDtypeStruct(tuple(rows if n == ANY else n for n in each.shape), each.dtype)
        for each in ends.arrays
    ]
