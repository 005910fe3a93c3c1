"""Changes of single tensors: what is tried, one tensor at a time."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.bounds import check_clusters, check_fraction, check_positive, check_sparsity
from jaxcompress.checks import check_fits, check_floats, check_unique
from jaxcompress.kinds import NUMBERS, kind_of
from jaxcompress.leaves import dense, is_compressed, sparse
from jaxcompress.lowrank import low_rank, plan_ranks
from jaxcompress.oneshot.sizes import stored_bytes
from jaxcompress.oneshot.ways import Treatment
from jaxcompress.prune import Score, apply_mask, layerwise_mask, magnitude
from jaxcompress.quantization import Quantizer, few_digits, make_grid, quantize, usual_range
from jaxcompress.sharing import kmeans
from jaxcompress.trees import NamedLeaves, PyTree, is_floating, kernels, named_leaves, plain_bytes


class Trial(NamedTuple):
    """Parameters that are changed in one place.

    Attributes:
        full_bytes: of what is changed, before it.
        size_bytes: the same after it, as it would be stored.
        build: of the changed parameters, called once for each batch.
        silence: of parameters of the old shapes that give the same function as `build`, except for
            numbers that the code takes from sizes; None if there are none.
    """

    full_bytes: int
    size_bytes: int
    build: Callable[[], PyTree]
    silence: Callable[[], PyTree] | None = None


class Change(NamedTuple):
    """What is done to one part of a network at a time.

    Attributes:
        name: of the column; `change._replace(name=...)` gives another.
        trials: from parameters to pairs: what is changed, and how; or the reason why it is not.
    """

    name: str
    trials: Callable[[PyTree], Iterable[tuple[str, Trial | str]]]


def each_tensor(
    name: str,
    compress: Callable[[PyTree], PyTree],
    *,
    reasons: Callable[[PyTree], Mapping[str, str]] = lambda params: {},
) -> Change:
    """Change one tensor at a time, as a function changes all of them.

    Args:
        name: of the column.
        compress: from parameters to the same tree, with compressed leaves or other numbers.
        reasons: why tensors are not changed, by path, where their dtype and shape do not say it.

    Example:
        >>> change = each_tensor("halved", lambda params: jax.tree.map(lambda w: w / 2, params))
        >>> ((path, trial),) = change.trials({"w": np.array([4.0, 2.0])})
        >>> path, trial.build()["w"].tolist(), trial.size_bytes
        ('w', [2.0, 1.0], 16)
    """

    def trials(params: PyTree) -> Iterable[tuple[str, Trial | str]]:
        named = named_leaves(params)
        check_unique(named.paths)
        changed = compress(params)
        check_fits(name, dense(changed), "params", params)
        leaves = named_leaves(changed, is_leaf=is_compressed).leaves
        known = reasons(params)
        for place, (path, old, new) in enumerate(
            zip(named.paths, named.leaves, leaves, strict=True)
        ):
            if _is_same(old, new):
                yield path, known.get(path) or _reason(old)
            else:
                new = jax.tree.map(np.asarray, new)
                size = math.ceil(stored_bytes(new))
                yield path, Trial(plain_bytes(old), size, partial(_with, named, place, new))

    return Change(name, trials)


def rounding(bits: int, *, quantizer: Quantizer | None = None) -> Change:
    """Round a tensor to a grid of so many bits.

    Args:
        bits: of an integer.
        quantizer: `quantizer(params, bits)`; by default `quantize`, with scales of 8 binary digits.

    Raises:
        ValueError: bits outside of 1 to 8, without a quantizer.
        TypeError: bits that are not an integer.

    Example:
        >>> change = rounding(4)
        >>> ((path, trial),) = change.trials({"w": np.array([[7.0], [2.4]])})
        >>> change.name, trial.build()["w"].tolist()
        ('4 bits', [[7.0], [2.0]])
    """
    if quantizer is None:
        make_grid(bits)  # refuses others
    chosen = quantizer or partial(quantize, estimate=few_digits(usual_range))
    return each_tensor(f"{bits} bits", lambda params: chosen(params, bits))


def step_size(step_size: float) -> Change:
    """Round a tensor to steps relative to its channels, as `compress` does.

    Args:
        step_size: in root mean squares; 0.1 is fine, 1 is coarse.

    Raises:
        ValueError: it is not above 0.
        TypeError: it is not a number.

    Example:
        >>> ((path, trial),) = step_size(1.0).trials({"w": np.array([[3.0], [-3.0], [0.4]])})
        >>> trial.build()["w"].round(1).tolist()
        [[2.5], [-2.5], [0.0]]
    """
    value = check_positive("step_size", step_size, "0.1 is fine, 1 is coarse")
    treatment = Treatment(way="relative", value=value)

    def compress(params: PyTree) -> PyTree:
        named = named_leaves(params)
        pairs = zip(named.paths, named.leaves, strict=True)
        return named.rebuild([treated(*pair) if kernels(*pair) else pair[1] for pair in pairs])

    def treated(path: str, leaf: Any) -> Any:
        return treatment.treat(path, check_floats(path, leaf)).leaf if leaf.size else leaf

    return each_tensor(f"step size {value:g}", compress)


def sparsity(*, remove: float, score: Score = magnitude) -> Change:
    """Remove the weights of the smallest score from a tensor.

    Args:
        remove: fraction of the weights, in [0, 1).
        score: from parameters to a tree of the same shapes.

    Raises:
        ValueError: it is not in [0, 1).
        TypeError: it is not a number.

    Example:
        >>> ((path, trial),) = sparsity(remove=0.5).trials({"w": np.array([[3.0, -1.0]])})
        >>> trial.build()["w"].tolist()
        [[3.0, 0.0]]
    """
    fraction = check_sparsity("remove", remove)

    def compress(params: PyTree) -> PyTree:
        return sparse(apply_mask(params, layerwise_mask(params, fraction, score=score)))

    return each_tensor(f"{100 * fraction:g} % zeros", compress)


def shared_values(k: int) -> Change:
    """Let the weights of a tensor share values, by K-Means.

    Args:
        k: values beside zero, 1 to 1024.

    Raises:
        ValueError: it is out of range.
        TypeError: it is not an integer.

    Example:
        >>> ((path, trial),) = shared_values(1).trials({"w": np.array([[3.0, 1.0]])})
        >>> trial.build()["w"].tolist()
        [[2.0, 2.0]]
    """
    check_clusters(k, name="k")

    def compress(params: PyTree) -> PyTree:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*fewer than the .* clusters")
            return kmeans(params, k)

    return each_tensor(f"{k} values", compress)


def rank(*, keep: float) -> Change:
    """Replace a tensor by a product of two thin matrices.

    Args:
        keep: fraction of its parameters, in (0, 1].

    Raises:
        ValueError: it is not in (0, 1].
        TypeError: it is not a number.

    Example:
        >>> ((path, trial),) = rank(keep=0.5).trials({"w": np.ones((8, 8))})
        >>> trial.full_bytes, trial.size_bytes, bool(np.allclose(trial.build()["w"], 1))
        (512, 256, True)
    """
    fraction = check_fraction("keep", keep)
    return each_tensor(
        f"low rank {100 * fraction:g} %",
        lambda params: low_rank(params, keep=fraction),
        reasons=lambda params: plan_ranks(params, keep=fraction).left_dense,
    )


def _with(named: NamedLeaves, place: int, leaf: Any) -> PyTree:
    """Return the tree with another leaf."""
    leaves = list(named.leaves)
    leaves[place] = dense(leaf)
    return named.rebuild(leaves)


def _is_same(old: Any, new: Any) -> bool:
    if is_compressed(new):
        return False
    return new is old or kind_of(old) not in NUMBERS.members or np.array_equal(old, new)


def _reason(leaf: Any) -> str:
    """Return why most techniques leave a tensor alone."""
    if not is_floating(leaf):
        return f"{leaf.dtype} is not floating point"
    if len(leaf.shape) < 2:
        return "fewer than two axes"
    return "kept" if math.prod(leaf.shape) else "empty"
