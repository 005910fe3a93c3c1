"""Functions of JAX as ONNX files, compared with JAX before they are written."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcompress.artifact.atomic import write_atomically
from jaxcompress.checks import check_concrete, check_known
from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense, is_compressed, uncoded
from jaxcompress.onnx._comparison import Results, check_close, largest_difference, results_of
from jaxcompress.onnx._integers import ACTIVATIONS, Floats, Integers
from jaxcompress.onnx._libraries import library
from jaxcompress.onnx._model import Traced, check_exportable, traced, write_model
from jaxcompress.onnx._precision import narrow, native
from jaxcompress.onnx._results import result_qparams
from jaxcompress.onnx._runtime import compute, has_integer_dot_product, integer_kernels, start
from jaxcompress.onnx._supported import check_no_keys
from jaxcompress.products.unknown import left_out
from jaxcompress.quantization import fake_quantized
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.quantization.grids import QParams
from jaxcompress.quantization.ranges import Estimator, min_max
from jaxcompress.trees import PyTree, named_leaves

FLOATS_MAY_DIFFER = 1e-4
INTEGERS_MAY_DIFFER = 0.1


class OnnxFile(NamedTuple):
    """The file that `export_onnx` wrote, and how far it is from JAX.

    Differences are `|onnx - jax| / |jax|`, the largest of all outputs.

    Attributes:
        path: of the file.
        size_bytes: of the file.
        any_batch: whether the first size of the inputs may be any; else it is the exported one.
        difference: from the function.
        quantized: names of the products in integers.
        left_float: the reason for each other product, by name, of a file in integers.
        weight_bits: of weights; None for a file in floats.
        integer_kernels: number of integer products that ONNX Runtime runs on this machine, by kind.
        difference_simulated: from the simulation; None for a file in floats.
    """

    path: Path
    size_bytes: int
    any_batch: bool
    difference: float
    quantized: tuple[str, ...] = ()
    left_float: Mapping[str, str] = {}
    weight_bits: int | None = None
    integer_kernels: Mapping[str, int] = {}
    difference_simulated: float | None = None


def export_onnx(
    path: str | os.PathLike[str],
    apply: Callable[..., PyTree],
    params: PyTree,
    *inputs: PyTree,
    int8: Ranges | None = None,
    weight_bits: int | None = None,
    estimate: Estimator = min_max,
) -> OnnxFile:
    """Write a function as an ONNX file, in floats or in integers, run it and check it.

    The parameters become constants of the file. The results of ONNX Runtime on `inputs` are
    compared with JAX, and in integers also with `fake_quantized` of the same ranges; a file that
    differs is not written. The first size of the inputs is free if the function allows it.

    The file has numbers of 32 bits at most: float64 and int64 of parameters, inputs and results
    become float32 and int32.

    In integers, the inputs of products are rounded, as in the simulation. Nothing else is rounded,
    with one exception: a convolution runs in integers only if its result is rounded too. Where that
    result is not only the input of products (it is added to something, say), it is rounded to the
    range that it has on `inputs`.

    Args:
        path: of the file.
        apply: `apply(params, *inputs)`, in inference mode.
        params: any pytree of arrays; the function must compute in float32, integers and booleans.
            Compressed leaves are made dense. A file in integers keeps the integers of `Quantized`
            leaves that are symmetric with one scale for each channel; those of 8 bits are written
            as uint8 if `weight_bits` is 7.
        *inputs: of the function, any pytrees of arrays: a few dozen samples of the training data.
        int8: ranges from `calibrate`, for a file in integers; products without a range remain in
            floats. None for a file in floats.
        weight_bits: of weights, 7 or 8; None for 8 where this CPU sums products of 8-bit integers
            without clipping (VNNI), else 7. Pass 7 for a file that must run anywhere: one of 8 bits
            is run exactly here, and clipped by other sessions on x86 without VNNI.
        estimate: chooses the range that a grid of activations covers, as for `fake_quantized`.

    Returns:
        The file, and how far it is from JAX. `onnx_function` runs it.

    Raises:
        MismatchError: a result that differs from JAX, named.
        ValueError: a function that jax2onnx or ONNX Runtime does not support, naming the
            primitives; numbers beyond 32 bits; ranges of another function, other bits, results that
            are not finite.
        TypeError: `int8` is not what `calibrate` returns; keys of random numbers among `params`;
            called under `jit`.
        MissingLibraryError: the extra `onnx` is not installed.

    Example:
        >>> import tempfile
        >>> from jaxcompress.onnx import onnx_function
        >>> from jaxcompress.quantization import calibrate
        >>> apply = lambda params, x: jax.nn.relu(x @ params["in"]) @ params["out"]
        >>> params = {"in": jnp.eye(2), "out": jnp.ones((2, 1))}
        >>> x = jnp.array([[1.0, -1.0], [0.5, 2.0]])
        >>> ranges = calibrate(apply, params, [x])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "net.onnx"
        ...     written = export_onnx(path, apply, params, x, int8=ranges)
        ...     written.quantized, onnx_function(path)(x).round(1).tolist()
        (('in', 'out'), [[1.0], [2.5]])

    Source: Jacob et al. 2018, arXiv:1712.05877.
    """
    if weight_bits not in (None, 7, 8):
        raise ValueError(
            f"weight_bits: must be 7, or 8 where the CPU has VNNI, got {weight_bits!r}; pass "
            "Quantized leaves for fewer."
        )
    if int8 is not None and not isinstance(int8, Ranges):
        raise TypeError(f"int8: must be what calibrate returns, got {type(int8).__name__}.")
    check_concrete("export_onnx", (params, inputs))
    for name in ("onnx", "onnxruntime", "jax2onnx"):
        library(name)
    check_no_keys(params, "params")
    for number, part in enumerate(inputs):
        check_no_keys(part, f"inputs[{number}]")
    job = _Job(apply, params, jax.tree.map(jnp.asarray, inputs))
    check_exportable(job.traced(any_batch=False), Floats())
    expected = job.expected(job.inputs)
    function, model, apart = _in_floats(job, expected)
    if int8 is None:
        write_atomically(Path(path), model)
        return OnnxFile(Path(path), len(model), function.any_batch, apart)
    bits = weight_bits or (8 if has_integer_dot_product() else 7)
    model, reasons = _in_integers(job, function, int8.qparams(ACTIVATIONS, estimate), bits)
    integers = [product for product in function.products if not reasons[product.name]]
    known = {name: int8[name] for product in integers for name in product.entering}
    simulate = fake_quantized(apply, Ranges(known, {}), weight_bits=bits, estimate=estimate)
    simulated = results_of(jit_for_inference(simulate)(params, *job.inputs))
    got = compute(start(model), job.inputs)
    # Where the simulation itself is far from the function, small differences grow large.
    allowed = max(INTEGERS_MAY_DIFFER, largest_difference(simulated.values(), expected))
    apart_simulated = check_close(got, simulated, "the simulation", allowed)
    write_atomically(Path(path), model)
    return OnnxFile(
        Path(path),
        len(model),
        function.any_batch,
        largest_difference(got, expected),
        quantized=tuple(product.name for product in integers),
        left_float={name: reason for name, reason in reasons.items() if reason},
        weight_bits=bits,
        integer_kernels=integer_kernels(model),
        difference_simulated=apart_simulated,
    )


class _Job(NamedTuple):
    apply: Callable[..., PyTree]
    params: PyTree
    inputs: tuple[PyTree, ...]

    def expected(self, inputs: tuple[PyTree, ...]) -> Results:
        """Return the results of the function."""
        return results_of(jit_for_inference(self.apply)(native(dense(self.params)), *inputs))

    def traced(self, *, any_batch: bool) -> Traced:
        """Return the function to export."""
        return traced(self.apply, self.narrow_params, self.narrow_inputs, any_batch=any_batch)

    @property
    def narrow_params(self) -> PyTree:
        """Dense parameters as in the file."""
        return narrow(native(dense(self.params)), "params")

    @property
    def narrow_inputs(self) -> tuple[PyTree, ...]:
        """Inputs as in the file."""
        return tuple(narrow(part, f"inputs[{number}]") for number, part in enumerate(self.inputs))


def _in_floats(job: _Job, expected: Results) -> tuple[Traced, bytes, float]:
    """Return the function to export, its model, and the difference of both."""
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(job.inputs)}
    if len(sizes) == 1 and () not in sizes:
        with contextlib.suppress(Exception):  # whatever code raises that needs this size
            function = job.traced(any_batch=True)
            model = write_model(function, Floats())
            session = start(model)
            others = jax.tree.map(_other_batch, job.inputs)
            for inputs, results in ((others, job.expected(others)), (job.inputs, expected)):
                apart = check_close(compute(session, inputs), results, "JAX", FLOATS_MAY_DIFFER)
            return function, model, apart
    function = job.traced(any_batch=False)
    model = write_model(function, Floats())
    got = compute(start(model), job.inputs)
    return function, model, check_close(got, expected, "JAX", FLOATS_MAY_DIFFER)


def _other_batch(leaf: jax.Array) -> jax.Array:
    return leaf[:1] if len(leaf) > 1 else jnp.concatenate([leaf, leaf])


def _in_integers(
    job: _Job, function: Traced, qparams: Mapping[str, QParams], bits: int
) -> tuple[bytes, dict[str, str]]:
    """Return a model, and by product the reason why it is in floats, empty if it is not."""
    names = {name for product in function.products for name in product.entering}
    check_known(sorted(qparams), names, "int8 must be ranges of this function", "calibrate it")
    leaves = named_leaves(uncoded(job.params), is_leaf=is_compressed).leaves
    results = result_qparams(
        job.apply, job.narrow_params, job.narrow_inputs, like=function.program, grid=ACTIVATIONS
    )
    writer = Integers(qparams, bits, leaves, results)
    model = write_model(function, writer)
    inside = "it lies in a loop or a branch"
    why = {p.name: writer.reasons.get(p.name, inside) for p in function.products}
    return model, why | left_out(function.unknown, why.__contains__)
