"""Functions of JAX as ONNX files, compared with them before they are written."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxcompress.artifact.atomic import write_atomically
from jaxcompress.export.comparison import check_close, difference, results_of
from jaxcompress.export.integers import ACTIVATIONS, Floats, Integers
from jaxcompress.export.model import Model, convert
from jaxcompress.export.results import result_steps
from jaxcompress.export.runtime import compute, has_integer_dot_product, integer_kernels
from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.quantization.ranges import Estimator, min_max
from jaxcompress.quantization.simulation import fake_quantized
from jaxcompress.trees import PyTree, named_leaves

_FLOATS_MAY_DIFFER = 1e-4
_INTEGERS_MAY_DIFFER = 0.1


class OnnxFile(NamedTuple):
    """What `export_onnx` wrote.

    Attributes:
        path: of the file.
        size_bytes: of the file.
        any_batch: whether the first size of the inputs may be any; else it is that of the export.
        quantized: names of the products of integers.
        left_float: names of the other products and why, if integers were asked for.
        weight_bits: of weights; None if there are no integers.
        integer_kernels: how many products of integers ONNX Runtime runs on this machine, by kind.
        difference: from the function, `|onnx - jax| / |jax|` of the output that differs most.
        difference_simulated: the same from the simulation; None if there are no integers.
    """

    path: Path
    size_bytes: int
    any_batch: bool
    quantized: tuple[str, ...]
    left_float: Mapping[str, str]
    weight_bits: int | None
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
    """Write a function as an ONNX file, in floats or in integers that run, and check it.

    The parameters become constants of the file. What ONNX Runtime computes on `inputs` is compared
    with JAX, in integers with `fake_quantized` of the same ranges too; a file that differs is not
    written. The first size of the inputs is free in the file if the function allows it.

    In integers activations are rounded where they enter a product, as in the simulation, and
    nowhere else, but for one case: a convolution runs in integers only if its result is rounded
    too. Where that result goes elsewhere than into a product (it is added to something, say), it
    is rounded to the range that it has on `inputs`.

    Args:
        apply: `apply(params, *inputs)`, in inference mode.
        params: any pytree of float32 arrays. Compressed leaves are made dense; in integers, those
            of `Quantized` leaves that are symmetric with one scale a channel are in the file.
        *inputs: some samples, any pytrees of arrays. Take a few dozen of the training data.
        path: of the file.
        int8: what `calibrate` says enters the products; those that it does not name stay float.
            None for a file of floats.
        weight_bits: of weights, 7 or 8; None for 8 where the CPU at hand sums products of 8-bit
            integers without clipping (VNNI), else 7. Pass 7 for a file that shall run anywhere.
        estimate: the range that a grid of activations covers, as for `fake_quantized`.

    Returns:
        What was written, and how far it is from JAX. `onnx_function` runs it.

    Raises:
        MismatchError: a result that differs from JAX, named.
        ValueError: a function that jax2onnx or ONNX Runtime cannot take, ranges of another
            function, other bits, results that are not finite.
        MissingOnnxError: the extra `onnx` is not installed.

    Source: Jacob et al. 2018, arXiv:1712.05877.
    """
    if weight_bits not in (None, 7, 8):
        raise ValueError(
            f"weight_bits: must be 7, or 8 where the CPU has VNNI, got {weight_bits!r}; pass "
            "Quantized leaves for fewer."
        )
    arrays = dense(params)
    compiled = jit_for_inference(apply)
    expected = results_of(compiled, arrays, *inputs)
    model = convert(apply, arrays, inputs, Floats(), like=expected)
    apart = _check_floats(model, compiled, arrays, inputs, expected)
    quantized, left, simulated = (), {}, None
    if int8 is not None:
        bits = weight_bits or (8 if has_integer_dot_product() else 7)


    write_atomically(Path(path), model.data)
