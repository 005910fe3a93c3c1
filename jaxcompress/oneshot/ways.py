"""Ways to compress one tensor, by name, and the settings of one."""

import dataclasses
import math
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.leaves import LowRank, Quantized
from jaxcompress.lowrank import by_ratio, low_rank
from jaxcompress.metrics import root_mean_square
from jaxcompress.oneshot._exact import MOST_VALUES
from jaxcompress.oneshot.outcomes import outcome_of
from jaxcompress.quantization import (
    MOST_BITS,
    Estimator,
    Granularity,
    few_digits,
    min_max,
    per_best_axis,
    per_block,
    per_channel,
    quantize,
    relative_step,
    usual_range,
)
from jaxcompress.sharing import entropy_constrained, high_rate_weight, kmeans, uniform
from jaxcompress.sharing.magnitudes import usual
from jaxcompress.trees import everything

STEP_SIZE = 0.1
"""The default step size, in root mean squares of a channel."""

AXES = {"auto": None, "first": 0, "last": -1}
"""Axes of outputs by name; that of `auto` is measured."""

_FEWEST_BITS, _AFFINE_BITS = 2, 5

_LARGE_ERROR, _BLOCK = 0.012, 64
"""Relative error of a tensor of 8 bits from which it has blocks, and their weights."""

_SAMPLE = 1 << 14
_NORMAL = 1.4826  # of a normal number: its standard deviation in median magnitudes
_LOST = 0.9  # of the weights of a channel

_FINE, _COARSER, _MOST_STEPS = 4 / 127, 1.3, 1 << 15
"""Steps below which 8 bits hold few weights; by how much the error may be larger than that of such
steps; and the most steps that a codebook holds instead."""


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """How a tensor is compressed.

    Attributes:
        way: a key of `WAYS`.
        value: of the parameter of the way.
        axis: a key of `AXES`.
        block: most weights of a channel that share a grid; None for all.
        keep_low_rank: fraction of the parameters that factors have; None for no factors.
        most_bits: for `mixed`, of a weight.
        symmetric: whether the grids of blocks have no zero point either; those of channels have
            none in any case.
    """

    way: str
    value: Any
    axis: str = "auto"
    block: int | None = None
    keep_low_rank: float | None = None
    most_bits: int = MOST_BITS
    symmetric: bool = False

    def leaf(self, path: str, tensor: np.ndarray, usual_axis: int = -1) -> Any:
        """Return the compressed leaf of a tensor.

        Args:
            path: of the tensor, for errors.
            tensor: finite numbers.
            usual_axis: of its outputs, by the convention of where it comes from.
        """
        if self.keep_low_rank is not None:
            found = low_rank(
                {path: tensor}, ranks=by_ratio(keep=self.keep_low_rank), scope=everything
            )
            if isinstance(product := found[path], LowRank):
                factors = tuple(self._apply(path, np.asarray(f), -1) for f in product.factors)
                return LowRank(factors=factors, equation=product.equation)
        return self._apply(path, tensor, usual_axis)

    def finer(self, factor: float) -> "Treatment":
        """Return the treatment with a step size that is smaller by a factor, if it has one."""
        if not self.has_steps:
            return self
        return dataclasses.replace(self, value=self.value / factor)

    @property
    def has_steps(self) -> bool:
        """Whether its value is a step size."""
        return WAYS[self.way].parameter == "step_size"

    @property
    def is_coarse(self) -> bool:
        """Whether its steps are coarser than usual: then a tensor of few values may have fewer."""
        return self.has_steps and self.value > STEP_SIZE

    @property
    def can_be_finer(self) -> bool:
        """Whether finer steps make the error as small as wanted."""
        return self.has_steps and self.keep_low_rank is None

    @property
    def exact_values(self) -> int:
        """Most values beside zero of a tensor that is better kept exactly."""
        if self.way in ("grid", "mixed"):
            return 1 << (self.value if self.way == "grid" else self.most_bits)
        return self.value if self.way == "kmeans" else MOST_VALUES

    def _apply(self, path: str, tensor: np.ndarray, usual_axis: int) -> Any:
        return WAYS[self.way].apply(path, tensor, self, usual_axis)


class Way(NamedTuple):
    """A way to compress one tensor.

    Attributes:
        summary: one line for `--help`.
        parameter: the option of its fineness.
        default: value of the parameter; None if there is none.
        apply: from path, tensor, treatment and usual axis to the leaf.
        is_shared: whether all channels share values.
    """

    summary: str
    parameter: str
    default: Any
    apply: Callable[[str, np.ndarray, Treatment, int], Any]
    is_shared: bool = False


def _relative(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Any:
    root = root_mean_square([tensor])
    magnitudes = np.abs(tensor.reshape(-1)[:: max(tensor.size // _SAMPLE, 1)]).astype(np.float64)
    unit = usual(root, magnitudes)
    if unit != root:  # outliers beyond any grid: a codebook reaches all of them
        rate_weight = high_rate_weight(treatment.value * unit)
        return entropy_constrained({path: tensor}, rate_weight, scope=everything)[path]
    if treatment.value >= _FINE:
        granularity = _granularity(tensor, treatment, usual_axis)
        leaf = _rounded(path, tensor, MOST_BITS, granularity, relative_step(treatment.value))
        error = outcome_of(path, tensor, leaf).relative_error
        if error <= _COARSER * treatment.value / math.sqrt(12) and not _wipes_out(tensor, leaf):
            return leaf
    # A grid of 8 bits does not reach so far in such steps; a codebook does. Outliers do not count.
    positive = magnitudes[magnitudes > 0]
    root = min(root, _NORMAL * float(np.median(positive))) if positive.size else root
    largest = float(np.abs(tensor).max(initial=0))
    step_size = max(treatment.value * root, 2 * largest / _MOST_STEPS)
    return uniform({path: tensor}, step_size, scope=everything)[path]


def _wipes_out(tensor: np.ndarray, leaf: Quantized) -> bool:
    """Return whether most weights of a channel become zero beside an outlier."""
    apart = tuple(axis for axis, count in enumerate(leaf.scale.shape) if count == 1)
    lost = np.count_nonzero((np.asarray(leaf.values) == 0) & (tensor != 0), axis=apart)
    return bool((lost > _LOST * np.count_nonzero(tensor, axis=apart)).any())


def _grid(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Any:
    """Round to a grid.

    A block of few weights has more of them on one side of zero, which a zero point uses. With 8
    bits, channels with outliers get blocks where their error would be large.
    """
    bits = treatment.value
    granularity = _granularity(tensor, treatment, usual_axis)
    if treatment.block is None or treatment.symmetric or not _FEWEST_BITS <= bits <= _AFFINE_BITS:
        leaf = _rounded(path, tensor, bits, granularity, usual_range)
        if bits < MOST_BITS or treatment.block is not None:
            return leaf
        if outcome_of(path, tensor, leaf).relative_error <= _LARGE_ERROR:
            return leaf
        return _grid(path, tensor, dataclasses.replace(treatment, block=_BLOCK), usual_axis)
    return _rounded(path, tensor, bits, granularity, min_max, symmetric=False)


def _rounded(
    path: str,
    tensor: np.ndarray,
    bits: int,
    granularity: Granularity,
    estimate: Estimator,
    *,
    symmetric: bool = True,
) -> Any:
    return quantize(
        {path: tensor},
        bits,
        symmetric=symmetric,
        granularity=granularity,
        estimate=few_digits(estimate),
        scope=everything,
    )[path]


def _mixed(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Any:
    """Round to as many bits as steps of a size need, which is relative to the weights.

    The path decides which of equal tensors have a bit more, so that sizes between are reached too.
    """
    unit = root_mean_square([tensor]) * 2.0 ** (zlib.crc32(path.encode()) / 2**32 - 0.5)
    levels = 2 * float(np.abs(tensor).max()) / (treatment.value * unit)
    bits = min(max(math.ceil(math.log2(max(levels, 1))), _FEWEST_BITS), treatment.most_bits)
    return _grid(path, tensor, dataclasses.replace(treatment, value=bits), usual_axis)


def _kmeans(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Any:
    del usual_axis
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fewer than the .* clusters")
        return kmeans({path: tensor}, treatment.value, scope=everything)[path]


def _uniform(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Any:
    del usual_axis
    step_size = treatment.value * root_mean_square([tensor])
    return uniform({path: tensor}, step_size, scope=everything)[path]


def _entropy(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Any:
    del usual_axis
    rate_weight = high_rate_weight(treatment.value * root_mean_square([tensor]))
    return entropy_constrained({path: tensor}, rate_weight, scope=everything)[path]


def _granularity(tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Granularity:
    axis = AXES[treatment.axis]
    channels = per_best_axis(usual=usual_axis) if axis is None else per_channel(axis)
    if treatment.block is None:
        return channels
    own = next(
        (a for a, count in enumerate(channels("", tensor)) if count > 1), usual_axis % tensor.ndim
    )
    return _blocks(tensor.shape, own, treatment.block) or channels


def _blocks(shape: tuple[int, ...], own: int, size: int) -> Granularity | None:
    """Return the granularity of blocks of a channel; None if a tensor has no other axis.

    Blocks lie along the longest other axis, the inputs. Axes after it are within blocks, as the
    window of a convolution is. Axes before it and the channels have blocks of their own if those
    are full, as the directions of an LSTM have.

    Args:
        shape: of the tensor.
        own: axis of the channels.
        size: of a block.
    """
    others = [axis for axis in range(len(shape)) if axis != own]
    if not others:
        return None
    along = max(others, key=lambda axis: shape[axis])
    apart = [axis for axis in others if axis < min(own, along)] if shape[along] >= size else []
    within = math.prod(shape[axis] for axis in others if axis not in (along, *apart))
    return per_block(max(size // within, 1), axis=along, channels=per_channel((own, *apart)))


WAYS: dict[str, Way] = {
    "relative": Way(
        "steps of --step-size root mean squares of each channel", "step_size", STEP_SIZE, _relative
    ),
    "grid": Way("a grid of --bits for each channel", "bits", 8, _grid),
    "kmeans": Way(
        "least squared error for --clusters values a tensor",
        "clusters",
        16,
        _kmeans,
        is_shared=True,
    ),
    "uniform": Way(
        "multiples of --step-size root mean squares", "step_size", None, _uniform, is_shared=True
    ),
    "entropy": Way(
        "least squared error and bits together, as fine as --step-size",
        "step_size",
        None,
        _entropy,
        is_shared=True,
    ),
    "mixed": Way("grids of up to --bits, as fine as a step size", "step_size", None, _mixed),
}
"""All ways by name."""

NAMED = tuple(name for name in WAYS if name != "mixed")
"""Ways that one can ask for; `mixed` only aims at a size."""
