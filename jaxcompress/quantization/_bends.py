"""What second derivatives of the damage add to moments of inputs: tables, and steps of channels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.placement import on_host
from jaxcompress.products.moments import Layer, Moments
from jaxcompress.products.shrinkage import likeliest_part, psd
from jaxcompress.products.weights import channel_axes
from jaxcompress.quantization._curvature import Curvature, Wanted, curvature, is_float
from jaxcompress.quantization._step_sizes import equal_damage
from jaxcompress.quantization.damages import Damage
from jaxcompress.trace.inputs import as_inputs
from jaxcompress.trees import PyTree, Scope, in_scope, named_leaves

_WIDEST = 4096  # of tables: their curvature is a matrix of the width
_LEAST = 1 / 16  # of the mean: other data may need the channels that these hardly need
_CHANNEL_BITS = 16  # that the step size of a channel takes in a file, about


class Bends(NamedTuple):
    """What the curvature of the damage adds to moments of inputs.

    Attributes:
        moments: of each part of the data, with those of tables.
        relative: step sizes of channels relative to that of their tensor, by path.
        channels: what errors of channels do, by all data.
        missing: why there is no curvature; empty if there is.
    """

    moments: tuple[Moments, Moments]
    relative: dict[str, np.ndarray]
    channels: dict[str, np.ndarray]
    missing: str = ""

    def of_all(self, path: str, step_sizes: Any) -> float:
        """Return how much more damage a tensor does than on these data, 1 at least.

        Steps `s` are right for channels that matter by `q = s^-2 / sum(s^-2)`. These data may not
        need them so: then errors do `sum(q s^2) / sum(p s^2)` of the damage by these data, in which
        channels matter by `p`. A table of words has rows that these data did not read.

        Args:
            path: of the tensor.
            step_sizes: of its channels, relative to one another.

        Example:
            >>> found = Bends((Moments({}, {}),) * 2, {}, {"t": np.array([[3.0], [0.0]])})
            >>> round(found.of_all("t", np.array([[1.0], [2.0]])), 6)
            1.6
        """
        channels = self.channels.get(path)
        if channels is None or channels.shape != np.shape(step_sizes):
            return 1.0
        squares = np.square(np.asarray(step_sizes, np.float64))
        here = float(np.sum(channels * squares))
        if here <= 0:
            return 1.0
        return max(squares.size / float(np.sum(1 / squares)) * float(channels.sum()) / here, 1.0)


def bends(
    apply: Callable[..., PyTree],
    params: PyTree,
    parts: tuple[Sequence[PyTree], Sequence[PyTree]],
    moments: tuple[Moments, Moments],
    *,
    damage: Damage,
    scope: Scope,
) -> Bends:
    """Return moments with those of tables, and step sizes of channels.

    Args:
        apply: `apply(params, *inputs)`.
        params: dense.
        parts: two parts of the batches.
        moments: of the inputs, by each part.
        damage: from outputs and exact outputs to a number.
        scope: which tensors.

    Example:
        >>> from jaxcompress.quantization.damages import relative_error
        >>> from jaxcompress.trees import kernels
        >>> apply, params = lambda p, i: p["t"][i], {"t": np.eye(2, dtype=np.float32)}
        >>> none, parts = Moments({}, {}), ([np.array([0, 1])], [np.array([1, 1])])
        >>> found = bends(
        ...     apply, params, parts, (none, none), damage=relative_error, scope=kernels
        ... )
        >>> list(found.moments[0].layers), found.missing
        (['t'], '')
    """
    axes = channel_axes(apply, params, *as_inputs(parts[0][0]))
    of = _wanted(params, moments, axes, scope)
    found = []
    for seed, batches in enumerate(parts if of.channels else ()):
        some = curvature(apply, params, batches, damage, of, seed=seed)
        if isinstance(some, str):
            return Bends(moments, {}, {}, some)
        found.append(some)
    if not found:
        return Bends(moments, {}, {})
    one, two = (with_tables(params, each, some) for each, some in zip(moments, found, strict=True))
    channels = {path: found[0].channels[path] + found[1].channels[path] for path in of.channels}
    return Bends((one, two), channel_step_sizes(params, *found), channels)


def _wanted(
    params: PyTree,
    moments: Sequence[Moments],
    axes: Mapping[str, tuple[int, ...]],
    scope: Scope,
) -> Wanted:
    """Return which tensors have rows of one curvature, and which have channels.

    Tables are tensors of floating-point numbers without moments, if they are no wider than 4096.
    """
    named, tables, channels = named_leaves(params), [], {}
    for path, leaf, pick in zip(named.paths, named.leaves, in_scope(named, scope), strict=True):
        shape, own = np.shape(leaf), [path in each.layers for each in moments]
        if not pick or len(shape) < 2 or not is_float(leaf) or 0 in shape:
            continue
        if not any(own) and 1 < shape[-1] <= _WIDEST:
            tables.append(path)
            channels[path] = tuple(range(len(shape) - 1))
        elif all(own) and 0 < len(axes.get(path, ())) < len(shape):
            channels[path] = axes[path]
    return Wanted(tuple(tables), channels)


def with_tables(params: PyTree, moments: Moments, found: Curvature) -> Moments:
    """Return moments with the curvature of tables: a row is a channel, its entries are its inputs.

    Example:
        >>> params = {"t": np.ones((3, 2), np.float32)}
        >>> found = Curvature({"t": np.array([[2.0, 1.0], [1.0, 2.0]])}, {})
        >>> (layer,) = with_tables(params, Moments({}, {}), found).layers["t"]
        >>> layer.entries.tolist(), layer.gram.round(6).tolist()
        ([[[0, 2, 4], [1, 3, 5]]], [[[2.0, 1.0], [1.0, 2.0]]])
    """
    named = named_leaves(params)
    shapes = dict(zip(named.paths, map(np.shape, named.leaves), strict=True))
    tables = {
        path: [Layer(_entries(shapes[path]), psd(matrix)[None])]
        for path, matrix in found.rows.items()
        if np.trace(matrix) > 0
    }
    left_out = {path: why for path, why in moments.left_out.items() if path not in tables}
    return Moments(moments.layers | tables, left_out)


def _entries(shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    numbers = np.arange(size, dtype=np.int32 if size < 2**31 else np.int64)
    return numbers.reshape(1, -1, shape[-1]).transpose(0, 2, 1)


def channel_step_sizes(params: PyTree, one: Curvature, two: Curvature) -> dict[str, np.ndarray]:
    """Return step sizes of channels relative to that of their tensor, where they save bytes.

    At a number of bits channels do the least damage together where each does as much: steps of
    `c^(-1/2)` for a curvature `c`. A part of it is spread over all channels alike, the part that
    makes other data likeliest. So `(log2 mean(c) - mean(log2 c)) / 2` bits a weight are saved.

    Args:
        params: dense.
        one: curvature by some data.
        two: by other data.

    Example:
        >>> params = {"w": np.ones((400, 2), np.float32)}
        >>> found = Curvature({}, {"w": np.array([[1.0, 16.0]])})
        >>> channel_step_sizes(params, found, found)
        {'w': array([[2. , 0.5]])}
    """
    named = named_leaves(params)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    steps = {}
    for path in one.channels:
        first, second = (np.maximum(each.channels[path], 0.0) for each in (one, two))
        both = first + second
        if not (first.any() and second.any()):
            continue
        part = likeliest_part(first.ravel(), second.ravel())
        part /= 2 - part  # `both` are twice as many data
        spread = np.maximum((1 - part) * both / both.mean() + part, _LEAST)
        saved = (np.log2(spread.mean()) - np.log2(spread).mean()) / 2
        if saved * np.count_nonzero(on_host(leaves[path])) > _CHANNEL_BITS * both.size:
            steps[path] = equal_damage(spread)
    return steps
