"""The graphs of an ONNX model: their tensors, and the nodes that use them.

Source: `ModelProto` in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import math
from pathlib import Path
from typing import NamedTuple, Self

from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli.formats.extent import Stamp, stamp_of
from jaxcompress.cli.formats.onnx_tensors import OnnxTensor, read_tensor
from jaxcompress.cli.formats.wire import BYTES, VARINT, Field, Wire, signed
from jaxcompress.errors import ArtifactError
from jaxcompress.trees import is_floating

_GRAPH, _FUNCTIONS = 7, 25  # of a model
_NODES, _INITIALIZERS, _SPARSE = 1, 5, 15  # of a graph
_INPUTS, _OUTPUTS, _NAME, _OPERATOR, _ATTRIBUTES = 1, 2, 3, 4, 5  # of a node
_INTEGER, _TENSOR, _SUBGRAPH, _INTEGERS, _SUBGRAPHS = 3, 5, 6, 8, 11  # of an attribute
_NODES_OF_FUNCTION, _NAMES_OF_FUNCTION = 7, (10, 1, 13)  # domain, name and overload
_MOST_DEPTH = 64
_MOST_INTEGERS = 64  # of an attribute that is read: axes of a tensor


class Node(NamedTuple):
    """A node of a graph.

    Attributes:
        operator: its name.
        inputs: names of what it takes.
        outputs: names of what it gives.
        integers: attributes that are integers, each as a list.
    """

    operator: str
    inputs: list[str]
    outputs: list[str]
    integers: dict[str, list[int]]


class Graph:
    """A graph, in order of its nodes.

    Attributes:
        nodes: of itself.
        names: from names in the graph to those of tensors in the model.
        outer: the graph around it.
        scope: of the names of its tensors.
    """

    def __init__(self, outer: Self | None = None, scope: str = "") -> None:
        """Begin an empty graph."""
        self.nodes: list[Node] = []
        self.names: dict[str, str] = {}
        self.outer, self.scope = outer, scope


class Model:
    """The graphs and tensors of a model.

    Attributes:
        graphs: the outermost first.
        tensors: by name; of an inner graph, behind the first output of the node and its attribute.
        strings: how many tensors of strings were left out.
        sparse: how many sparse ones were.
    """

    def __init__(self, path: Path) -> None:
        """Read the graphs.

        Raises:
            ArtifactError: the file is damaged, no model, or one with numbers outside of its folder.
        """
        self.graphs: list[Graph] = []
        self.tensors: dict[str, OnnxTensor] = {}
        self.strings = self.sparse = 0
        with reading(path), open_regular(path) as file:
            self._path, self._stamp = path, stamp_of(file.fileno())
            self._wire = wire = Wire(file)
            fields = list(wire.fields(0, self._stamp[2]))
            graphs = [field for field in fields if (field.number, field.kind) == (_GRAPH, BYTES)]
            if len(graphs) != 1:
                raise ArtifactError("a model must have one graph", found=len(graphs))
            self._read(Graph(), _NODES, (graphs[0],))
            for field in fields:
                if field.number == _FUNCTIONS:
                    names = (_text(wire, field, number) for number in _NAMES_OF_FUNCTION)
                    scope = f"{'.'.join(name for name in names if name)}/"
                    self._read(Graph(scope=scope), _NODES_OF_FUNCTION, (field,))

    @property
    def stamp(self) -> Stamp:
        """The stamp of the file."""
        return self._stamp

    def _read(self, graph: Graph, nodes: int, parents: tuple[Field, ...]) -> None:
        """Read a graph, the last of the fields, and those inside of it."""
        if len(parents) > _MOST_DEPTH:
            raise ArtifactError("graphs are nested too deep", expected=f"<= {_MOST_DEPTH}")
        self.graphs.append(graph)
        for field in self._wire.fields(parents[-1].start, parents[-1].end):
            if field.number == nodes:
                self._node(graph, (*parents, field))
            elif nodes == _NODES and field.number == _INITIALIZERS:
                tensor = read_tensor(self._wire, (*parents, field), self._path, self._stamp)
                self._add(graph, tensor, tensor.name if tensor else "")
            elif nodes == _NODES and field.number == _SPARSE:
                self.sparse += 1

    def _add(self, graph: Graph, tensor: OnnxTensor | None, name: str) -> None:
        if tensor is None:
            self.strings += 1
            return
        full = graph.scope + name
        if not name or full in self.tensors:
            raise ArtifactError("a tensor must have a name of its own", found=full)
        graph.names[name] = full
        self.tensors[full] = tensor._replace(name=full)

    def _node(self, graph: Graph, parents: tuple[Field, ...]) -> None:
        wire, texts = self._wire, {number: [] for number in (_INPUTS, _OUTPUTS, _NAME, _OPERATOR)}
        attributes: list[tuple[str, Field, list[Field]]] = []
        for field in wire.fields(parents[-1].start, parents[-1].end):
            if field.number in texts:
                texts[field.number].append(wire.text(field))
            elif field.number == _ATTRIBUTES:
                parts = list(wire.fields(field.start, field.end))
                attributes.append((_text(wire, field, 1), field, parts))
        outputs = texts[_OUTPUTS]
        # An output names its node: names of nodes may be missing, or there twice.
        called = next((name for name in (*outputs, *texts[_NAME]) if name), "")
        operator = texts[_OPERATOR][0] if texts[_OPERATOR] else ""
        graph.nodes.append(Node(operator, texts[_INPUTS], outputs, _integers(wire, attributes)))
        for name, field, parts in attributes:
            for part in parts:
                inner = (*parents, field, part)
                if part.number in (_SUBGRAPH, _SUBGRAPHS) and part.kind == BYTES:
                    scope = f"{graph.scope}{called}/{name}/"
                    self._read(Graph(graph, scope), _NODES, inner)
                elif part.number == _TENSOR and (operator, name) == ("Constant", "value"):
                    tensor = read_tensor(wire, inner, self._path, self._stamp)
                    if tensor and is_floating(tensor.spec) and math.prod(tensor.spec.shape) > 1:
                        self._add(graph, tensor, outputs[0] if outputs else "")


def _integers(wire: Wire, attributes: list[tuple[str, Field, list[Field]]]) -> dict[str, list[int]]:
    """Return the attributes that are integers; long ones are no axes of a tensor."""
    found: dict[str, list[int]] = {}
    for name, _, parts in attributes:
        for part in parts:
            if part.number == _INTEGER and part.kind == VARINT:
                found[name] = [signed(part)]
            elif part.number == _INTEGERS and (part.kind != BYTES or part.value < _MOST_INTEGERS):
                found.setdefault(name, []).extend(wire.numbers([part], _MOST_INTEGERS))
    return found


def _text(wire: Wire, field: Field, number: int) -> str:
    """Return a string of a message."""
    texts = (part for part in wire.fields(field.start, field.end) if part.number == number)
    return next(map(wire.text, texts), "")
