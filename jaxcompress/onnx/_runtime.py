"""Running ONNX files."""

import contextlib
import os
import platform
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Any

import jax
import numpy as np

from jaxcompress.onnx._libraries import library
from jaxcompress.onnx.sessions import session
from jaxcompress.trees import PyTree

INTEGER_KERNELS = (
    "QLinearConv",
    "QGemm",
    "MatMulIntegerToFloat",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
)
"""Names of integer products in graphs that ONNX Runtime has optimized."""

_FLAGS = Path("/proc/cpuinfo")

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""Types of ONNX that JAX has, and to which wider arrays of numpy are narrowed."""


def onnx_function(path: str | os.PathLike[str], *, threads: int | None = None) -> Callable:
    """Return an ONNX file as a function of numpy arrays, run by ONNX Runtime on the CPU.

    Args:
        path: of the file.
        threads: the most that a call may use; None for all cores.

    Returns:
        `function(*inputs)`, with the inputs of `export_onnx` (any pytrees) in the same order; their
        first size may differ if it is free in the file. It returns an array, or a list of arrays if
        the file has several outputs.

    Raises:
        MissingLibraryError: the extra `onnx` is not installed.
        FileNotFoundError: there is no such file.

    Example:
        >>> from jaxcompress.onnx import export_onnx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "net.onnx"
        ...     params, x = {"kernel": np.eye(2, dtype="f")}, np.array([[1, 2]], "f")
        ...     written = export_onnx(path, lambda p, x: x @ p["kernel"], params, x)
        ...     onnx_function(path)(x).tolist()
        [[1.0, 2.0]]
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: must be an ONNX file, but there is none.")
    started = start(path.read_bytes(), threads=threads)
    several = len(started.get_outputs()) > 1

    def function(*inputs: PyTree) -> Any:
        results = compute(started, inputs)
        return results if several else results[0]

    return function


def start(model: bytes, *, threads: int | None = None, optimized: Path | None = None) -> Any:
    """Return a session of ONNX Runtime.

    Args:
        model: a serialized model.
        threads: the most that it may use.
        optimized: where to write the optimized graph.

    Raises:
        ValueError: ONNX Runtime does not accept the model.
    """
    runtime = library("onnxruntime")
    try:
        return session(runtime, model, threads=threads, optimized=optimized)
    except Exception as error:  # its errors have no common class
        raise _refused(error) from error


def _refused(error: Exception) -> ValueError:
    """Return the message of ONNX Runtime as an error that names the node."""
    said = " ".join(str(error).split())
    lacks = "NOT_IMPLEMENTED" in said or "Type Error" in said
    node = _NODE.search(said)
    remedy = (
        "it has no kernel for these dtypes: compute in float32"
        if lacks
        else "jax2onnx wrote what it does not take: write that part with other primitives, or "
        "report it to jax2onnx"
    )
    at = "" if node is None else f" at node {node[1] or node[2]}"
    return ValueError(
        f"apply: must be what ONNX Runtime can run, got {type(error).__name__}{at} "
        f"({shorten(_CODE.sub('', said), 160)}); {remedy}."
    )


_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")

_NODE = re.compile(r"[Nn]ode (?:with name |\w+\. Name:)?'(\w+)'|[Nn]ode,? \(\"?(\w+)")
"""The name of a node in a message, such as `node_Einsum_1`."""


def compute(started: Any, inputs: PyTree) -> list[np.ndarray]:
    """Return the results of a session on inputs.

    Raises:
        ValueError: inputs of another number or shape; ONNX Runtime fails.
    """
    wanted, leaves = started.get_inputs(), jax.tree.leaves(inputs)
    if len(wanted) != len(leaves):
        names = ", ".join(value.name for value in wanted)
        raise ValueError(
            f"inputs: must be {len(wanted)} arrays ({names}), got {len(leaves)}; pass those that "
            "the file was exported with."
        )
    arrays = {
        value.name: np.asarray(leaf, _DTYPES.get(value.type))
        for value, leaf in zip(wanted, leaves, strict=True)
    }
    for value in wanted:
        got, sizes = arrays[value.name].shape, value.shape
        fixed = [size if isinstance(size, int) else None for size in sizes]
        if len(got) != len(fixed) or any(
            size not in (None, mine) for size, mine in zip(fixed, got, strict=True)
        ):
            raise ValueError(
                f"{value.name}: must have shape ({', '.join(map(str, sizes))}), got {got}; pass "
                "what the file was exported with."
            )
    try:
        return started.run(None, arrays)
    except Exception as error:  # its errors have no common class
        raise _refused(error) from error


def integer_kernels(model: bytes) -> dict[str, int]:
    """Return how many products of a model ONNX Runtime runs in integers, by kind."""
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        start(model, threads=1, optimized=optimized)
        graph = library("onnx").load_model_from_string(optimized.read_bytes()).graph
    found = Counter(node.op_type for node in graph.node)
    return {kind: found[kind] for kind in INTEGER_KERNELS if found[kind]}


def has_integer_dot_product() -> bool:
    """Return whether products of 8-bit integers are summed without clipping on this CPU.

    Without such an instruction (VNNI) x86 adds pairs of products in 16 bits, which overflows with
    weights of 8 bits.

    Example:
        >>> has_integer_dot_product() in (True, False)
        True
    """
    if platform.machine().lower().startswith(("arm", "aarch")):
        return True
    with contextlib.suppress(OSError):
        return not {"avx512_vnni", "avx_vnni"}.isdisjoint(_FLAGS.read_text().split())
    return False
