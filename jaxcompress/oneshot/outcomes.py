"""What became of each tensor: kept exactly and why, or changed and by how much."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.leaves import dense, is_compressed

LOST = 0.9
"""Relative error from which a tensor is lost: little more than zeros is left of it."""

IN_HALF = "in 16 bits"
"""The reason of a tensor that is not compressed, and not exact."""

SAME_AS = "the same as "
"""Begins the reason of a tensor that is stored with another one, whose path follows."""

_FEW, _MANY = 2.0**-100, 2.0**100
"""Sums of squares between which no single one matters that 32 bits cannot hold."""

_BLOCK = 1 << 13  # numbers compared at a time: BLAS starts no threads for them
_WORST = 5
_MOST_EXPONENT = 1000


class Outcome(NamedTuple):
    """What became of a tensor.

    Attributes:
        path: of the tensor.
        numbers: in it.
        kept: why it is kept exactly, `IN_HALF` if it has 16 bits, or `the same as PATH` if it is
            stored with that tensor; None if none of these.
        error_norm: `||a - b||`, with the original a; infinite if only one has NaN or infinity
            somewhere.
        norm: `||a||`.
        nans: entries that are NaN, of a tensor that is kept because it is not finite.
    """

    path: str
    numbers: int
    kept: str | None
    error_norm: float = 0.0
    norm: float = 0.0
    nans: int = 0

    @property
    def relative_error(self) -> float:
        """`||a - b|| / ||a||`; 0 if both are zero."""
        return relative(self.error_norm, self.norm)


class Treated(NamedTuple):
    """A leaf for the file, and what became of the tensor.

    Attributes:
        leaf: compressed, or the tensor; a `Repeat` of an earlier one.
        outcome: of the tensor.
    """

    leaf: Any
    outcome: Outcome


class Report(NamedTuple):
    """What became of a tree.

    Attributes:
        outcomes: of all tensors, in order.
    """

    outcomes: Sequence[Outcome]

    def __str__(self) -> str:
        """Return the relative errors, of all and of the largest, and what is kept."""
        kept = [f"{said_of(why)}: {len(outcomes)}" for why, outcomes in self.kept.items()]
        return "\n".join([*self.errors, *kept])

    @property
    def errors(self) -> list[str]:
        """Lines that say the relative error of all changed tensors, and the largest ones."""
        error = self.relative_error
        return [
            f"relative error {error:.4f}, {decibels(error):.1f} dB; the largest:",
            *(f"  {outcome.relative_error:.4f}  {outcome.path}" for outcome in self.worst),
        ]

    @property
    def changed(self) -> list[Outcome]:
        """Tensors with errors, the largest relative error first; equal tensors once."""
        changed = [o for o in self.outcomes if o.kept is None and o.error_norm]
        return sorted(changed, key=lambda outcome: -outcome.relative_error)

    @property
    def worst(self) -> list[Outcome]:
        """The five tensors of the largest relative error."""
        return self.changed[:_WORST]

    @property
    def kept(self) -> dict[str, list[Outcome]]:
        """Tensors that are kept exactly, or the same as others, by reason."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            if outcome.kept is not None:
                found.setdefault(outcome.kept, []).append(outcome)
        return found

    @property
    def repeated(self) -> list[Outcome]:
        """Tensors that are stored with others, which they equal."""
        return [outcome for outcome in self.outcomes if (outcome.kept or "").startswith(SAME_AS)]

    @property
    def relative_error(self) -> float:
        """`||a - b|| / ||a||` over the changed tensors together."""
        return error_together(self.changed)

    def check(self, place: str, max_error: float | None, *, option: str) -> None:
        """Refuse a result that is not what was wanted.

        Args:
            place: whose report it is, for the message.
            max_error: largest relative error of a tensor; None for the one from which it is lost.
            option: that allows larger errors.

        Raises:
            ValueError: most weights are NaN, or the error of tensors is too large; it lists them.
        """
        nans = sum(outcome.nans for outcome in self.outcomes)
        numbers = sum(o.numbers for o in self.outcomes if o.kept is None or o.nans)
        if 2 * nans > numbers:
            raise ValueError(
                f"{place}: weights must be finite, got NaN in {nans:,} of {numbers:,}; look for a "
                "diverged training run."
            )
        most = LOST if max_error is None else max_error
        beyond = [outcome for outcome in self.changed if not outcome.relative_error <= most]
        if beyond:
            listed = ", ".join(f"{o.path} {o.relative_error:.3g}" for o in beyond)
            raise ValueError(
                f"{place}: relative errors must be at most {most:.3g}, got larger ones in "
                f"{len(beyond)} of {len(self.changed)} tensors; compress less, leave these out, or "
                f"raise {option}: {listed}"
            )


def said_of(reason: str) -> str:
    """Return how tensors are stored for a reason."""
    return f"stored {reason}" if reason == IN_HALF else f"kept exactly, {reason}"


def relative(error_norm: float, norm: float) -> float:
    """Return the relative error of norms; infinite if only the original is zero."""
    if not error_norm:
        return 0.0
    return error_norm / norm if norm else math.inf


def error_together(outcomes: Sequence[Outcome]) -> float:
    """Return `||a - b|| / ||a||` of several tensors as if they were one."""
    return relative(
        math.hypot(*(outcome.error_norm for outcome in outcomes)),
        math.hypot(*(outcome.norm for outcome in outcomes)),
    )


def decibels(relative_error: float) -> float:
    """Return the signal-to-noise ratio of a relative error, `-20 log10(error)`, in dB.

    Example:
        >>> decibels(0.1)
        20.0
    """
    return -20 * math.log10(relative_error) if relative_error else math.inf


def outcome_of(path: str, tensor: np.ndarray, leaf: Any) -> Outcome:
    """Compare a tensor with the leaf that replaces it.

    Example:
        >>> outcome_of("w", np.array([[3.0, 4.0]]), np.array([[3.0, 3.0]])).relative_error
        0.2
    """
    leaf = jax.tree.map(np.asarray, leaf) if is_compressed(leaf) else leaf  # nothing to compile
    flat, other = (_real(np.asarray(part)) for part in (tensor, dense({path: leaf})[path]))
    wide = np.float32 if flat.dtype.itemsize <= 4 and flat.dtype.kind not in "iu" else np.float64
    unit, (error, square) = 1.0, _squares(flat, other, wide)
    least = 0.0
    is_known = _FEW < error < _MANY or (not error and _are_equal(flat, other))
    if not is_known or not _FEW < square < _MANY:
        unit = _unit(flat, other)
        error, square = _squares(flat, other, np.float64, unit)
        least = 0.0 if error else _difference(flat, other)  # beside larger numbers its square is 0
    if not math.isfinite(error):
        return Outcome(path, tensor.size, None, math.inf, math.sqrt(square) / unit)
    norms = math.sqrt(error), math.sqrt(square)
    if math.isinf(max(norms) / unit):  # no number holds the norms: their ratio counts
        return Outcome(path, tensor.size, None, *norms)
    return Outcome(path, tensor.size, None, max(norms[0] / unit, least), norms[1] / unit)


def _squares(
    flat: np.ndarray, other: np.ndarray, wide: Any, unit: float = 1.0
) -> tuple[float, float]:
    """Return the sums of squares of error and original."""
    error = square = 0.0
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        with np.errstate(invalid="ignore", over="ignore"):
            a, b = (part[block].astype(wide) for part in (flat, other))
            if unit != 1:
                a, b = a * unit, b * unit
            off = a - b
        sums = float(np.vdot(off, off)), float(np.vdot(a, a))
        if not all(map(math.isfinite, sums)):  # infinities or NaN that agree are no error
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            off, a = np.where(same, 0, off), np.where(np.isfinite(a), a, 0)
            sums = float(np.vdot(off, off)), float(np.vdot(a, a))
        error, square = error + sums[0], square + sums[1]
    return error, square


def _are_equal(flat: np.ndarray, other: np.ndarray) -> bool:
    """Return whether all bits are equal, as those of most tensors that are kept exactly."""
    bits = f"u{flat.dtype.itemsize}"
    return flat.dtype == other.dtype and np.array_equal(flat.view(bits), other.view(bits))


def _difference(flat: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of numbers that are not equal, 0 if all are."""
    places = (flat != other) & ~(np.isnan(flat) & np.isnan(other))
    if not places.any():
        return 0.0
    with np.errstate(over="ignore"):
        largest = float(np.abs(flat[places].astype(np.float64) - other[places]).max())
    return max(largest, 1.0) if flat.dtype.kind in "iu" else largest  # 64 bits lose small ones


def treated(path: str, tensor: np.ndarray, leaf: Any) -> Treated:
    """Return a leaf that replaces a tensor, and their distance.

    Example:
        >>> treated("w", np.array([[3.0, 4.0]]), np.array([[3.0, 3.0]])).outcome.numbers
        2
    """
    return Treated(leaf, outcome_of(path, tensor, leaf))


def kept_of(path: str, tensor: np.ndarray, pruned: np.ndarray, leaf: Any, why: str) -> Treated:
    """Return a leaf that loses nothing of a tensor, or of what pruning left of it.

    Example:
        >>> tensor = np.zeros((2, 2))
        >>> kept_of("w", tensor, tensor, tensor, "few values").outcome.kept
        'few values'
    """
    if pruned is tensor:
        return Treated(leaf, Outcome(path, tensor.size, why))
    return treated(path, tensor, leaf)


def _real(array: np.ndarray) -> np.ndarray:
    """Return the numbers of an array in a row, parts of complex numbers as two."""
    flat: np.ndarray = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.kind == "c":
        return flat.view(np.dtype(f"f{flat.dtype.itemsize // 2}"))
    return flat.astype(np.uint8) if flat.dtype.kind == "b" else flat


def _unit(*arrays: np.ndarray) -> float:
    """Return the power of two that brings the largest finite number near 1."""
    largest = max(
        float(np.abs(array).max(initial=0, where=np.isfinite(array))) if array.size else 0.0
        for array in arrays
    )
    return math.ldexp(1.0, min(-math.frexp(largest)[1], _MOST_EXPONENT)) if largest else 1.0
