"""Tables of words: which errors of a row the outputs care about, and which rows are read.

Rows that are `e` off do damage of about the sum of `e^T H e / 2`, with `H = J^T D J`: `J` are the
derivatives of the outputs by a row, `D` those of the damage by the outputs, twice. Let `r` be
normal numbers. Then `g h^T` is `H` on average, for `g = J^T D r` and `h = J^T r`: two gradients.
All rows are taken to have the same `H`, times how much a row matters.

Source: Hutchinson 1990, doi:10.1080/03610919008812866; sums over the rows of a gradient as of
Martens and Grosse 2015 (K-FAC), arXiv:1503.05671.
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
from jaxcompress.products.moments import Layer, Moments
from jaxcompress.products.shrinkage import likeliest_part, psd
from jaxcompress.quantization._step_sizes import equal_damage
from jaxcompress.quantization.damages import Damage
from jaxcompress.trace.inputs import as_inputs
from jaxcompress.trees import PyTree, Scope, in_scope, named_leaves

_WIDEST = 4096  # their curvature is a matrix of the width
_LEAST = 1 / 16  # of the mean: other data may read rows that these hardly do
_ROW_BITS = 16  # that the step size of a row takes in a file, at most

_NO_GRADIENTS = (TypeError, ValueError, NotImplementedError, jax.errors.JaxRuntimeError)
"""What JAX raises of loops and callbacks that it cannot differentiate, and for want of memory."""


class Curvature(NamedTuple):
    """Second derivatives of the damage by a table, summed over data.

    Attributes:
        matrix: `[width, width]`, summed over the rows.
        rows: `[..., 1]`, with the axes of the table, summed over the entries of a row.
    """

    matrix: Any
    rows: Any


class Tables(NamedTuple):
    """What is known of the tables of a network.

    Attributes:
        moments: of each half of the data, with those of tables.
        relative: step sizes of rows relative to that of their table, by path.
        rows: how much each row matters to the data, `[..., 1]` by path.
        no_curvature: why there is none; empty if there is, or no table.
    """

    moments: tuple[Moments, Moments]
    relative: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    no_curvature: str = ""

    def of_all(self, path: str, step_sizes: Any) -> float:
        """Return how much more damage a table does than on these data, 1 at least.

        Steps `s` are right for rows that matter by `q = s^-2 / sum(s^-2)`. These data do not read
        all of them: rows matter by `p`. So errors do `sum(q s^2) / sum(p s^2)` of the damage.

        Args:
            path: of the table.
            step_sizes: of its rows, relative to one another.

        Example:
            >>> found = Tables((Moments({}, {}),) * 2, {}, {"t": np.array([[3.0], [0.0]])})
            >>> round(found.of_all("t", np.array([[1.0], [2.0]])), 6)
            1.6
        """
        rows = self.rows.get(path)
        if rows is None or rows.shape != np.shape(step_sizes):
            return 1.0
        squares = np.square(np.asarray(step_sizes, np.float64))
        here = float(np.sum(rows * squares) / np.sum(rows))
        return max(squares.size / float(np.sum(1 / squares)) / here, 1.0) if here > 0 else 1.0


def measure_tables(
    apply: Callable[..., PyTree],
    params: PyTree,
    halves: tuple[Sequence[PyTree], Sequence[PyTree]],
    moments: tuple[Moments, Moments],
    *,
    damage: Damage,
    scope: Scope,
) -> Tables:
    """Return moments with those of tables, and step sizes of rows.

    Tables are tensors of floating-point numbers without moments, at most 4096 wide.

    Args:
        apply: `apply(params, *inputs)`.
        params: dense.
        halves: of the batches.
        moments: of the inputs, by each half.
        damage: from outputs and exact outputs to a number.
        scope: which tensors.

    Example:
        >>> from jaxcompress.quantization.damages import relative_error
        >>> from jaxcompress.trees import kernels
        >>> apply, params = lambda p, i: p["t"][i], {"t": np.eye(2, dtype=np.float32)}
        >>> none, halves = Moments({}, {}), ([np.array([0, 1])], [np.array([1, 1])])
        >>> found = measure_tables(
        ...     apply, params, halves, (none, none), damage=relative_error, scope=kernels
        ... )
        >>> list(found.moments[0].layers), found.no_curvature
        (['t'], '')
    """
    named, shapes = named_leaves(params), {}
    for path, leaf, pick in zip(named.paths, named.leaves, in_scope(named, scope), strict=True):
        shape, known = np.shape(leaf), any(path in each.layers for each in moments)
        if pick and not known and len(shape) > 1 and 1 < shape[-1] <= _WIDEST and _is_float(leaf):
            shapes[path] = shape
    found: list[dict[str, Curvature]] = []
    for seed, batches in enumerate(halves if shapes else ()):
        some = curvature(apply, params, batches, damage, list(shapes), seed=seed)
        if isinstance(some, str):
            return Tables(moments, {}, {}, some)
        found.append(some)
    if not found:
        return Tables(moments, {}, {})
    one, two = (_with_tables(each, some, shapes) for each, some in zip(moments, found, strict=True))
    rows = {path: found[0][path].rows + found[1][path].rows for path in shapes}
    steps = {
        path: row_steps(found[0][path].rows, found[1][path].rows, shapes[path]) for path in shapes
    }
    relative = {path: each for path, each in steps.items() if each is not None}
    return Tables((one, two), relative, rows)


def curvature(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Sequence[PyTree],
    damage: Damage,
    paths: Sequence[str],
    *,
    seed: int,
) -> dict[str, Curvature] | str:
    """Return the curvature of tables by path, or why there is none.

    Gathered to the host: for each batch the results alone.

    Args:
        apply: `apply(params, *inputs)`.
        params: dense.
        batches: each an input or a tuple of inputs.
        damage: from outputs and exact outputs to a number.
        paths: of the tables.
        seed: of the normal numbers.

    Example:
        >>> from jaxcompress.quantization.damages import relative_error
        >>> apply, params = lambda p, i: p["t"][i], {"t": np.eye(2, dtype=np.float32)}
        >>> batches = [np.array([0, 0])]
        >>> found = curvature(apply, params, batches, relative_error, ["t"], seed=0)["t"]
        >>> found.matrix.shape, (found.rows > 0).tolist()
        ((2, 2), [[True], [False]])
    """
    compiled = jit_for_inference(_measure(apply, damage, paths))
    sums: dict[str, Curvature] = {}
    for number, batch in enumerate(batches):
        key = jax.random.fold_in(jax.random.key(seed), number)
        try:
            found = fetched(compiled(params, key, *as_inputs(batch)))
        except _NO_GRADIENTS as error:
            return str(error).strip().split("\n")[0]
        found = jax.tree.map(lambda part: np.asarray(part, np.float64), found)
        sums = jax.tree.map(np.add, sums, found) if sums else found
    if not all(is_finite(each.matrix) for each in sums.values()):
        return "the damage has no second derivatives at the exact outputs"
    if not any(np.trace(each.matrix) > 0 for each in sums.values()):
        return "the second derivatives of the damage are 0 at the exact outputs"
    return sums


def _measure(
    apply: Callable[..., PyTree], damage: Damage, paths: Sequence[str]
) -> Callable[..., dict[str, Curvature]]:
    """Return the function of params, key and inputs that `curvature` sums up."""

    def measure(params: PyTree, key: jax.Array, *inputs: PyTree) -> dict[str, Curvature]:
        named = named_leaves(params)
        places = [named.paths.index(path) for path in paths]

        def floats(tables: list[Any]) -> tuple[list[Any], PyTree]:
            leaves = list(named.leaves)
            for place, table in zip(places, tables, strict=True):
                leaves[place] = table
            outputs = apply(named.rebuild(leaves), *inputs)
            return [x for x in jax.tree.leaves(outputs) if _is_float(x)], outputs

        tables = [named.leaves[place] for place in places]
        exact, pull, outputs = jax.vjp(floats, tables, has_aux=True)

        def slope(numbers: list[Any]) -> list[Any]:
            return jax.grad(lambda x: damage(_filled(outputs, x), outputs))(numbers)

        keys = jax.random.split(key, len(exact))
        noise = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, exact, strict=True)]
        bent = jax.jvp(slope, (exact,), (noise,))[1]
        pairs = zip(pull(bent)[0], pull(noise)[0], strict=True)
        return {path: _summed(*pair) for path, pair in zip(paths, pairs, strict=True)}

    return measure


def _summed(g: jax.Array, h: jax.Array) -> Curvature:
    g, h = g.astype(jnp.float32), h.astype(jnp.float32)
    flat = [x.reshape(-1, x.shape[-1]) for x in (g, h)]
    matrix = jnp.einsum("rn,rm->nm", *flat, precision=lax.Precision.HIGHEST)
    return Curvature(matrix, jnp.sum(g * h, axis=-1, keepdims=True))


def _is_float(array: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(array), jnp.floating)


def _filled(outputs: PyTree, floats: list[Any]) -> PyTree:
    """Return outputs with other floating-point leaves."""
    left = iter(floats)
    return jax.tree.map(lambda x: next(left) if _is_float(x) else x, outputs)


def _with_tables(
    moments: Moments, found: Mapping[str, Curvature], shapes: Mapping[str, tuple[int, ...]]
) -> Moments:
    """Return moments with those of tables: a row is a channel, its entries are its inputs."""
    tables = {
        path: [Layer(_entries(shapes[path]), psd(each.matrix)[None])]
        for path, each in found.items()
        if np.trace(each.matrix) > 0
    }
    left_out = {path: why for path, why in moments.left_out.items() if path not in tables}
    return Moments(moments.layers | tables, left_out)


def _entries(shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    numbers = np.arange(size, dtype=np.int32 if size < 2**31 else np.int64)
    return numbers.reshape(1, -1, shape[-1]).transpose(0, 2, 1)


def row_steps(one: np.ndarray, two: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return step sizes of rows relative to that of their table; None where they save no bytes.

    At a number of bits rows do the least damage together where each does as much: steps of
    `c^(-1/2)` where a row matters by `c`. A part of it is spread over all rows alike, the part that
    makes other data likeliest. So `(log2 mean(c) - mean(log2 c)) / 2` bits a weight are saved.

    Args:
        one: `[..., 1]`, how much rows matter to some data.
        two: to other data.
        shape: of the table.

    Example:
        >>> rows = np.array([[1.0], [16.0]])
        >>> row_steps(rows, rows, (2, 400))
        array([[2. ],
               [0.5]])
        >>> row_steps(rows, rows, (2, 4)) is None
        True
    """
    first, second = (np.maximum(each, 0.0) for each in (one, two))
    if not (first.any() and second.any()):
        return None
    both, part = first + second, likeliest_part(first.ravel(), second.ravel())
    part /= 2 - part  # `both` are twice as many data
    spread = np.maximum((1 - part) * both / both.mean() + part, _LEAST)
    saved = (np.log2(spread.mean()) - np.log2(spread).mean()) / 2
    return equal_damage(spread) if saved * shape[-1] > _ROW_BITS else None
