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
from jaxcompress.oneshot._channels import channels_of
from jaxcompress.oneshot._exact import MOST_VALUES
from jaxcompress.oneshot.outcomes import Treated, treated
from jaxcompress.quantization import (
    MOST_BITS,
    Estimator,
    Granularity,
    balance_rounding,
    few_digits,
    min_max,
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
        sparsity: fraction of the weights of all tensors of a rule that is removed before; None if
            they are ranked with the others.
        layout: how codes are packed; None for that of the file.
    """

    way: str
    value: Any
    axis: str = "auto"
    block: int | None = None
    keep_low_rank: float | None = None
    most_bits: int = MOST_BITS
    symmetric: bool = False
    sparsity: float | None = None
    layout: str | None = None

    def treat(self, path: str, tensor: np.ndarray, usual_axis: int = -1) -> Treated:
        """Return the compressed leaf of a tensor, and their distance.

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
                factors = tuple(
                    self._apply(path, np.asarray(factor), -1).leaf for factor in product.factors
                )
                return treated(path, tensor, LowRank(factors=factors, equation=product.equation))
        return self._apply(path, tensor, usual_axis)

    def outputs(self, usual_axis: int) -> int:
        """Return the axis of the outputs, where no other is usual."""
        named = AXES[self.axis]
        return usual_axis if named is None else named

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

    def _apply(self, path: str, tensor: np.ndarray, usual_axis: int) -> Treated:
        return WAYS[self.way].apply(path, tensor, self, usual_axis)


class Way(NamedTuple):
    """A way to compress one tensor.

    Attributes:
        summary: one line for `--help`.
        parameter: the option of its fineness.
        default: value of the parameter; None if there is none.
        apply: from path, tensor, treatment and usual axis to the leaf and its distance.
        is_shared: whether all channels share values.
    """

    summary: str
    parameter: str
    default: Any
    apply: Callable[[str, np.ndarray, Treatment, int], Treated]
    is_shared: bool = False


def _relative(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Treated:
    root = root_mean_square([tensor])
    magnitudes = np.abs(tensor.reshape(-1)[:: max(tensor.size // _SAMPLE, 1)]).astype(np.float64)
    unit = usual(root, magnitudes)
    if unit != root:  # outliers beyond any grid: a codebook reaches all of them
        rate_weight = high_rate_weight(treatment.value * unit)
        shared = entropy_constrained({path: tensor}, rate_weight, scope=everything)
        return treated(path, tensor, shared[path])
    if treatment.value >= _FINE:
        axis = treatment.outputs(usual_axis)
        granularity = channels_of(tensor, AXES[treatment.axis], treatment.block, usual_axis)
        found = _rounded(path, tensor, MOST_BITS, granularity, relative_step(treatment.value), axis)
        error, most = found.outcome.relative_error, _COARSER * treatment.value / math.sqrt(12)
        if error <= most and not _wipes_out(tensor, found.leaf):
            return found
    # A grid of 8 bits does not reach so far in such steps; a codebook does. Outliers do not count.
    positive = magnitudes[magnitudes > 0]
    root = min(root, _NORMAL * float(np.median(positive))) if positive.size else root
    largest = float(np.abs(tensor).max(initial=0))
    step_size = max(treatment.value * root, 2 * largest / _MOST_STEPS)
    return treated(path, tensor, uniform({path: tensor}, step_size, scope=everything)[path])


def _wipes_out(tensor: np.ndarray, leaf: Quantized) -> bool:
    """Return whether most weights of a channel become zero beside an outlier."""
    apart = tuple(axis for axis, count in enumerate(leaf.scale.shape) if count == 1)
    lost = np.count_nonzero((np.asarray(leaf.values) == 0) & (tensor != 0), axis=apart)
    return bool((lost > _LOST * np.count_nonzero(tensor, axis=apart)).any())


def _grid(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Treated:
    """Round to a grid.

    A block of few weights has more of them on one side of zero, which a zero point uses. With 8
    bits, channels with outliers get blocks where their error would be large.
    """
    bits, axis = treatment.value, treatment.outputs(usual_axis)
    granularity = channels_of(tensor, AXES[treatment.axis], treatment.block, usual_axis)
    if treatment.block is None or treatment.symmetric or not _FEWEST_BITS <= bits <= _AFFINE_BITS:
        found = _rounded(path, tensor, bits, granularity, usual_range, axis)
        if bits < MOST_BITS or treatment.block is not None:
            return found
        if found.outcome.relative_error <= _LARGE_ERROR:
            return found
        return _grid(path, tensor, dataclasses.replace(treatment, block=_BLOCK), usual_axis)
    return _rounded(path, tensor, bits, granularity, min_max, axis, symmetric=False)


def _rounded(
    path: str,
    tensor: np.ndarray,
    bits: int,
    granularity: Granularity,
    estimate: Estimator,
    axis: int,
    *,
    symmetric: bool = True,
) -> Treated:
    rounded = quantize(
        {path: tensor},
        bits,
        symmetric=symmetric,
        granularity=granularity,
        estimate=few_digits(estimate),
        scope=everything,
    )
    return treated(path, tensor, balance_rounding({path: tensor}, rounded, axis=axis)[path])


def _mixed(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Treated:
    """Round to as many bits as steps of a size need, which is relative to the weights.

    The path decides which of equal tensors have a bit more, so that sizes between are reached too.
    """
    unit = root_mean_square([tensor]) * 2.0 ** (zlib.crc32(path.encode()) / 2**32 - 0.5)
    levels = 2 * float(np.abs(tensor).max()) / (treatment.value * unit)
    bits = min(max(math.ceil(math.log2(max(levels, 1))), _FEWEST_BITS), treatment.most_bits)
    return _grid(path, tensor, dataclasses.replace(treatment, value=bits), usual_axis)


def _kmeans(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Treated:
    del usual_axis
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fewer than the .* clusters")
        shared = kmeans({path: tensor}, treatment.value, scope=everything)
    return treated(path, tensor, shared[path])


def _uniform(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Treated:
    del usual_axis
    step_size = treatment.value * root_mean_square([tensor])
    return treated(path, tensor, uniform({path: tensor}, step_size, scope=everything)[path])


def _entropy(path: str, tensor: np.ndarray, treatment: Treatment, usual_axis: int) -> Treated:
    del usual_axis
    rate_weight = high_rate_weight(treatment.value * root_mean_square([tensor]))
    shared = entropy_constrained({path: tensor}, rate_weight, scope=everything)
    return treated(path, tensor, shared[path])


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
