"""From a picture to the array that a network takes: a few steps, as data."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxcompress.bounds import is_integer

_COLOURS, _LAYOUTS = ("rgb", "grey"), ("nhwc", "nchw")
_FITS = STRETCHED, PADDED = "stretch", "pad"
"""How pictures of other proportions get the size; the rest of a padded one is white."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)


def _are_numbers(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and len(value) in (1, 3) and all(map(_is_number, value))
    return _is_number(value)


def _is_size(value: Any) -> bool:
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    return is_pair and all(is_integer(n) and 1 <= n <= 1 << 14 for n in value)


STEPS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "size": (_is_size, "height and width, [32, 32], say"),
    "fit": (lambda value: value in _FITS, " or ".join(_FITS)),
    "colour": (lambda value: value in _COLOURS, " or ".join(_COLOURS)),
    "scale": (_is_number, "a factor, 1 / 255, say"),
    "mean": (_are_numbers, "a number, or three"),
    "std": (_are_numbers, "a number, or three"),
    "layout": (lambda value: value in _LAYOUTS, " or ".join(_LAYOUTS)),
}
"""Steps in their order, with what each may be."""


def checked(steps: Mapping[str, Any]) -> dict[str, Any]:
    """Return steps in their order, as JSON.

    Raises:
        ValueError: a step that there is not, or a value that it cannot have.
    """
    for name, value in steps.items():
        if name not in STEPS:
            raise ValueError(
                f"preprocessing: must be of {', '.join(STEPS)}, got {name!r}; leave it out."
            )
        is_valid, words = STEPS[name]
        if not is_valid(value):
            raise ValueError(f"preprocessing: {name} must be {words}, got {value!r}; correct it.")
    if "std" in steps and not np.all(np.asarray(steps["std"])):
        raise ValueError("preprocessing: std must not be 0, got one; correct it.")
    if "size" not in steps:
        raise ValueError("preprocessing: must say the size, got none; pass [height, width].")
    return {
        name: list(steps[name]) if isinstance(steps[name], tuple) else steps[name]
        for name in STEPS
        if name in steps
    }


def prepared(pictures: np.ndarray, steps: Mapping[str, Any]) -> np.ndarray:
    """Return pictures of the right size as a network takes them.

    Args:
        pictures: uint8 `[n, height, width, 3]`.
        steps: from `checked`; their `size` is that of the pictures.

    Example:
        >>> steps = checked({"size": (1, 1), "scale": 1 / 255, "mean": 0.5, "layout": "nchw"})
        >>> prepared(np.full((1, 1, 1, 3), 255, np.uint8), steps).tolist()
        [[[[0.5]], [[0.5]], [[0.5]]]]
    """
    x = pictures.astype(np.float32)
    if steps.get("colour") == "grey":
        x = x.mean(axis=-1, keepdims=True)
    x = x * np.float32(steps.get("scale", 1.0))
    x = (x - np.float32(steps.get("mean", 0.0))) / np.float32(steps.get("std", 1.0))
    return np.moveaxis(x, -1, 1) if steps.get("layout") == "nchw" else x
