"""The conversion of leaves to `Coded`."""

from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxcompress.bounds import is_integer
from jaxcompress.leaves._coded import encoded
from jaxcompress.leaves.clustered import Clustered
from jaxcompress.leaves.quantized import Quantized
from jaxcompress.leaves.tree import is_coded, uncoded
from jaxcompress.placement import like
from jaxcompress.trees import PyTree, Scope, everything, in_scope, named_leaves, plain_bytes


def coded(tree: PyTree, *, scope: Scope = everything, turns: int = 1024, stack: int = 0) -> PyTree:
    """Return `tree` with `Clustered` and `Quantized` leaves entropy-coded, as `Coded` leaves.

    `bytes = n * H / 8 + 8 * n / turns + 512 + grid`, where `H` is the entropy in bits of the `n`
    integers. `execute` decodes each where it is used. A leaf that would not become smaller is kept
    unchanged, and so is one with codes of 16 bits (256 values and more), and all other leaves.

    Args:
        tree: factors of `LowRank` leaves are coded too.
        scope: which leaves are coded.
        turns: of the loop that decodes a tensor, which works on `n / turns` weights at a time.
            A device with many cores needs fewer turns: 64 cost a bit a weight.
        stack: number of first axes that are of layers: 1 for leaves that `jax.lax.scan` cuts into
            layers. Each layer is coded for itself. Other loops and branches get dense weights.

    Returns:
        The tree, on the devices of its leaves; on a mesh coded arrays are on all devices.

    Raises:
        ValueError: turns or axes out of range, or an empty scope.

    Example:
        >>> codes = np.tile(np.array([0, 0, 0, 1], np.uint8), (64, 64))
        >>> leaf = Clustered(codes=codes, codebook=np.ones(1, np.float32))
        >>> small = coded({"kernel": leaf})["kernel"]
        >>> codes.nbytes, small.lanes.words.nbytes  # 0.8 bits a weight
        (16384, 1648)
        >>> bool((small.dense() == leaf.dense()).all())
        True

    Source:
        Jarek Duda, Asymmetric numeral systems, 2009; Fabian Giesen, Interleaved entropy coders,
        2014.
    """
    for name, value, least in (("turns", turns, 1), ("stack", stack, 0)):
        if not is_integer(value) or value < least:
            raise ValueError(
                f"{name}: must be an integer of at least {least}, got {value!r}; the default is "
                f"{1024 * least}."
            )
    named = named_leaves(tree, is_leaf=is_coded)
    chosen = in_scope(named, scope)
    leaves = [
        _smaller(path, leaf, turns, stack) if pick else leaf
        for path, leaf, pick in zip(named.paths, named.leaves, chosen, strict=True)
    ]
    return named.rebuild(leaves)


def _smaller(path: str, leaf: Any, turns: int, stack: int) -> Any:
    """Return a leaf of integers of 8 bits as `Coded` if that is smaller, others unchanged."""
    if not isinstance(leaf, Clustered | Quantized) or leaf.integers.dtype.itemsize != 1:
        return leaf
    if stack > leaf.ndim:
        raise ValueError(
            f"{path}: stack must be at most the {leaf.ndim} axes of the leaf, got {stack}; choose "
            "other leaves by scope."
        )
    small = encoded(leaf, turns=turns, stack=stack)
    if _bytes(small) >= _bytes(leaf):
        return leaf
    return jax.tree.map(lambda array: _placed(array, leaf.integers), small)


def _bytes(leaf: Any) -> int:
    return sum(map(plain_bytes, jax.tree.leaves(leaf)))


def _placed(array: np.ndarray, integers: Any) -> Any:
    """Return an array of the kind that the integers are, on their devices."""
    if not isinstance(integers, jax.Array):
        return array
    if isinstance(integers.sharding, NamedSharding):
        return jax.device_put(array, NamedSharding(integers.sharding.mesh, PartitionSpec()))
    return like(jax.numpy.asarray(array), integers)


def check_coded(tree: PyTree) -> None:
    """Refuse `Coded` leaves whose lanes are not those of their tensors: all are decoded in numpy.

    Devices cannot refuse them: they compute wrong numbers.

    Raises:
        ValueError: naming the first such leaf.

    Example:
        >>> leaf = Clustered(codes=np.zeros((64, 64), np.uint8), codebook=np.ones(1, np.float32))
        >>> small = coded(leaf)
        >>> small.lanes.states[0] += 1
        >>> check_coded({"kernel": small})
        Traceback (most recent call last):
        ValueError: kernel: lane 0 must end in state 65536, got 65537; code it again.
    """
    uncoded(tree)
