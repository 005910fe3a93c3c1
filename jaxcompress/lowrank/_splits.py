"""Splits: which axes of a tensor are the rows of a matrix, and which are its columns."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxcompress.products.weights import weights_in_products, weights_in_unknown
from jaxcompress.trees import PyTree


class Axes(NamedTuple):
    """A tensor as a matrix; axes in neither field come first, and stack matrices.

    Attributes:
        rows: axes of the rows.
        columns: axes of the columns.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]


Split = Callable[[str, Any], Axes | str]
"""Decides by path and leaf which axes are rows and columns; a text is the reason for no split."""


def last_axis(path: str, leaf: Any) -> Axes:
    """Take the last axis (outputs) as columns, all before (space and input channels) as rows.

    Example:
        >>> import numpy as np
        >>> last_axis("kernel", np.zeros((3, 3, 16, 32)))
        Axes(rows=(0, 1, 2), columns=(3,))
    """
    del path
    last = len(leaf.shape) - 1
    return Axes(tuple(range(last)), (last,))


def across_space(path: str, leaf: Any) -> Axes:
    """Take height and inputs of a kernel HWIO as rows, width and outputs as columns.

    The convolution becomes one along the height, followed by one along the width. Tensors
    that do not have four axes are split at the last one.

    Example:
        >>> import numpy as np
        >>> across_space("kernel", np.zeros((3, 3, 16, 32)))
        Axes(rows=(0, 2), columns=(1, 3))

    Source: Jaderberg et al. 2014, arXiv:1405.3866.
    """
    return Axes((0, 2), (1, 3)) if len(leaf.shape) == 4 else last_axis(path, leaf)


def summed_axes(apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree) -> Split:
    """Return a split of each weight into the axes that its products sum over and the others.

    The order of the axes does not matter: it works for transposed kernels, the
    `[width, heads, size]` of attention, convolutions of any layout, and layers stacked for a scan,
    each of which is a matrix of its own. Weights in no product, such as tables of embeddings, are
    split at the last axis. Weights that a primitive takes that is not understood are kept dense.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays or compressed leaves.
        *inputs: of the function; only shapes and dtypes are used.

    Raises:
        ValueError: the function does not run on these arrays, or its shapes depend on their values.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"query": jnp.ones((6, 2, 3))}
        >>> apply = lambda params, x: jnp.einsum("bi,ihk->bhk", x, params["query"])
        >>> summed_axes(apply, params, jnp.ones((1, 6)))("query", params["query"])
        Axes(rows=(0,), columns=(1, 2))
    """
    found: dict[str, tuple[int, set[int]]] = {}
    unknown = weights_in_unknown(apply, params, *inputs)
    for path, weight in weights_in_products(apply, params, *inputs):
        if weight.channels is None or weight.moves is None:
            continue
        names = [move.name for move in weight.moves]
        loops = next((k for k, name in enumerate(names) if name != "scan"), len(names))
        stacked, channels = found.get(path, (loops, set(weight.channels)))
        found[path] = max(stacked, loops), channels & set(weight.channels)

    def split(path: str, leaf: Any) -> Axes | str:
        if path in unknown:
            return unknown[path]
        stacked, channels = found.get(path, (0, set()))
        axes = range(stacked, len(leaf.shape))
        rows = tuple(axis for axis in axes if axis not in channels)
        columns = tuple(axis for axis in axes if axis in channels)
        return Axes(rows, columns) if rows and columns else last_axis(path, leaf)

    return split
