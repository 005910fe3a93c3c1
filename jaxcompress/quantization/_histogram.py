"""Histograms of activations that do not depend on how the data are cut into batches.

The width of a bin is a power of two and bins are aligned to zero. So merging pairs gives wider bins
exactly: `floor(floor(|x| / w) / 2) = floor(|x| / 2w)`. Each sign has bins of its own.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcompress.quantization.grids import Grid, QParams, qparams_for
from jaxcompress.quantization.ranges import Estimator, Samples, min_max

_LOG_BINS = 11
BINS = 1 << _LOG_BINS
"""Bins of each sign."""

_MANTISSA, _BIAS = 23, 127  # of float32
_LEAST = -100  # the least exponent: all powers of two here are then normal numbers


class Reading(NamedTuple):
    """Counts of the numbers of an array, taken on the device; stacked over the turns of a loop.

    Attributes:
        low: smallest number.
        high: largest number.
        zeros: how many are exactly zero.
        infinite: how many are infinite or NaN.
        exponent: the smallest `e`, from -100 on, with all `|x| < 2^e`.
        counts: `[2 * BINS]` of the bins, which are `2^e / BINS` wide, without the zeros.
    """

    low: Any
    high: Any
    zeros: Any
    infinite: Any
    exponent: Any
    counts: Any


def read(values: jax.Array) -> Reading:
    """Return the reading of an array, in float32; numbers below its normal ones count as 0.

    Example:
        >>> found = read(jnp.array([0.0, -1.0, 2.5]))
        >>> float(found.low), float(found.high), int(found.zeros), int(found.exponent)
        (-1.0, 2.5, 1, 2)
    """
    x = values.astype(jnp.float32).reshape(-1)
    magnitude = jnp.abs(x)
    # XLA treats numbers below the normal ones as 0 in some places only: here they always are.
    x = jnp.where(magnitude < jnp.finfo(jnp.float32).tiny, 0, x)
    magnitude = jnp.abs(x)
    largest = lax.bitcast_convert_type(magnitude.max(initial=0), jnp.int32) >> _MANTISSA
    exponent = jnp.maximum(largest - (_BIAS - 1), _LEAST)
    per_bin = lax.bitcast_convert_type((_LOG_BINS - exponent + _BIAS) << _MANTISSA, jnp.float32)
    bins = (magnitude * per_bin).astype(jnp.int32)  # exact, except far below the width of a bin
    place = jnp.where(x < 0, BINS - 1 - bins, BINS + bins)
    present = x != 0
    return Reading(
        low=x.min(initial=jnp.inf),
        high=x.max(initial=-jnp.inf),
        zeros=x.size - present.sum(dtype=jnp.int32),
        infinite=x.size - jnp.isfinite(x).sum(dtype=jnp.int32),
        exponent=exponent,
        counts=jnp.zeros(2 * BINS, jnp.int32).at[place].add(present.astype(jnp.int32)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """How often numbers occurred.

    Attributes:
        low: smallest number.
        high: largest number.
        zeros: how many were exactly zero; they are in no bin.
        exponent: the smallest `e`, from -100 on, with all `|x| < 2^e`.
        counts: `[2 * BINS]` numbers in each bin; bins are `width` wide, and 0 lies between the
            first `BINS` of them and the others.
    """

    low: float
    high: float
    zeros: int
    exponent: int
    counts: np.ndarray

    @property
    def width(self) -> float:
        """Width of a bin."""
        return 2.0 ** (self.exponent - _LOG_BINS)

    @property
    def count(self) -> int:
        """How many numbers there were."""
        return self.zeros + int(self.counts.sum())

    def as_json(self) -> dict[str, Any]:
        """Return all but the counts as numbers that JSON keeps to the bit."""
        return {"low": self.low, "high": self.high, "zeros": self.zeros, "exponent": self.exponent}

    def __add__(self, other: Self) -> Self:
        """Return the histogram of both."""
        exponent = max(self.exponent, other.exponent)
        return type(self)(
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            zeros=self.zeros + other.zeros,
            exponent=exponent,
            counts=_widened(self, exponent) + _widened(other, exponent),
        )

    def samples(self) -> Samples:
        """Return the middles of the bins that are not empty, and zero, as samples in one row."""
        (filled,) = np.nonzero(self.counts)
        middles = np.clip((filled - BINS + 0.5) * self.width, self.low, self.high)
        return Samples(
            values=np.append(middles, 0.0)[None],
            counts=np.append(self.counts[filled], self.zeros)[None],
            low=np.array([self.low]),
            high=np.array([self.high]),
        )

    def qparams(self, grid: Grid, estimate: Estimator = min_max) -> QParams:
        """Return the scale of a grid on the range, float32, and the zero point if it is affine.

        Args:
            grid: the integers.
            estimate: chooses the range that the grid covers.
        """
        low, high = estimate(self.samples(), grid)
        scale, zero_point = qparams_for(low, high, grid)  # in float64, where no width is too large
        scale = np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32)
        return QParams(scale[0], None if zero_point is None else zero_point[0])


NOTHING = Histogram(
    low=np.inf, high=-np.inf, zeros=0, exponent=_LEAST, counts=np.zeros(2 * BINS, np.int64)
)
"""The histogram of no numbers."""


def histogram(reading: Reading) -> Histogram:
    """Return a reading as a histogram, that of a loop with all turns together.

    Example:
        >>> found = histogram(read(jnp.array([0.0, -1.0, 2.5])))
        >>> found.low, found.high, found.count, found.width  # 2048 bins cover 0 to 4
        (-1.0, 2.5, 3, 0.001953125)
    """
    rows = [np.asarray(part).reshape(-1) for part in reading[:-1]]
    result = NOTHING
    for low, high, zeros, _, exponent, counts in zip(
        *rows, np.asarray(reading.counts, np.int64).reshape(-1, 2 * BINS), strict=True
    ):
        result += Histogram(
            low=float(low),
            high=float(high),
            zeros=int(zeros),
            exponent=int(exponent),
            counts=counts,
        )
    return result


def _widened(given: Histogram, exponent: int) -> np.ndarray:
    if exponent == given.exponent:
        return given.counts
    counts = np.zeros_like(given.counts)
    places = (np.arange(-BINS, BINS) >> min(exponent - given.exponent, _LOG_BINS)) + BINS
    np.add.at(counts, places, given.counts)
    return counts
