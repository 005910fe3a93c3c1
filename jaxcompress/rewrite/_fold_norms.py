"""Norms folded into the weights before them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.rewrite._equivalence import Sameness
from jaxcompress.rewrite.adjust import clear_offsets, scale_weight, set_factor, set_offset
from jaxcompress.rewrite.affine import Chain, affine, find_chains
from jaxcompress.rewrite.values import Values
from jaxcompress.trees import PyTree, is_floating


class FoldedLayer(NamedTuple):
    """A product whose norm is folded.

    Attributes:
        weight: path of its weight.
        norm: paths of the other leaves that folding changes, a bias before the norm included.
    """

    weight: str
    norm: tuple[str, ...]


def fold_norms(apply: Callable[..., PyTree], tree: PyTree, *inputs: PyTree) -> PyTree:
    """Fold norms in evaluation mode into the weights before them, without changing the function.

    Operations with parameters alone turn a product `z` into `y = a * z + b`, with `a` and `b` by
    channel: for a norm `a = scale / sqrt(var + eps)` and `b = bias - a * mean`. Folding sets
    `weight' = a * weight` and leaves the norm with the factor 1 and the offset `b`: its scale is
    divided by `a`, its mean and all offsets before the last are 0, the last offset is `b`. A norm
    without a scale gets another variance, a norm without a bias another mean. The tree keeps its
    structure, for the same code and the same files, and grids are estimated for the weights that
    act.

    All this is found by tracing: any factor by channel counts, whatever its name. Not folded are
    norms that do not follow a product (after an activation or a sum), weights and norms that are
    used twice, and products within loops and branches. Channels whose factor is 0 get the weight 0.
    In bfloat16 the new weights are rounded to bfloat16.

    Args:
        apply: `apply(tree, *inputs)` in evaluation mode.
        tree: parameters and running statistics, any pytree of arrays.
        *inputs: of the function. With arrays the results before and after are compared; with
            shapes and dtypes they are not.

    Returns:
        A tree of the same structure, shapes and dtypes.

    Raises:
        ValueError: the results differ by more than rounding explains; a function that does not run
            on these arrays.
        TypeError: leaves without values, inputs or results that are not arrays.

    Example:
        >>> tree = {"w": np.ones((1, 2), "f"), "scale": np.array([2.0, 4.0], "f")}
        >>> folded = fold_norms(lambda p, x: x @ p["w"] * p["scale"], tree, np.ones((1, 1), "f"))
        >>> folded["w"].tolist(), folded["scale"].tolist()
        ([[2.0, 4.0]], [1.0, 1.0])

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
    values = Values.of(apply, tree, inputs)
    folded, layers = _fold_all(values)
    if layers and not any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(inputs)):
        _check_same(Sameness.of(apply, values, inputs), folded, layers)
    return folded.tree()


def folded_layers(
    apply: Callable[..., PyTree], tree: PyTree, *inputs: PyTree
) -> tuple[FoldedLayer, ...]:
    """Return which layers `fold_norms` folds, and which leaves it changes besides their weights.

    Args:
        apply: as in `fold_norms`.
        tree: as in `fold_norms`; a folded tree has nothing left to fold.
        *inputs: as in `fold_norms`.

    Example:
        >>> tree = {"w": np.ones((1, 2), "f"), "scale": np.array([2.0, 4.0], "f")}
        >>> folded_layers(lambda p, x: x @ p["w"] * p["scale"], tree, np.ones((1, 1), "f"))
        (FoldedLayer(weight='w', norm=('scale',)),)
    """
    return _fold_all(Values.of(apply, tree, inputs))[1]


def _fold_all(values: Values) -> tuple[Values, tuple[FoldedLayer, ...]]:
    """Return values with all foldable norms folded, and the folded layers in order."""
    layers = []
    for chain in find_chains(values):
        if (folded := _fold(values, chain)) is not None:
            folded = _settled(folded, values)
            layers.append(_layer(values, folded, chain))
            values = folded
    return values, tuple(layers)


def _fold(values: Values, chain: Chain) -> Values | None:
    """Return values with a chain folded into the weight of its product, None if impossible."""
    a, b = affine(values, chain.terms, chain.count)
    if not _is_foldable(values.leaves[chain.leaf], a, b):
        return None
    if (neutral := set_factor(values, chain)) is None:
        return None
    left = affine(neutral, chain.terms, chain.count).a
    factors = np.divide(a, left, out=np.zeros_like(a), where=left != 0)
    scaled = scale_weight(neutral, chain, factors)
    return scaled and set_offset(clear_offsets(scaled, chain), chain, b)


def _is_foldable(weight: Any, a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether factors and offsets are finite, and the factors not all 1 or 0 already."""
    finite = is_floating(weight) and np.isfinite(a).all() and np.isfinite(b).all()
    return bool(finite) and not _is_neutral(a, weight.dtype)


def _is_neutral(a: np.ndarray, dtype: Any) -> bool:
    """Return whether factors are 1 up to rounding, or 0."""
    return bool(np.all((np.abs(a - 1) <= 8 * float(jnp.finfo(dtype).eps)) | (a == 0)))


def _settled(values: Values, before: Values) -> Values:
    """Return values with the earlier leaves where their entries are equal."""
    both = zip(values.leaves, before.leaves, strict=True)
    return values.with_leaves(
        tuple(old if new is old or np.array_equal(new, old) else new for new, old in both)
    )


def _layer(before: Values, folded: Values, chain: Chain) -> FoldedLayer:
    """Return the layer of a chain, with the leaves that folding changed."""
    paths, both = before.named.paths, zip(before.leaves, folded.leaves, strict=True)
    changed = [leaf for leaf, (old, new) in enumerate(both) if new is not old]
    return FoldedLayer(paths[chain.leaf], tuple(paths[k] for k in changed if k != chain.leaf))


def _check_same(sameness: Sameness, folded: Values, layers: Sequence[FoldedLayer]) -> None:
    """Refuse results that differ, naming the layer that contributes most."""
    named = folded.named

    def difference(changed: Sequence[FoldedLayer]) -> float:
        """Return the difference if only some layers are folded."""
        paths = {path for layer in changed for path in (layer.weight, *layer.norm)}
        both = zip(named.paths, folded.leaves, named.leaves, strict=True)
        return sameness.difference([new if path in paths else old for path, new, old in both])

    if not (found := difference(layers)) <= sameness.within:
        worst = max(layers, key=lambda layer: difference([layer]))
        raise ValueError(
            f"{worst.weight}: results must stay the same within {sameness.within:.1e} when norms "
            f"are folded, got {found:.1e} for {len(layers)} layers and {difference([worst]):.1e} "
            "for this one, the most; fold in float64, or pass shapes and dtypes as inputs to skip "
            "this."
        )
