"""A tree and the function of it in one file."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from jaxcompress.artifact.coding import DEFAULT_LAYOUT
from jaxcompress.artifact.encoding import encoded_tree
from jaxcompress.artifact.reader import contents
from jaxcompress.artifact.source import Buffer
from jaxcompress.artifact.writer import Program, pieces, write
from jaxcompress.checks import check_concrete
from jaxcompress.execution import execute
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.programs._export import PLATFORMS, exported
from jaxcompress.programs._preprocessing import checked
from jaxcompress.programs._signature import ANY, Ends, inputs_of, outputs_of
from jaxcompress.programs._story import COMPRESSED, DENSE, RUNS, Story
from jaxcompress.trees import PyTree, named_leaves

_MOST = 1 << 40
_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


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
    layout: str = DEFAULT_LAYOUT,
    metadata: Mapping[str, Any] | None = None,
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
        preprocessing: from a picture to the first input, a dict of `size` (height and width),
            `colour` ("rgb" or "grey"), `scale` (a factor), `mean` and `std` (numbers, or one a
            channel) and `layout` ("nhwc" or "nchw"), in that order.
        runs: "dense" decodes all weights when the file is opened; "compressed" keeps the leaves,
            and runs on them as `execute` does.
        any_batch: whether the first axis of all inputs may have any length.
        platforms: of "cpu", "cuda", "rocm", "tpu".
        gradients: whether the function may be differentiated once.
        layout: as for `save`.
        metadata: as for `save`.

    Returns:
        Size of the file in bytes.

    Raises:
        TypeError: as for `save`, or an input that is no array.
        ValueError: as for `save`; a function that cannot be exported, or that holds arrays which
            belong in the tree; other names or classes than arrays.

    Example:
        >>> import tempfile
        >>> from jaxcompress.programs import open_function
        >>> tree, x = {"kernel": np.eye(2, dtype=np.float32)}, np.ones((1, 2), np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = ship(f"{folder}/net.npz", lambda tree, x: x @ tree["kernel"], tree, x)
        ...     net = open_function(f"{folder}/net.npz")
        >>> net.inputs[0].shape, net(np.full((3, 2), 2.0, "f")).shape
        (('batch', 2), (3, 2))
    """
    check_concrete("ship", tree)
    if runs not in RUNS:
        raise ValueError(f"runs: must be {' or '.join(RUNS)}, got {runs!r}; pass one of them.")
    for each in platforms:
        if each not in _PLATFORMS:
            raise ValueError(
                f"platforms: must be of {', '.join(_PLATFORMS)}, got {each!r}; leave it out."
            )
    if not inputs:
        raise ValueError("inputs: must be those of one call, got none; pass an example.")
    steps = None if preprocessing is None else checked(preprocessing)
    ends = inputs_of(apply, inputs, any_batch=any_batch)
    parts, structure = encoded_tree(tree, layout)
    run, named = apply, named_leaves(tree, is_leaf=is_compressed)
    if runs == COMPRESSED:
        run, parts = execute(apply), list(parts)
        # A reader may choose other dtypes of codes: the leaves are those that it makes.
        read = contents(Buffer(b"".join(pieces(parts, structure))), _MOST)
        weights, form = jax.tree.flatten([tensor.leaf for tensor in read.tensors])
    else:
        weights, form = jax.tree.flatten([_dense(leaf) for leaf in named.leaves])

    def rebuilt(weights: list[Any]) -> PyTree:
        return named.rebuild(jax.tree.unflatten(form, weights))

    def flat(weights: list[Any], inputs: list[Any]) -> list[Any]:
        return jax.tree.leaves(run(rebuilt(weights), *ends.filled(inputs)))

    shapes = [jax.ShapeDtypeStruct(np.shape(each), each.dtype) for each in weights]
    arrays = _specs(ends)
    program = exported(flat, (shapes, arrays), platforms=platforms)
    result = jax.eval_shape(run, rebuilt(shapes), *ends.filled(arrays))
    told = Story(
        inputs=ends,
        outputs=outputs_of(outputs, result),
        runs=runs,
        classes=_classes(classes, result),
        preprocessing=steps,
        jax=jax.__version__,
        convention=program.calling_convention_version,
        platforms=list(program.platforms),
    )
    data = bytes(program.serialize(vjp_order=int(gradients)))
    return write(path, parts, structure, metadata=metadata, program=Program(data, told.told()))


def _dense(leaf: Any) -> Any:
    found = dense([leaf])[0]
    return found if hasattr(found, "dtype") else np.asarray(found)


def _specs(ends: Ends) -> list[Any]:
    """Return shapes and dtypes, with one symbol for all numbers of rows."""
    scope = export.SymbolicScope()
    (rows,) = export.symbolic_shape(ANY, scope=scope)
    return [
        jax.ShapeDtypeStruct(tuple(rows if n == ANY else n for n in each.shape), each.dtype)
        for each in ends.arrays
    ]


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
