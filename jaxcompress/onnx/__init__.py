"""ONNX: functions written as files and run by ONNX Runtime; needs the extra `onnx`.

From the bottom up: `_libraries` (imported when they are needed), `_node` (a primitive for a node),
`_pooling`, `_rules` and `_bodies` (equations rewritten with other primitives), `_linear` and
`_integers` (products), `_lowering` (a program run again, traced by jax2onnx), `_precision`,
`_supported` and `_comparison` (checks), `_results`, `_model`, `sessions`, `_runtime`, `_file`.

    export_onnx              write a function as an ONNX file, in floats or integers, and check it
    has_integer_dot_product  whether this CPU sums products of 8-bit integers without clipping
    onnx_function            an ONNX file as a function of numpy arrays
    OnnxFile                 the result of `export_onnx`
"""

from jaxcompress.onnx._file import OnnxFile, export_onnx
from jaxcompress.onnx._runtime import has_integer_dot_product, onnx_function

__all__ = ["OnnxFile", "export_onnx", "has_integer_dot_product", "onnx_function"]
