"""Which errors of a weight the outputs care about: second derivatives of the damage.

Weights that are `e` off do damage of about `e^T H e / 2`, with `H = J^T D J`: `J` are the
derivatives of the outputs by the weights, `D` those of the damage by the outputs, twice. Let `r` be
normal numbers. Then `g h^T` is `H` on average, for `g = J^T D r` and `h = J^T r`: two gradients.

Source: Hutchinson 1990, doi:10.1080/03610919008812866; sums over rows or columns of a gradient
alone as of Martens and Grosse 2015 (K-FAC), arXiv:1503.05671.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcompress.checks import is_finite
from jaxcompress.compiled import jit_for_inference
from jaxcompress.placement import fetched
from jaxcompress.quantization.damages import Damage
from jaxcompress.trace.inputs import as_inputs
from jaxcompress.trees import PyTree, named_leaves

_NO_GRADIENTS = (TypeError, ValueError, NotImplementedError, jax.errors.JaxRuntimeError)
"""What JAX raises of loops and callbacks that it cannot differentiate, and for want of memory."""


class Curvature(NamedTuple):
    """Second derivatives of the damage, summed over data, by path.

    Attributes:
        rows: of tables `[width, width]`, summed over their rows.
        channels: what errors of a channel do, with the axes of the tensor, 1 where they are summed;
            the channels of a table are its rows.
    """

    rows: dict[str, Any]
    channels: dict[str, Any]


class Wanted(NamedTuple):
    """Tensors whose curvature is measured.

    Attributes:
        tables: paths of tensors whose rows have a curvature in common.
        channels: axes of the channels of all tensors, by path; those of a table are its rows.
    """

    tables: tuple[str, ...]
    channels: Mapping[str, tuple[int, ...]]


def curvature(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Sequence[PyTree],
    damage: Damage,
    of: Wanted,
    *,
    seed: int,
) -> Curvature | str:
    """Return the curvature of the damage, summed over batches, or why there is none.

    Gathered to the host: for each batch the results alone.

    Args:
        apply: `apply(params, *inputs)`.
        params: dense.
        batches: each an input or a tuple of inputs.
        damage: from outputs and exact outputs to a number.
        of: the tensors.
        seed: of the normal numbers.

    Example:
        >>> from jaxcompress.quantization.damages import relative_error
        >>> apply, params = lambda p, i: p["t"][i], {"t": np.eye(2, dtype=np.float32)}
        >>> of = Wanted(("t",), {"t": (0,)})
        >>> found = curvature(apply, params, [np.array([0, 0])], relative_error, of, seed=0)
        >>> found.rows["t"].shape, (found.channels["t"] > 0).tolist()
        ((2, 2), [[True], [False]])
    """
    compiled, sums = jit_for_inference(_measure(apply, damage, of)), Curvature({}, {})
    for number, batch in enumerate(batches):
        key = jax.random.fold_in(jax.random.key(seed), number)
        try:
            found = fetched(compiled(params, key, *as_inputs(batch)))
        except _NO_GRADIENTS as error:
            return str(error).strip().split("\n")[0]
        for total, part in zip(sums, found, strict=True):
            for path, array in part.items():
                total[path] = total.get(path, 0.0) + array.astype(np.float64)
    if not all(map(is_finite, sums.channels.values())):
        return "the damage has no second derivatives at the exact outputs"
    if not any(map(np.any, sums.channels.values())):
        return "the second derivatives of the damage are 0 at the exact outputs"
    return sums


def _measure(apply: Callable[..., PyTree], damage: Damage, of: Wanted) -> Callable[..., Any]:
    """Return the function of params, key and inputs that `curvature` sums up."""
    chosen = list(of.channels)

    def measure(params: PyTree, key: jax.Array, *inputs: PyTree) -> Curvature:
        named = named_leaves(params)
        places = [named.paths.index(path) for path in chosen]

        def floats(tensors: list[Any]) -> tuple[list[Any], PyTree]:
            leaves = list(named.leaves)
            for place, tensor in zip(places, tensors, strict=True):
                leaves[place] = tensor
            outputs = apply(named.rebuild(leaves), *inputs)
            return [x for x in jax.tree.leaves(outputs) if is_float(x)], outputs

        tensors = [named.leaves[place] for place in places]
        exact, pull, outputs = jax.vjp(floats, tensors, has_aux=True)

        def slope(numbers: list[Any]) -> list[Any]:
            return jax.grad(lambda x: damage(_filled(outputs, x), outputs))(numbers)

        keys = jax.random.split(key, len(exact))
        noise = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, exact, strict=True)]
        bent = jax.jvp(slope, (exact,), (noise,))[1]
        first, second = (
            {
                path: part.astype(jnp.float32)
                for path, part in zip(chosen, pull(numbers)[0], strict=True)
            }
            for numbers in (bent, noise)
        )
        return Curvature(
            {path: _of_rows(first[path], second[path]) for path in of.tables},
            {
                path: _of_channels(first[path] * second[path], axes)
                for path, axes in of.channels.items()
            },
        )

    return measure


def is_float(array: Any) -> bool:
    """Return whether an array holds floating-point numbers."""
    return jnp.issubdtype(jnp.result_type(array), jnp.floating)


def _filled(outputs: PyTree, floats: list[Any]) -> PyTree:
    """Return outputs with other floating-point leaves."""
    left = iter(floats)
    return jax.tree.map(lambda x: next(left) if is_float(x) else x, outputs)


def _of_rows(g: jax.Array, h: jax.Array) -> jax.Array:
    rows = [x.reshape(-1, x.shape[-1]) for x in (g, h)]
    return jnp.einsum("rn,rm->nm", *rows, precision=lax.Precision.HIGHEST)


def _of_channels(products: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    others = tuple(axis for axis in range(products.ndim) if axis not in axes)
    return jnp.sum(products, axis=others, keepdims=True)
