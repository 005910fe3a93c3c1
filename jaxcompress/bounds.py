"""Numbers refused at the boundary: fractions, sizes and counts, in or out of their bounds.

check_clusters     an integer in 1 to 1024
check_fraction     a fraction that is kept, in (0, 1]
check_removed      a fraction of units that are removed, in [0, 1)
check_size         a number of bytes, as 400KB or 250000
check_sparsity     a fraction of weights that are removed, in [0, 1)
check_temperature  0.001 to 10 000
"""

import math
import re
from fractions import Fraction
from numbers import Integral
from typing import Any

import numpy as np

__all__ = [
    "check_clusters",
    "check_fraction",
    "check_removed",
    "check_size",
    "check_sparsity",
    "check_temperature",
]

MOST_CLUSTERS = 1024
_COLDEST, _HOTTEST = 1e-3, 1e4
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|k|m|g|ki|mi|gi)b?")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def check_sparsity(name: str, sparsity: Any) -> float:
    """Return `sparsity` as a float.

    Raises:
        ValueError: it is not a fraction in [0, 1).
        TypeError: it is not a number.

    Example:
        >>> check_sparsity("kernel", 0.9)
        0.9
        >>> check_sparsity("kernel", 90)
        Traceback (most recent call last):
        ValueError: kernel: sparsity must be in [0, 1), got 90; pass the fraction ...
    """
    no_number = f"{name}: sparsity must be a number in [0, 1), got {sparsity!r}; pass a fraction."
    if isinstance(sparsity, str) or np.shape(sparsity) != ():
        raise TypeError(no_number)
    try:
        fraction = float(sparsity)
    except (TypeError, ValueError):
        raise TypeError(no_number) from None
    if not 0 <= fraction < 1:
        raise ValueError(
            f"{name}: sparsity must be in [0, 1), got {sparsity}; "
            "pass the fraction of weights to remove, not a percentage."
        )
    return fraction


def check_positive(name: str, value: Any, remedy: str) -> float:
    """Return `value` as a float.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not finite and above 0.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = None
    if number is None or isinstance(value, str | bytes | bool) or np.shape(value) != ():
        raise TypeError(f"{name}: must be a number above 0, got {value!r}; {remedy}.")
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name}: must be finite and above 0, got {value}; {remedy}.")
    return number


def check_fraction(name: str, fraction: float) -> float:
    """Return a fraction that is kept as a float.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not in (0, 1].

    Example:
        >>> check_fraction("keep", 1)
        1.0
        >>> check_fraction("keep", 0)
        Traceback (most recent call last):
        ValueError: keep: must be finite and above 0, got 0; pass the fraction to keep, ...
    """
    remedy = "pass the fraction to keep, not a percentage"
    number = check_positive(name, fraction, remedy)
    if number > 1:
        raise ValueError(f"{name}: must be in (0, 1], got {fraction}; {remedy}.")
    return number


def check_removed(name: str, fraction: float) -> float:
    """Return a fraction of units that are removed as a float.

    Raises:
        ValueError: it is not in [0, 1).
        TypeError: it is not a number.

    Example:
        >>> check_removed("remove", 0.5)
        0.5
        >>> check_removed("remove", 1)
        Traceback (most recent call last):
        ValueError: remove: must be in [0, 1), got 1; pass the fraction of units to remove, ...
    """
    try:
        return check_sparsity(name, fraction)
    except ValueError:
        raise ValueError(
            f"{name}: must be in [0, 1), got {fraction}; pass the fraction of units to remove, "
            "not a percentage, and leave at least one."
        ) from None
    except TypeError:
        raise TypeError(
            f"{name}: must be a number in [0, 1), got {fraction!r}; pass a fraction."
        ) from None


def check_temperature(name: str, temperature: Any) -> float:
    """Return a temperature as a float.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not in 0.001 to 10 000.

    Example:
        >>> check_temperature("temperature", 4)
        4.0
        >>> check_temperature("temperature", 0)
        Traceback (most recent call last):
        ValueError: temperature: must be finite and above 0, got 0; 2 to 5 is usual.
    """
    remedy = "2 to 5 is usual"
    number = check_positive(name, temperature, remedy)
    if not _COLDEST <= number <= _HOTTEST:
        raise ValueError(
            f"{name}: must be in {_COLDEST:g} to {_HOTTEST:g}, got {temperature}; {remedy}."
        )
    return number


def check_size(name: str, size: Any) -> int:
    """Return a number of bytes; KB and MB are powers of 1000, KiB and MiB of 1024.

    Args:
        name: of the argument, for errors.
        size: an integer, or text with an optional unit.

    Raises:
        TypeError: it is neither.
        ValueError: it is not above 0, or text that says something else.

    Example:
        >>> check_size("target_bytes", "1.5KiB"), check_size("target_bytes", 250_000)
        (1536, 250000)
        >>> check_size("target_bytes", "small")
        Traceback (most recent call last):
        ValueError: target_bytes: must be a size above zero, got 'small'; write 400KB, ...
    """
    rule = f"{name}: must be a size above zero, got {size!r}; write 400KB, 1.5MiB or 250000."
    if not isinstance(size, str) and not is_integer(size):
        raise TypeError(rule)
    found = _SIZE.fullmatch(str(size).strip().lower())
    count = int(Fraction(found[1]) * _UNITS[found[2]]) if found else 0
    if not count:
        raise ValueError(rule)
    return count


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer, of Python or numpy, and not a boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_clusters(k: int, *, name: str = "clusters: k") -> None:
    """Refuse a number of clusters that is not an integer in 1 to 1024.

    Raises:
        TypeError: `k` is not an integer.
        ValueError: `k` is out of range.

    Example:
        >>> check_clusters(16)
        >>> check_clusters(0)
        Traceback (most recent call last):
        ValueError: clusters: k must be in 1 to 1024, got 0; pass 16, say.
    """
    if not is_integer(k):
        raise TypeError(f"{name} must be an integer, got {k!r}; pass 16, say.")
    if not 1 <= k <= MOST_CLUSTERS:
        raise ValueError(f"{name} must be in 1 to {MOST_CLUSTERS}, got {k}; pass 16, say.")
