"""The weights of products, and the axes of their output channels."""

from collections.abc import Callable, Iterator, Sequence

from jaxcompress.leaves import is_compressed
from jaxcompress.leaves.tree import dense_shapes
from jaxcompress.products.find import Weight, find_products
from jaxcompress.products.unknown import find_unknown
from jaxcompress.trace.program import Program, trace
from jaxcompress.trees import PyTree, Scope, named_leaves


def channel_axes(
    apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree
) -> dict[str, tuple[int, ...]]:
    """Return the axes of each weight along which its output channels lie.

    They are the axes that no product of the weight sums over. Weights that are changed by a
    computation before the product are left out.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays or compressed leaves.
        *inputs: of the function; only shapes and dtypes are used.

    Raises:
        ValueError: the function does not run on these arrays, or its shapes depend on their values.

    Example:
        >>> import jax.numpy as jnp
        >>> apply = lambda params, x: x @ params["kernel"] @ params["turned"].T
        >>> params = {"kernel": jnp.ones((2, 3)), "turned": jnp.ones((4, 3))}
        >>> channel_axes(apply, params, jnp.ones((1, 2)))
        {'kernel': (1,), 'turned': (0,)}
    """
    axes: dict[str, tuple[int, ...]] = {}
    for path, weight in weights_in_products(apply, params, *inputs):
        if weight.channels is not None:
            common = set(axes.get(path, weight.channels)) & set(weight.channels)
            axes[path] = tuple(sorted(common))
    return axes


def in_products(apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree) -> Scope:
    """Return the scope of the weights in products, whatever their names and axes.

    `kernels` decides by the number of axes. So it includes biases of heads and of stacked layers,
    which have two axes too. Tables that are only read row by row are in no product. Nor are weights
    that only primitives take that are not understood: `calibrate` names them in `left_float`.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays or compressed leaves.
        *inputs: of the function; only shapes and dtypes are used.

    Raises:
        ValueError: the function does not run on these arrays, or its shapes depend on their values.

    Example:
        >>> import jax.numpy as jnp
        >>> apply = lambda params, x: x @ params["kernel"] + params["bias"]
        >>> params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones((1, 3))}
        >>> scope = in_products(apply, params, jnp.ones((1, 2)))
        >>> [path for path, leaf in params.items() if scope(path, leaf)]
        ['kernel']
    """
    found = {path for path, _ in weights_in_products(apply, params, *inputs)}
    return lambda path, leaf: path in found


def weights_in_products(
    apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree
) -> Iterator[tuple[str, Weight]]:
    """Yield the path and the `Weight` of each weight in a product, product by product.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays or compressed leaves.
        *inputs: of the function; only shapes and dtypes are used.

    Raises:
        ValueError: the function does not run on these arrays, or its shapes depend on their values.
    """
    program, paths = _traced(apply, params, inputs)
    for product in find_products(program, paths):
        for weight in product.weights.values():
            yield paths[weight.leaf], weight


def weights_in_unknown(
    apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree
) -> dict[str, str]:
    """Return the weights that equations take that are not understood, with the reason, by path.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays or compressed leaves.
        *inputs: of the function; only shapes and dtypes are used.

    Raises:
        ValueError: the function does not run on these arrays, or its shapes depend on their values.
    """
    found = find_unknown(*_traced(apply, params, inputs))
    return {path: one.reason for one in found for path in one.paths}


def _traced(
    apply: Callable[..., PyTree], params: PyTree, inputs: Sequence[PyTree]
) -> tuple[Program, list[str]]:
    paths = named_leaves(params, is_leaf=is_compressed).paths
    return trace(apply, dense_shapes(params), *inputs), paths
