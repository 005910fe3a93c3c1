"""Colour of an object as a vector: how hue, saturation and value are distributed over it."""

import cv2
import numpy as np

_HUES, _LEVELS = 180, 256  # of OpenCV, which counts hue in steps of two degrees
_HUE_BINS, _SATURATION_BINS, _VALUE_BINS = 16, 8, 8

NAMES = (
    *(f"hue_{number}" for number in range(_HUE_BINS)),
    *(f"saturation_{number}" for number in range(_SATURATION_BINS)),
    *(f"value_{number}" for number in range(_VALUE_BINS)),
    *("hue_cosine", "hue_sine", "hue_deviation"),
    *("saturation_mean", "saturation_deviation"),
    *("value_mean", "value_deviation"),
)

_ANGLES = np.arange(_HUES) * (2 * np.pi / _HUES)
_COSINES, _SINES = np.cos(_ANGLES), np.sin(_ANGLES)
_SHARES = np.arange(_LEVELS) / (_LEVELS - 1)


def vectors(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Measure the colours of objects.

    - Histograms over 16 bins of hue (11 or 12 of OpenCV's 180 steps each), 8 of saturation and 8 of
      value, each with the sum 1. Bin 0 of hue starts at red.
    - Hue is an angle: its mean as `C = mean(cos hue)` and `S = mean(sin hue)`, and its angular
      deviation `sqrt(2 (1 - sqrt(C^2 + S^2)))`, which is that of a line while it is small and at
      most `sqrt(2)`.
    - Mean and standard deviation of saturation and value, from 0 to 1.

    A grey pixel has no hue; it counts as red here, as OpenCV has it, and its saturation tells.

    Args:
        pictures: RGB, uint8 `[n, h, w, 3]`.
        masks: uint8 `[n, h, w]`, not 0 on the object; without one a vector is zeros.

    Returns:
        float32 `[n, len(NAMES)]`, in the order of `NAMES`.

    Source: Smith, "Color gamut transform pairs", SIGGRAPH 1978 (HSV); Batschelet, "Circular
        Statistics in Biology", 1981 (angular deviation).
    """
    hue, saturation, value = _distributions(pictures, masks)
    columns = np.concatenate(
        [
            _binned(hue, _HUE_BINS),
            _binned(saturation, _SATURATION_BINS),
            _binned(value, _VALUE_BINS),
            _circular(hue),
            _linear(saturation),
            _linear(value),
        ],
        axis=-1,
    )
    return columns.astype(np.float32)


def _distributions(pictures: np.ndarray, masks: np.ndarray) -> list[np.ndarray]:
    """Return fractions of each hue, saturation and value in each object, float64 `[n, levels]`."""
    levels = (_HUES, _LEVELS, _LEVELS)
    counts = [np.zeros((len(pictures), size)) for size in levels]
    for place, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        for channel, size in enumerate(levels):
            histogram = cv2.calcHist([hsv], [channel], mask, [size], [0, size])
            counts[channel][place] = histogram.ravel()
    return [count / np.maximum(count.sum(-1, keepdims=True), 1) for count in counts]


def _binned(fractions: np.ndarray, bins: int) -> np.ndarray:
    levels = fractions.shape[-1]
    starts = -(-levels * np.arange(bins) // bins)  # a level lies in bin `level * bins // levels`
    return np.add.reduceat(fractions, starts, axis=-1)


def _circular(fractions: np.ndarray) -> np.ndarray:
    # Sums of rows, and no matrix product, which would round differently in other batches.
    cosine, sine = (fractions * _COSINES).sum(-1), (fractions * _SINES).sum(-1)
    deviation = np.sqrt(2 * np.maximum(1 - np.hypot(cosine, sine), 0))
    there = fractions.any(-1)  # without an object there is no deviation either
    return np.stack([cosine, sine, deviation * there], axis=-1)


def _linear(fractions: np.ndarray) -> np.ndarray:
    mean = (fractions * _SHARES).sum(-1, keepdims=True)
    variance = (fractions * (_SHARES - mean) ** 2).sum(-1, keepdims=True)
    return np.concatenate([mean, np.sqrt(variance)], axis=-1)
