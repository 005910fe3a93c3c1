"""Networks in ONNX files: their weights, and runs with others in their place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

Feeds = Mapping[str, Any]


class Graph(NamedTuple):
    """A model, and where its floats lie in it.

    Attributes:
        model: as it was read; never run itself.
        tensors: of the model, by name; their values are replaced.
    """

    model: onnx.ModelProto
    tensors: dict[str, Any]

    def weights(self) -> dict[str, np.ndarray]:
        """Return the arrays as they are now."""
        return {name: numpy_helper.to_array(tensor) for name, tensor in self.tensors.items()}

    def session(self, weights: Mapping[str, np.ndarray]) -> onnxruntime.InferenceSession:
        """Return what runs the model with these weights, on one thread."""
        for name, tensor in self.tensors.items():
            values = np.asarray(weights[name], np.float32).reshape(tensor.dims)
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def graph(data: bytes) -> Graph:
    """Return the model of a file: initializers are weights, and constants of nodes."""
    model = onnx.load_model_from_string(data)
    floats = (t for t in _tensors(model.graph) if t[1].data_type == onnx.TensorProto.FLOAT)
    return Graph(model, {name: tensor for name, tensor in floats if tensor.dims})


def _tensors(inside: Any) -> Iterator[tuple[str, Any]]:
    yield from ((tensor.name, tensor) for tensor in inside.initializer)
    for node in inside.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield node.output[0], attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)


def runner(model: Graph, feeds: Sequence[Feeds], output: int = 0) -> Callable[[Any], np.ndarray]:
    """Return `weights -> [examples, ...]`: one output at each of the feeds, of the same shapes."""

    def outputs(weights: Mapping[str, np.ndarray]) -> np.ndarray:
        session = model.session(weights)
        return np.concatenate([np.asarray(session.run(None, dict(feed))[output]) for feed in feeds])

    return outputs
