"""Functions of JAX as ONNX files that were compared with them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.artifact.atomic import write_atomically
from jaxcompress.compiled import jit_for_inference
from jaxcompress.export.integers import ACTIVATIONS, Floats, Integers
from jaxcompress.export.model import Traced, traced, write_model
from jaxcompress.export.results import result_steps
from jaxcompress.export.runtime import compute, has_integer_dot_product, integer_kernels, start
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.quantization.ranges import Estimator, min_max
from jaxcompress.quantization.simulation import fake_quantized
from jaxcompress.trees import PyTree, named_leaves

FLOAT_TOLERANCE = 1e-3
INTEGER_TOLERANCE = 0.05


class OnnxFile(NamedTuple):
    """What `export_onnx` wrote.

    Attributes:
        path: of the file.
        size_bytes: of the file.
        any_batch: whether the first size of inputs may be any; else it is that of the export.
        weight_bits: of the integers of weights that were not integers before; None of floats.
        quantized: names of the products that compute with integers.
        left_float: of the products that do not, the reason by name.
        integer_kernels: how many of each kind ONNX Runtime runs on this machine.
        difference: largest relative difference from the function that was exported, of floats.
        difference_simulated: the same from the simulation; None of floats.
    """

    path: Path
    size_bytes: int
    any_batch: bool
    weight_bits: int | None
    quantized: tuple[str, ...]
    left_float: Mapping[str, str]
    integer_kernels: Mapping[str, int]
    difference: float
    difference_simulated: float | None


def export_onnx(
    apply: Callable[..., PyTree],
    params: PyTree,
    *inputs: PyTree,
    path: str | os.PathLike[str],
    int8: Ranges | None = None,
    weight_bits: int | None = None,
    estimate: Estimator = min_max,
) -> OnnxFile:
    """Write a function as an ONNX file, after comparing what it computes with JAX."""
    leaves = named_leaves(params, is_leaf=is_compressed).leaves
    arrays = dense(params)
    function, any_batch = _traced(apply, arrays, inputs)
    if int8 is None:
        writer, bits = Floats(), None
    else:
        bits = weight_bits or (8 if has_integer_dot_product() else 7)
        results = result_steps(apply, arrays, inputs, like=function.program, grid=ACTIVATIONS)
        writer = Integers(int8.steps(ACTIVATIONS, estimate), bits, leaves, results)
    model = write_model(function, writer)
    session = start(model)
    difference = _compare(session, "apply", jit_for_inference(apply), arrays, inputs, 0.5 if int8 else FLOAT_TOLERANCE)
    simulated = None
    if int8 is not None:
        known = Ranges({name: int8[name] for name in int8 if _is_in(name, writer.quantized)}, {})
        sim = fake_quantized(apply, known, 8, weight_bits=bits, estimate=estimate)
        simulated = _compare(session, "the simulation", jax.jit(sim), params, inputs, INTEGER_TOLERANCE)
    write_atomically(Path(path), model)
    return OnnxFile(
        Path(path), len(model), any_batch, bits,
        tuple(getattr(writer, "quantized", ())), getattr(writer, "left_float", {}),
        integer_kernels(model), difference, simulated,
    )


def _is_in(name, quantized):
    return name in quantized or name.rpartition(":")[0] in quantized


def _traced(apply, params, inputs) -> tuple[Traced, bool]:
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(inputs)}
    if len(sizes) == 1 and sizes != {()}:
        try:
            return traced(apply, params, inputs, any_batch=True), True
        except ValueError:
            pass
    return traced(apply, params, inputs, any_batch=False), False


def _compare(session, what, function, params, inputs, tolerance) -> float:
    expected = jax.tree.leaves(function(params, *inputs))
    got = compute(session, inputs)
    worst = 0.0
    for number, (a, b) in enumerate(zip(got, expected, strict=True)):
        b = np.asarray(b, np.float64)
        worst = max(worst, float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)))
    if not worst <= tolerance:
        raise ValueError(f"output: must be that of {what} got {worst}")
    return worst
