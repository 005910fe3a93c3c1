"""Functions of all leaf types."""

from collections.abc import Callable
from typing import Any

import jax

from jaxcompress.checks import check_finite
from jaxcompress.kinds import Kinds, check_kind, native, refuse_masked
from jaxcompress.leaves._coded import Coded
from jaxcompress.leaves._half import Half
from jaxcompress.leaves._sparse import Sparse
from jaxcompress.leaves.clustered import Clustered
from jaxcompress.leaves.lowrank import LowRank
from jaxcompress.leaves.quantized import Quantized
from jaxcompress.placement import on_host
from jaxcompress.trees import Array, NamedLeaves, PyTree, Scope, in_scope, named_leaves, path_text

CODED = (Clustered, Coded, Half, Quantized, Sparse)
"""The leaf types that hold numbers in a coded form."""

COMPRESSED = (*CODED, LowRank)
"""The compressed leaf types; each leaf represents one array."""


def is_coded(leaf: Any) -> bool:
    """Return whether `leaf` holds numbers in a coded form, which techniques do not change.

    They see the factors of a `LowRank` leaf as separate arrays.
    """
    return isinstance(leaf, CODED)


def is_compressed(leaf: Any) -> bool:
    """Return whether `leaf` is one of the compressed leaf types.

    Example:
        >>> import numpy as np
        >>> leaf = Half(values=np.ones(2, np.float16), dtype=np.dtype("float32"))
        >>> is_compressed(leaf), is_compressed(np.ones(2))
        (True, False)
    """
    return isinstance(leaf, COMPRESSED)


def dense(tree: PyTree) -> PyTree:
    """Return `tree` with an ordinary array in place of every compressed leaf.

    Example:
        >>> import numpy as np
        >>> leaf = Clustered(codes=np.array([0, 2, 1], np.uint8), codebook=np.array([-1.0, 3.0]))
        >>> dense({"kernel": leaf})["kernel"].tolist()
        [0.0, 3.0, -1.0]
    """
    return _expanded(tree, is_compressed)


def dense_shapes(tree: PyTree) -> PyTree:
    """Return shapes and dtypes of `dense(tree)`; nothing is computed."""
    return jax.eval_shape(dense, jax.tree.map(native, tree))


def decoded(tree: PyTree) -> PyTree:
    """Return `tree` with ordinary arrays in place of compressed leaves and compressed factors.

    `LowRank` leaves are kept, so that their factors can be trained; `dense` multiplies them out.

    Example:
        >>> import numpy as np
        >>> half = Half(values=np.ones((2, 1), np.float16), dtype=np.dtype("f"))
        >>> leaf = LowRank(factors=(half, np.ones((1, 3), "f")), equation="ir,ro->io")
        >>> [factor.dtype.name for factor in decoded(leaf).factors]
        ['float32', 'float32']
    """
    return _expanded(tree, is_coded)


def _expanded(tree: PyTree, chosen: Callable[[Any], bool]) -> PyTree:
    def expand(path: tuple[Any, ...], leaf: Any) -> Any:
        refuse_masked(path_text(path), leaf)
        return leaf.dense() if chosen(leaf) else native(leaf)

    return jax.tree_util.tree_map_with_path(expand, tree, is_leaf=chosen)


def uncoded(tree: PyTree) -> PyTree:
    """Return `tree` with the leaves that were coded in place of `Coded` leaves, in numpy.

    Raises:
        ValueError: lanes that are not those of their tensor, naming the leaf.

    Example:
        >>> import numpy as np
        >>> codes = np.tile(np.array([0, 0, 0, 1], np.uint8), (64, 64))
        >>> from jaxcompress.packing import lanes
        >>> grid = Clustered(codes=codes[:0, 0], codebook=np.ones(1, np.float32))
        >>> leaf = Coded(lanes=lanes.encode(codes.ravel(), 4), grid=grid, layer=codes.shape)
        >>> bool((uncoded({"kernel": leaf})["kernel"].codes == codes).all())
        True
    """
    named = named_leaves(tree, is_leaf=is_coded)
    return named.rebuild(
        [
            _decoded(path, leaf) if isinstance(leaf, Coded) else leaf
            for path, leaf in zip(named.paths, named.leaves, strict=True)
        ]
    )


def _decoded(path: str, leaf: Coded) -> Clustered | Quantized:
    try:
        return leaf.uncoded()
    except ValueError as error:
        raise ValueError(f"{path or '(root)'}: {error}; code it again.") from None


def arrays_in_scope(
    named: NamedLeaves,
    scope: Scope,
    kinds: Kinds,
    *,
    stays: Callable[[Any], bool] = is_coded,
) -> list[bool]:
    """Return for each leaf whether `scope` chooses it and it is still an array.

    Args:
        named: the leaves.
        scope: of a technique.
        kinds: that the technique handles.
        stays: which compressed leaves it keeps unchanged.

    Raises:
        ValueError: no leaf is chosen, or no array among those chosen.
        TypeError: an array of another kind is chosen.
    """
    left = [stays(leaf) for leaf in named.leaves]
    chosen = in_scope(named, scope)
    picked = [pick and not stay for pick, stay in zip(chosen, left, strict=True)]
    if not any(picked):
        first = named.paths[chosen.index(True)]
        raise ValueError(
            f"scope: at least one leaf must be an array yet, got {sum(chosen)} that are "
            f"compressed already, the first is {first}; pass dense(tree), or choose others."
        )
    for path, leaf, pick in zip(named.paths, named.leaves, picked, strict=True):
        if pick:
            check_kind(path, leaf, kinds)
    return picked


def update_codebooks(shared: PyTree, params: PyTree) -> PyTree:
    """Return `shared` with the values that its weights have in `params` after fine-tuning.

    Args:
        shared: tree with `Clustered` leaves, from `kmeans` or a similar function.
        params: `decoded(shared)` after training with `share_centroids`.

    Raises:
        ValueError: members of one cluster have different values, NaN, or the trees do not match.

    Example:
        >>> import numpy as np
        >>> leaf = Clustered(codes=np.array([0, 2, 1], np.uint8), codebook=np.array([-1.0, 3.0]))
        >>> trained = {"kernel": np.array([0.0, 2.5, -1.5])}
        >>> update_codebooks({"kernel": leaf}, trained)["kernel"].codebook.tolist()
        [-1.5, 2.5]
    """
    named = named_leaves(uncoded(shared), is_leaf=is_coded)
    tensors = named_leaves(params)
    if named.paths != tensors.paths:
        raise ValueError(
            "shared and params must be the same tree, got leaves "
            f"{sorted(set(named.paths) ^ set(tensors.paths))[:5]} in one only; "
            "pass the params that were trained from dense(shared)."
        )

    def update(path: str, leaf: Any, tensor: Array) -> Any:
        if not isinstance(leaf, Clustered):
            return tensor
        check_finite(path, on_host(tensor))
        try:
            return leaf.with_values(tensor)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    return named.rebuild(list(map(update, named.paths, named.leaves, tensors.leaves)))
