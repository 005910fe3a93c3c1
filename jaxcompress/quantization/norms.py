"""Norms folded into the weights before them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.compiled import jit_for_inference
from jaxcompress.quantization.chains import (
    Chain,
    affine,
    at_operand,
    entered,
    find_chains,
    scale_weight,
)
from jaxcompress.quantization.expressions import Expressions, tolerance
from jaxcompress.trace.program import trace
from jaxcompress.trace.silence import relative_difference
from jaxcompress.trees import NamedLeaves, PyTree, is_floating, is_traced, named_leaves


class FoldedLayer(NamedTuple):
    """A product whose norm is folded.

    Attributes:
        weight: path of its weight.
        norm: paths of the other leaves that folding changes, a bias before the norm included.
    """

    weight: str
    norm: tuple[str, ...]


def fold_norms(apply: Callable[..., PyTree], tree: PyTree, *inputs: PyTree) -> PyTree:
    """Fold norms in evaluation mode into the weights before them; the function stays the same.

    Behind a product `z` the operations with parameters alone make `y = a * z + b`, with `a` and `b`
    by channel: for a norm `a = scale / sqrt(var + eps)` and `b = bias - a * mean`. Then
    `weight' = a * weight`, and the norm is left with the factor 1 and the offset `b`: its scale is
    divided by `a`, its mean and other offsets before the last are 0, the last one is `b`. Where it
    has no scale the variance is changed, where it has no bias the mean. So the same tree comes
    back, for the same code and the same files, and grids are estimated for weights as they act.

    All this is found by tracing: any factor by channel counts, whatever it is called. Left alone
    are norms that do not follow a product (after an activation or a sum), weights and norms that
    are used twice, and products within loops and branches. Channels whose factor is 0 get the
    weight 0. In bfloat16 the new weights are rounded as any are.

    Args:
        apply: `apply(tree, *inputs)` in evaluation mode.
        tree: parameters and running statistics, any pytree of arrays.
        *inputs: of the function; if they are arrays its results before and after are compared,
            if they are shapes and dtypes they are not.

    Returns:
        A tree of the same structure, shapes and dtypes.

    Raises:
        ValueError: the results differ by more than rounding explains; a function that does not run
            on these arrays.
        TypeError: leaves without values, inputs or results that are no arrays.

    Example:
        >>> tree = {"w": np.ones((1, 2), "f"), "scale": np.array([2.0, 4.0], "f")}
        >>> folded = fold_norms(lambda p, x: x @ p["w"] * p["scale"], tree, np.ones((1, 1), "f"))
        >>> folded["w"].tolist(), folded["scale"].tolist()
        ([[2.0, 4.0]], [1.0, 1.0])

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
    named = named_leaves(tree)
    leaves, layers = _folded(apply, tree, inputs)
    if not any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(inputs)):
        _check_same(apply, named, leaves, layers, inputs)
    return like(named, leaves)


def folded_layers(
    apply: Callable[..., PyTree], tree: PyTree, *inputs: PyTree
) -> tuple[FoldedLayer, ...]:
    """Return which layers `fold_norms` folds, and which leaves it changes besides their weights.

    Args:
        apply: as in `fold_norms`.
        tree: as in `fold_norms`; of a tree that is folded nothing is left to fold.
        *inputs: as in `fold_norms`.

    Example:
        >>> tree = {"w": np.ones((1, 2), "f"), "scale": np.array([2.0, 4.0], "f")}
        >>> folded_layers(lambda p, x: x @ p["w"] * p["scale"], tree, np.ones((1, 1), "f"))
        (FoldedLayer(weight='w', norm=('scale',)),)
    """
    return tuple(_folded(apply, tree, inputs)[1])


def like(named: NamedLeaves, leaves: Sequence[Any]) -> PyTree:
    """Return a tree of leaves of which each is an array of JAX if the old one was."""
    return named.rebuild(
        [
            jnp.asarray(new) if isinstance(old, jax.Array) and new is not old else new
            for new, old in zip(leaves, named.leaves, strict=True)
        ]
    )


def readable(apply: Callable[..., PyTree], tree: PyTree, inputs: Sequence[PyTree]) -> Expressions:
    """Return the values of a function's parameters.

    Raises:
        ValueError: as `trace`.
        TypeError: as `trace`, and leaves that have no values.
    """
    named = named_leaves(tree)
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        if isinstance(leaf, jax.ShapeDtypeStruct) or is_traced(leaf):
            raise TypeError(
                f"{path}: must be an array with values, got {type(leaf).__name__}; call this "
                "outside of jit, on trained parameters."
            )
    return Expressions(trace(apply, tree, *inputs), named.leaves)


def set_offset(values: Expressions, chain: Chain, wanted: np.ndarray) -> bool:
    """Change one leaf so that the terms of a chain add `[channels]` offsets, if there is one."""
    for number in reversed(range(len(chain.terms))):
        term = chain.terms[number]
        if term.multiplies:
            continue
        tail = affine(values, chain.terms[number + 1 :], chain.count).a
        lacking = wanted - affine(values, chain.terms, chain.count).b
        # Behind a factor of 0 no offset before it matters.
        more = np.divide(lacking, tail, out=np.zeros_like(lacking), where=tail != 0)
        step = at_operand(values, term, -more if term.inverse else more)
        old = np.asarray(values.value(term.operand)).astype(np.float64)
        if values.solve(term.operand, old + step, entered(chain.offsets)):
            return True
    return False


def _folded(
    apply: Callable[..., PyTree], tree: PyTree, inputs: Sequence[PyTree]
) -> tuple[list[Any], list[FoldedLayer]]:
    """Return the leaves after folding, and what was folded."""
    values, paths = readable(apply, tree, inputs), named_leaves(tree).paths
    layers = []
    for chain in find_chains(values, paths):
        before = list(values.leaves)
        if not _fold(values, chain):
            values.restore(before)
            continue
        same = [
            old if new is old or np.array_equal(new, old) else new
            for new, old in zip(values.leaves, before, strict=True)
        ]
        values.restore(same)
        changed = [
            path
            for leaf, path in enumerate(paths)
            if same[leaf] is not before[leaf] and leaf != chain.leaf
        ]
        layers.append(FoldedLayer(paths[chain.leaf], tuple(changed)))
    return values.leaves, layers


def _fold(values: Expressions, chain: Chain) -> bool:
    """Fold what is behind a product; if that fails some leaves may be changed."""
    weight, old = values.leaves[chain.leaf], affine(values, chain.terms, chain.count)
    if not is_floating(weight) or not np.isfinite(old).all() or _is_neutral(old.a, weight.dtype):
        return False
    if not _set_factor(values, chain, old.a):
        return False
    left = affine(values, chain.terms, chain.count).a
    factors = np.divide(old.a, left, out=np.zeros_like(left), where=left != 0)
    return scale_weight(values, chain, factors) and _move_offset(values, chain, old.b)


def _is_neutral(a: np.ndarray, dtype: Any) -> bool:
    """Return whether factors are 1 but for rounding, or 0."""
    return bool(np.all((np.abs(a - 1) <= 8 * float(jnp.finfo(dtype).eps)) | (a == 0)))


def _set_factor(values: Expressions, chain: Chain, a: np.ndarray) -> bool:
    """Change one leaf so that the factors of a chain are 1, or stay 0."""
    for term in reversed(chain.factors):
        inverse = np.divide(1, a, out=np.ones_like(a), where=a != 0)
        step = at_operand(values, term, 1 / inverse if term.inverse else inverse)
        old = np.asarray(values.value(term.operand)).astype(np.float64)
        if values.solve(term.operand, old * step, entered(chain.terms)):
            return True
    return False


def _move_offset(values: Expressions, chain: Chain, b: np.ndarray) -> bool:
    """Let the last leaf that is added hold the whole offset, and make the others 0."""
    for term in chain.offsets:
        shape = values.program.shape(term.operand)
        values.solve(term.operand, np.zeros(shape), entered(chain.offsets))
    if np.array_equal(affine(values, chain.terms, chain.count).b, b):
        return True
    if not set_offset(values, chain, b):
        return False
    new = affine(values, chain.terms, chain.count).b
    within = tolerance(values.leaves[chain.leaf].dtype) * np.abs(b).max(initial=0.0)
    return bool(np.all(np.abs(new - b) <= within))


def _check_same(
    apply: Callable[..., PyTree],
    named: NamedLeaves,
    leaves: Sequence[Any],
    layers: Sequence[FoldedLayer],
    inputs: Sequence[PyTree],
) -> None:
    if not layers:
        return
    compiled = jit_for_inference(apply)
    wanted = jax.tree.leaves(compiled(named.rebuild(named.leaves), *inputs))
    dtypes = [x.dtype for x in (*wanted, *leaves) if is_floating(x)]
    within = max(map(tolerance, dtypes), default=0.0)

    def difference(changed: Sequence[FoldedLayer]) -> float:
        """Return what folding some layers only changes."""
        paths = {path for layer in changed for path in (layer.weight, *layer.norm)}
        mixed = [
            new if path in paths else old
            for path, new, old in zip(named.paths, leaves, named.leaves, strict=True)
        ]
        given = jax.tree.leaves(compiled(named.rebuild(mixed), *inputs))
        return max(map(relative_difference, given, wanted), default=0.0)

    if not (found := difference(layers)) <= within:
        worst = max(layers, key=lambda layer: difference([layer]))
        raise ValueError(
            f"{worst.weight}: results must stay the same within {within:.1e} when norms are "
            f"folded, got {found:.1e} for {len(layers)} layers and {difference([worst]):.1e} for "
            "this one, the most; fold in float64, or pass shapes and dtypes as inputs to skip this."
        )
