"""Pictures per CPU-second of each kind of feature, and of local binary patterns by NumPy.

taskset -c 0 python -m benchmarks.features
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from benchmarks.features.table import FEATURES
from benchmarks.lib.record import write
from benchmarks.lib.timing import interleaved, ratio
from pipelines.features import colour, edges, extract, foreground, shape, texture

SIZE, COUNT = 100, 64  # pixels; pictures in one call, as the pipelines have
SIDES = (100, 48, 32)
ROUNDS = 101


def blobs(rng: np.random.Generator) -> np.ndarray:
    """Return grainy ellipses of random colours, through JPEG, on white: uint8 `[n, h, w, 3]`."""
    pictures = np.full((COUNT, SIZE, SIZE, 3), 255, np.uint8)
    for picture in pictures:
        axes = rng.integers(SIZE // 4, SIZE * 9 // 20, 2).tolist()
        mask = np.zeros((SIZE, SIZE), np.uint8)
        angle = int(rng.integers(180))
        cv2.ellipse(mask, (SIZE // 2, SIZE // 2), axes, angle, 0, 360, 255, cv2.FILLED)
        grain = rng.integers(20, 230, 3) + rng.normal(0, 6, picture.shape)
        picture[mask > 0] = np.clip(grain, 0, 255)[mask > 0]
        _, encoded = cv2.imencode(".jpg", picture)
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert decoded is not None
        picture[:] = decoded
    return pictures


def numpy_patterns(grey: np.ndarray) -> np.ndarray:
    """Return what `texture.codes` does, by NumPy on the whole batch."""
    height, width = grey.shape[1:]
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    code = np.zeros_like(grey)
    corners = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    for bit, (top, left) in enumerate(corners):
        neighbour = padded[:, top : top + height, left : left + width]
        code |= (neighbour >= grey).astype(np.uint8) << bit
    return code


def main() -> None:
    """Measure everything and write it down."""
    cv2.setNumThreads(1)
    pictures = blobs(np.random.default_rng(0))
    grey = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures])
    objects = foreground.objects(pictures)
    assert np.array_equal(texture.codes(grey), numpy_patterns(grey))

    calls: dict[str, Callable[[], Any]] = {
        "texture": lambda: texture.codes(grey),
        "texture by NumPy": lambda: numpy_patterns(grey),
        "edges": lambda: edges.maps(grey),
        "foreground": lambda: foreground.objects(pictures),
        "shape": lambda: shape.vectors(objects.contours, (SIZE, SIZE)),
        "colour": lambda: colour.vectors(pictures, objects.masks),
    }
    for side in SIDES:
        calls[f"all, side {side}"] = lambda side=side: extract(pictures, side)

    seconds = interleaved(calls, ROUNDS, time.process_time)
    figures = {
        "size": SIZE,
        "batch_size": COUNT,
        "opencv": cv2.__version__,
        "pictures_per_cpu_second": {
            name: round(COUNT / statistics.median(times)) for name, times in seconds.items()
        },
        "texture_times_numpy": ratio(seconds, "texture", "texture by NumPy"),
    }
    print(write(FEATURES, seeds=[0], figures=figures).read_text())
