"""Functions as ONNX graphs without their weights: these are in the tree, packed by our coder."""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.errors import ArtifactError
from jaxcompress.extras import library
from jaxcompress.leaves import Quantized, dense
from jaxcompress.onnx import export_onnx
from jaxcompress.onnx.sessions import session
from jaxcompress.programs._export import MOST_CONSTANTS, Held
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.trace.inputs import first_line
from jaxcompress.trees import PyTree

_SMALLEST = 256  # bytes: shorter constants stay in the graph
_MOST_AXES = 5
_TREE = "tree"
"""The place that a graph names for weights that are not in it."""


class Weight(NamedTuple):
    """A constant of a graph that is a leaf of the tree.

    Attributes:
        name: of the constant.
        leaf: its number in the tree.
        form: a key of `_FORMS`.
        axes: in which order the graph has those of the leaf.
        shape: of the constant.
    """

    name: str
    leaf: int
    form: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def of(self, leaves: Sequence[Any]) -> np.ndarray:
        """Return the constant.

        Raises:
            ArtifactError: the leaf is of another kind or of other sizes.
        """
        try:
            found = _FORMS[self.form](leaves[self.leaf])
            return np.ascontiguousarray(found.transpose(self.axes).reshape(self.shape))
        except (AttributeError, IndexError, KeyError, ValueError) as error:
            raise ArtifactError(
                f"a constant of the program is no leaf of the file: {first_line(error)}"
            ) from None


def _floats(leaf: Any) -> np.ndarray:
    found = np.asarray(dense([leaf])[0])
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def _codes(leaf: Any) -> np.ndarray:
    return np.asarray(leaf.values).astype(np.int8)


_FORMS: dict[str, Callable[[Any], np.ndarray]] = {
    "dense": _floats,
    "codes": _codes,
    "codes + 128": lambda leaf: (_codes(leaf).astype(np.int16) + 128).astype(np.uint8),
}
"""What graphs have of a leaf."""


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
        ValueError: as `export_onnx`; large constants that are no leaves.
    """
    onnx = library("onnx", "runtime='onnx'", extra="onnx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        found = export_onnx(path, apply, tree, *inputs, int8=int8)
        model = onnx.load_model_from_string(path.read_bytes())
    weights, left = [], 0
    for constant in model.graph.initializer:
        values = onnx.numpy_helper.to_array(constant)
        if values.nbytes < _SMALLEST:
            continue
        weight = _weight(constant.name, values, leaves)
        if weight is None:
            left += values.nbytes
            continue
        weights.append(weight)
        constant.ClearField("raw_data")
        constant.data_location = onnx.TensorProto.EXTERNAL
        constant.external_data.add(key="location", value=_TREE)
    if left > MOST_CONSTANTS:
        raise Held(
            f"tree: must hold the weights of the graph, got {left:,} bytes of constants that are "
            "no leaves; with int8, pass Quantized leaves, symmetric with one scale a channel."
        )
    return Graph(model.SerializeToString(), weights, found.any_batch)


def _weight(name: str, values: np.ndarray, leaves: Sequence[Any]) -> Weight | None:
    """Return which leaf a constant is, in which order of its axes; None if it is none."""
    for number, form, found in _forms(leaves):
        if found.size != values.size or found.dtype != values.dtype or found.ndim > _MOST_AXES:
            continue
        for axes in itertools.permutations(range(found.ndim)):
            if np.array_equal(found.transpose(axes).reshape(values.shape), values):
                return Weight(name, number, form, axes, values.shape)
    return None


def _forms(leaves: Sequence[Any]) -> Iterator[tuple[int, str, np.ndarray]]:
    for number, leaf in enumerate(leaves):
        for form, made in _FORMS.items():
            if form == "dense" or isinstance(leaf, Quantized):
                yield number, form, made(leaf)


def read_weights(told: Any) -> list[Weight]:
    """Return what a manifest says of weights.

    Raises:
        ValueError: it is not of this form.
    """
    if not isinstance(told, list):
        raise ValueError(f"weights {told!r:.40}")
    found = []
    for row in told:
        name, leaf, form, axes, shape = row
        numbers = [leaf, *axes, *shape]
        if not isinstance(name, str) or form not in _FORMS:
            raise ValueError(f"a weight {row!r:.80}")
        if not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError(f"a weight {row!r:.80}")
        found.append(Weight(name, leaf, form, tuple(axes), tuple(shape)))
    return found


def opened_graph(
    data: bytes, weights: Sequence[Weight], leaves: Sequence[Any]
) -> Callable[[Any, Sequence[Any]], list[np.ndarray]]:
    """Return the function of a graph, of nothing and the list of inputs.

    Raises:
        MissingLibraryError: the extra `onnx` is not installed.
        ArtifactError: ONNX Runtime does not take the graph, or a weight is no leaf.
    """
    runtime = library("onnxruntime", "open_function", extra="onnx")
    constants: Mapping[str, np.ndarray] = {each.name: each.of(leaves) for each in weights}
    try:
        started = session(runtime, data, weights=constants)
    except Exception as error:  # its errors have no common class
        raise ArtifactError(
            f"the program cannot be run by ONNX Runtime {runtime.__version__} "
            f"({first_line(error)}); upgrade it, or ship the network again"[:400]
        ) from None
    names = [each.name for each in started.get_inputs()]

    def call(_: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
        arrays = zip(names, map(np.asarray, inputs), strict=True)
        return started.run(None, dict(arrays))

    return call
