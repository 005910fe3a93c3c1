"""GGUF's formats of blocks: written by ggml's own quantizers, read by the package `gguf`.

The quantizers of `gguf` write Q4_0, Q8_0 and the like; of the K and IQ formats the package has the
readers only. Their quantizers, with the search that an importance matrix weighs, are in C: the
library `ggml-base`, whose function `ggml_quantize_chunk` llama.cpp calls. Its source is in the
source distribution of the PyPI package llama-cpp-python.
"""

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.scopes import named_leaves
from jaxcompress.typing import Moments, PyTree

Kinds = Callable[[str], str]
"""From the path of a matrix to the name of its format."""


class Matrix(NamedTuple):
    """A kernel or table as GGUF has it.

    Attributes:
        rows: `[outputs, inputs]`, or `[tokens, width]`.
        importance: `[inputs]`, the mean square of each input; None of tables.
    """

    rows: np.ndarray
    importance: np.ndarray | None


def matrices(params: PyTree, moments: Moments) -> dict[str, Matrix]:
    """Return kernels and tables by path."""
    named = named_leaves(params)
    found = {}
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        array = np.asarray(leaf, np.float32)
        if path.endswith("embedding"):
            found[path] = Matrix(array, None)
        elif path.endswith("kernel"):
            (layer,) = moments.layers[path]
            inputs = layer.gram.shape[-1]
            order = layer.entries[0, :, 0] * inputs // array.size
            importance = np.empty(inputs, np.float32)
            importance[order] = np.diagonal(layer.gram[0])
            rows = np.ascontiguousarray(array.reshape(inputs, -1).T)
            found[path] = Matrix(rows, importance / importance.mean())
    return found


def as_leaf(rows: np.ndarray, like: Any) -> np.ndarray:
    """Return the rows of a kernel in its own order and shape."""
    return np.ascontiguousarray(rows.T).reshape(like.shape)


Quantize = Callable[[Matrix, str], np.ndarray]
"""From a matrix and a format to `[rows, bytes]` uint8, as in a file."""


def by_gguf(matrix: Matrix, kind: str) -> np.ndarray:
    """Quantize by the package `gguf`, which has Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0."""
    import gguf

    return gguf.quants.quantize(matrix.rows, gguf.GGMLQuantizationType[kind])


def by_library(path: Path) -> Quantize:
    """Return the quantizers of ggml, of all formats.

    Args:
        path: of the shared library, `libggml-base.so`.
    """
    function = ctypes.CDLL(str(path.resolve())).ggml_quantize_chunk
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.restype = ctypes.c_size_t
    function.argtypes = [ctypes.c_int, pointer, pointer, *[number] * 3, pointer]

    def quantize(matrix: Matrix, kind: str) -> np.ndarray:
        count, inputs = matrix.rows.shape
        found = np.zeros((count, row_bytes(inputs, kind)), np.uint8)
        at = None if matrix.importance is None else matrix.importance.ctypes.data
        places = matrix.rows.ctypes.data, found.ctypes.data
        written = function(_number(kind), *places, 0, count, inputs, at)
        if written != found.size:
            raise ValueError(f"{kind}: must be {found.size} bytes, got {written}.")
        return found

    return quantize


def row_bytes(inputs: int, kind: str) -> int:
    """Return the bytes of a row.

    Raises:
        ValueError: a row that is no number of whole blocks.

    Example:
        >>> row_bytes(512, "Q4_K")
        288
    """
    import gguf

    weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    if inputs % weights:
        raise ValueError(
            f"rows: must be multiples of {weights} for {kind}, got {inputs}; take another width."
        )
    return inputs // weights * size


def dequantized(blocks: np.ndarray, kind: str) -> np.ndarray:
    """Return the numbers of blocks, by the readers of `gguf`."""
    import gguf

    return gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[kind])


def _number(kind: str) -> int:
    import gguf

    return int(gguf.GGMLQuantizationType[kind])


def save(
    path: Path, params: PyTree, given: Mapping[str, Matrix], quantize: Quantize, kinds: Kinds
) -> None:
    """Write a GGUF file: kernels and tables in blocks, other leaves as float32."""
    import gguf

    writer = gguf.GGUFWriter(path, "gpt")
    named = named_leaves(params)
    for name, leaf in zip(named.paths, named.leaves, strict=True):
        if name in given:
            kind = kinds(name)
            blocks = quantize(given[name], kind)
            writer.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType[kind])
        else:
            writer.add_tensor(name, np.asarray(leaf, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load(path: Path, like: PyTree) -> PyTree:
    """Return the parameters of a file, dense."""
    import gguf

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    named = named_leaves(like)

    def leaf(name: str, old: Any) -> np.ndarray:
        tensor = tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return as_leaf(values, old) if name.endswith("kernel") else values.reshape(old.shape)

    pairs = zip(named.paths, named.leaves, strict=True)
    return named.rebuild([leaf(name, old) for name, old in pairs])
