"""Settings and numbers in words."""

from collections.abc import Mapping
from typing import Any


def words_of(settings: Mapping[str, Any] | str) -> str:
    """Return settings in words.

    Example:
        >>> words_of({"step_size": 0.25, "sparsity": 0.5}), words_of({"keep": True})
        ('step size 0.25, sparsity 0.5', 'exactly as it is')
    """
    if isinstance(settings, str) or settings.get("keep"):
        return "exactly as it is"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())


def number(value: float) -> str:
    """Return a number with three digits, whole ones from 1000 on.

    Example:
        >>> number(12345.6), number(0.01234)
        ('12,346', '0.0123')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def short(value: float) -> float:
    """Return a number with four digits, as settings have them.

    Example:
        >>> short(0.123456)
        0.1235
    """
    return float(f"{value:.4g}")
