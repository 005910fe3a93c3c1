"""The axis of a weight along which the outputs of its product lie, by the nodes that use it.

Source: https://onnx.ai/onnx/operators
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jaxcompress.cli.formats.onnx_graph import Graph, Model, Node


class _Use(NamedTuple):
    """Which input of an operator is a weight, and the axis of its outputs."""

    input: int
    axis: Callable[[Node], int]


def _fixed(axis: int) -> Callable[[Node], int]:
    return lambda node: axis


def _gemm(flag: str, plain: int) -> Callable[[Node], int]:
    """Return the axis of a matrix that a flag transposes."""
    return lambda node: -1 - plain if node.integers.get(flag, [0])[0] else plain


_FIRST, _SECOND, _LAST, _ROWS = _fixed(0), _fixed(1), _fixed(-1), _fixed(-2)
_RECURRENT = [_Use(1, _ROWS), _Use(2, _ROWS)]  # [directions, gates * hidden, inputs]

_USES: dict[str, list[_Use]] = {
    **dict.fromkeys(("Conv", "FusedConv", "DeformConv", "ConvInteger"), [_Use(1, _FIRST)]),
    "QLinearConv": [_Use(3, _FIRST)],
    "ConvTranspose": [_Use(1, _SECOND)],
    **dict.fromkeys(("MatMul", "MatMulInteger"), [_Use(1, _LAST), _Use(0, _ROWS)]),
    "QLinearMatMul": [_Use(3, _LAST), _Use(0, _ROWS)],
    "FusedMatMul": [_Use(1, _gemm("transB", -1)), _Use(0, _gemm("transA", -2))],
    "Gemm": [_Use(1, _gemm("transB", -1)), _Use(0, _gemm("transA", -2))],
    "Attention": [_Use(1, _LAST)],  # of ONNX Runtime: [inputs, outputs]
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    "Gather": [_Use(0, _FIRST)],
}

_SAME = ("Identity", "Cast", "DequantizeLinear", "Slice", "Concat", "Unsqueeze")
"""Operators that keep the axes, counted from the last one: those of PyTorch put new ones before
weights of LSTMs, whose gates they have ordered anew."""

_MOST_STEPS = 1000  # from a product to its weight


def output_axes(model: Model) -> dict[str, int]:
    """Return the axis of the weights that a node multiplies; of the last one, -1.

    The first use decides, a lookup only where there is no product. Axes are followed through
    transposes and the like.
    """
    found: dict[str, int] = {}
    lookups: dict[str, int] = {}
    makers = {id(graph): _makers(graph) for graph in model.graphs}
    for graph in model.graphs:
        for node in graph.nodes:
            kind = lookups if node.operator == "Gather" else found
            for use in _USES.get(node.operator, ()):
                if use.input < len(node.inputs):
                    used = (graph, node.inputs[use.input], use.axis(node))
                    for name, axis in _weights(used, makers):
                        kind.setdefault(name, axis)
    ranks = {name: len(tensor.spec.shape) for name, tensor in model.tensors.items()}
    return {name: _settled(axis, ranks[name]) for name, axis in (lookups | found).items()}


def _weights(
    used: tuple[Graph, str, int], makers: dict[int, dict[str, Node]]
) -> Iterator[tuple[str, int]]:
    """Yield the tensors of which a value is made, and what an axis of the value is there."""
    waiting: list[tuple[Graph | None, str, int]] = [used]
    seen: set[tuple[int, str]] = set()
    while waiting and len(seen) < _MOST_STEPS:
        graph, name, axis = waiting.pop()
        if graph is None or (id(graph), name) in seen:
            continue
        seen.add((id(graph), name))
        node = makers[id(graph)].get(name)
        if name in graph.names:
            yield graph.names[name], axis
        elif node is None:
            waiting.append((graph.outer, name, axis))  # an inner graph sees names of the outer one
        elif node.operator == "Transpose":
            order = node.integers.get("perm")
            if order is None or -len(order) <= axis < len(order):
                axis = -1 - axis if order is None else order[axis]
                waiting.append((graph, node.inputs[0], axis))
        elif node.operator in _SAME:
            inputs = node.inputs if node.operator == "Concat" else node.inputs[:1]
            waiting += [(graph, each, axis) for each in inputs]


def _makers(graph: Graph) -> dict[str, Node]:
    return {output: node for node in graph.nodes for output in node.outputs if node.inputs}


def _settled(axis: int, rank: int) -> int:
    """Return the axis counted from the front, of the last one -1."""
    if not -rank <= axis < rank:
        return -1  # no weight that the operator could take
    return -1 if axis in (-1, rank - 1) else axis % rank
