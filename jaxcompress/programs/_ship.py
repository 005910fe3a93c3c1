"""A tree and the function of it in one file."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from jaxcompress.artifact.coding import DEFAULT_LAYOUT
from jaxcompress.artifact.encoding import encoded_tree
from jaxcompress.artifact.manifest import checked_metadata
from jaxcompress.artifact.reader import contents
from jaxcompress.artifact.source import Buffer
from jaxcompress.artifact.writer import Program, pieces, write
from jaxcompress.checks import check_concrete
from jaxcompress.programs._export import PLATFORMS
from jaxcompress.programs._made import MOST_BYTES, Call, as_graph, as_stablehlo
from jaxcompress.programs._preprocessing import checked
from jaxcompress.programs._signature import inputs_of, outputs_of
from jaxcompress.programs._story import DENSE, RUNS
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.trees import PyTree

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_USUAL = {"runs": DENSE, "platforms": PLATFORMS, "gradients": False}
JAX_RUNTIME, ONNX_RUNTIME = "jax", "onnx"


def ship(
    path: str | os.PathLike[str],
    apply: Callable[..., PyTree],
    tree: PyTree,
    *inputs: PyTree,
    outputs: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    runs: str = DENSE,
    any_batch: bool = True,
    platforms: Sequence[str] = PLATFORMS,
    gradients: bool = False,
    runtime: str = JAX_RUNTIME,
    int8: Ranges | None = None,
    layout: str = DEFAULT_LAYOUT,
    metadata: Mapping[str, Any] | None = None,
    made: Mapping[str, Any] | None = None,
) -> int:
    """Write a tree and the function of it to one file, which `open_function` runs anywhere.

    The file is that of `save` and one member more: the function as StableHLO, written by
    `jax.export` on the tree that is stored. `load` and `inspect` do not execute it. Opening it is
    running a program: only open programs from people whom you trust.

    Args:
        path: file to write.
        apply: `apply(tree, *inputs)`, as for inference.
        tree: with or without compressed leaves; statistics of norms belong in it.
        *inputs: of one example call, arrays or trees of arrays.
        outputs: names of the arrays that come out.
        classes: what the entries of the last axis of the first output mean.
        preprocessing: from a picture to the first input, a dict of `size` (height and width), `fit`
            ("stretch", or "pad" with white in proportion), `colour` ("rgb" or "grey"), `scale` (a
            factor), `mean` and `std` (numbers, or one a channel) and `layout` ("nhwc" or "nchw"),
            in that order.
        runs: "dense" decodes all weights when the file is opened; "compressed" keeps the leaves,
            and runs on them as `execute` does.
        any_batch: whether the first axis of all inputs may have any length.
        platforms: of "cpu", "cuda", "rocm", "tpu".
        gradients: whether the function may be differentiated once.
        runtime: what runs it: "jax", or "onnx": a graph for ONNX Runtime (extra `onnx`) on the CPU,
            whose weights are those of the tree, packed as all others, in place of StableHLO.
        int8: with "onnx", ranges from `calibrate`: products are in integers. Those of `Quantized`
            leaves that are symmetric with one scale a channel are kept, and take no bytes more.
        layout: as for `save`.
        metadata: as for `save`.
        made: how the tree was made, as JSON: `as_dict()` of a `planner.Result` or of a
            `planner.Plan`, or notes of your own. `jaxcompress inspect` shows it.

    Returns:
        Size of the file in bytes.

    Raises:
        TypeError: as for `save`, or an input that is no array.
        ValueError: as for `save`; a function that cannot be exported, or that holds arrays which
            belong in the tree; other names or classes than arrays; options of another runtime;
            `made` that is not JSON.
        MissingLibraryError: `runtime="onnx"` without the extra `onnx`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from jaxcompress.programs import open_function
        >>> tree, x = {"kernel": np.eye(2, dtype=np.float32)}, np.ones((1, 2), np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = ship(f"{folder}/net.npz", lambda tree, x: x @ tree["kernel"], tree, x)
        ...     net = open_function(f"{folder}/net.npz")
        >>> net.inputs[0].shape, net(np.full((3, 2), 2.0, "f")).shape
        (('batch', 2), (3, 2))
    """
    check_concrete("ship", tree)
    _check_choice("runs", runs, RUNS)
    _check_choice("runtime", runtime, (JAX_RUNTIME, ONNX_RUNTIME))
    for each in platforms:
        _check_choice("platforms", each, _PLATFORMS)
    if not inputs:
        raise ValueError("inputs: must be those of one call, got none; pass an example.")
    if runtime == ONNX_RUNTIME:
        _check_for_onnx(runs=runs, platforms=tuple(platforms), gradients=gradients)
    elif int8 is not None:
        raise ValueError('int8: must be for runtime="onnx", got ranges; quantize the tree instead.')
    steps = None if preprocessing is None else checked(preprocessing)
    how = None if made is None else checked_metadata(made, name="made")
    call = Call(apply, tree, inputs, inputs_of(apply, inputs, any_batch=any_batch))
    parts, structure = encoded_tree(tree, layout)
    if runtime == JAX_RUNTIME and runs == DENSE:
        program = as_stablehlo(call, None, platforms=platforms, gradients=gradients)
    else:
        # A reader may choose other dtypes of codes: the leaves are those that it makes.
        parts = list(parts)
        read = contents(Buffer(b"".join(pieces(parts, structure))), MOST_BYTES)
        leaves = [tensor.leaf for tensor in read.tensors]
        if runtime == ONNX_RUNTIME:
            program = as_graph(call, leaves, int8)
        else:
            program = as_stablehlo(call, leaves, platforms=platforms, gradients=gradients)
    story = program.story._replace(
        outputs=outputs_of(outputs, program.result),
        classes=_classes(classes, program.result),
        preprocessing=steps,
        made=how,
    )
    told = Program(program.data, story.told())
    return write(path, parts, structure, metadata=metadata, program=told)


def _check_choice(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise ValueError(f"{name}: must be {' or '.join(known)}, got {given!r}; pass one of them.")


def _check_for_onnx(**options: Any) -> None:
    """Refuse what ONNX Runtime has no use for."""
    for name, given in options.items():
        if given != _USUAL[name]:
            raise ValueError(
                f'{name}: must be left out with runtime="onnx", which runs dense on the CPU, got '
                f'{given!r}; use runtime="jax".'
            )


def _classes(classes: Sequence[str] | None, result: PyTree) -> list[str] | None:
    if classes is None:
        return None
    first = jax.tree.leaves(result)[0]
    if not first.shape or first.shape[-1] != len(classes):
        raise ValueError(
            f"classes: must be as many as the last axis of the first output, {first.shape[-1:]}, "
            f"got {len(classes)}; name each."
        )
    return [str(each) for each in classes]
