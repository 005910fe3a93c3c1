"""Functions as ONNX graphs without their weights: these are in the tree, packed by our coder."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.errors import ArtifactError
from jaxcompress.extras import library
from jaxcompress.onnx import export_onnx
from jaxcompress.onnx.sessions import session
from jaxcompress.programs._export import Held
from jaxcompress.programs._signature import Input
from jaxcompress.programs._story import Story
from jaxcompress.programs._weights import Finder, Weight
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.trace.inputs import first_line
from jaxcompress.trees import PyTree

_SMALLEST, _MOST_LEFT = 256, 1 << 14
"""Bytes: shorter constants stay in the graph, and no more than these of others."""
_TREE = "tree"
"""The place that a graph names for weights that are not in it."""


class Graph(NamedTuple):
    """A function as a graph.

    Attributes:
        data: the model.
        weights: constants that are not in it.
        any_batch: whether the first size of the inputs may be any.
    """

    data: bytes
    weights: list[Weight]
    any_batch: bool


def graph_of(
    apply: Callable[..., PyTree],
    tree: PyTree,
    leaves: Sequence[Any],
    inputs: Sequence[PyTree],
    int8: Ranges | None,
) -> Graph:
    """Return a function as a graph without its weights.

    Args:
        apply: `apply(tree, *inputs)`.
        tree: with or without compressed leaves.
        leaves: those of the tree, as they are read from the file.
        inputs: of one example call.
        int8: ranges of activations, for products in integers.

    Raises:
        MissingLibraryError: the extra `onnx` is not installed.
        ValueError: as `export_onnx`; constants that are no leaves.
    """
    onnx = library("onnx", "runtime='onnx'", extra="onnx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        found = export_onnx(path, apply, tree, *inputs, int8=int8)
        model = onnx.load_model_from_string(path.read_bytes())
    finder, weights, left = Finder(leaves), [], {}
    for constant in model.graph.initializer:
        values = onnx.numpy_helper.to_array(constant)
        if values.nbytes < _SMALLEST:
            continue
        weight = finder.weight(constant.name, values)
        if weight is None:
            left[values.shape] = left.get(values.shape, 0) + values.nbytes
            continue
        weights.append(weight)
        constant.ClearField("raw_data")
        constant.data_location = onnx.TensorProto.EXTERNAL
        constant.external_data.add(key="location", value=_TREE)
    if (total := sum(left.values())) > _MOST_LEFT:
        shape = max(left, key=left.__getitem__)
        raise Held(
            f"tree: must hold the weights of the graph, got {total:,} bytes of constants that are "
            f"no leaves, some of shape {list(shape)}; call fold_norms before, and with int8 pass "
            "Quantized leaves that are symmetric with one scale a channel."
        )
    return Graph(model.SerializeToString(), weights, found.any_batch)


def opened_graph(
    data: bytes, story: Story, leaves: Sequence[Any], max_bytes: int
) -> Callable[[Any, Sequence[Any]], list[np.ndarray]]:
    """Return the function of a graph, of nothing and the list of inputs.

    Args:
        data: the model.
        story: what is said of it: its weights, inputs and outputs.
        leaves: of the file.
        max_bytes: that the weights may take.

    Raises:
        MissingLibraryError: the extra `onnx` is not installed.
        ArtifactError: ONNX Runtime does not take the graph, it has other inputs or outputs, or a
            weight is no leaf, or they are too many bytes.
    """
    runtime = library("onnxruntime", "open_function", extra="onnx")
    if (size := sum(each.size_bytes for each in story.weights)) > max_bytes:
        raise ArtifactError(
            "the weights take more than max_bytes allows", expected=f"<= {max_bytes}", found=size
        )
    constants = {each.name: each.of(leaves) for each in story.weights}
    try:
        started = session(runtime, data, weights=constants)
    except Exception as error:  # its errors have no common class
        raise ArtifactError(
            f"the program cannot be run by ONNX Runtime {runtime.__version__} "
            f"({first_line(error)}); upgrade it, or ship the network again"[:400]
        ) from None
    _check_ends(story.inputs.arrays, started.get_inputs())
    _check_ends(story.outputs.arrays, started.get_outputs())
    names = [each.name for each in started.get_inputs()]

    def call(_: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
        arrays = zip(names, map(np.asarray, inputs), strict=True)
        try:
            return started.run(None, dict(arrays))
        except Exception as error:  # its errors have no common class
            raise ValueError(
                f"inputs: must be what the program computes with, got {first_line(error)}"
            ) from None

    return call


def _check_ends(told: Sequence[Input], found: Sequence[Any]) -> None:
    """Refuse a graph that takes or gives other arrays than the manifest says."""
    said = [[_TYPES.get(each.dtype), *map(_size, each.shape)] for each in told]
    has = [[each.type, *map(_size, each.shape)] for each in found]
    if [row[:1] for row in said] != [row[:1] for row in has] or any(
        len(one) != len(other) for one, other in zip(said, has, strict=True)
    ):
        raise ArtifactError(
            "the program takes or gives other arrays than the manifest says",
            expected=", ".join(map(str, told)),
            found=", ".join(f"{each.type}{each.shape}" for each in found),
        )
    for one, other in zip(said, has, strict=True):
        if any(n != m and None not in (n, m) for n, m in zip(one, other, strict=True)):
            raise ArtifactError(
                "the program takes or gives arrays of other sizes than the manifest says",
                expected=one[1:],
                found=other[1:],
            )


_TYPES = {
    "float32": "tensor(float)",
    "int32": "tensor(int32)",
    "uint8": "tensor(uint8)",
    "bool": "tensor(bool)",
}


def _size(size: Any) -> int | None:
    return size if isinstance(size, int) else None
