"""Rendered fruit: 131 kinds drawn by a program, for machines without Fruits-360.

Seeded, without any file of pictures; no measure of anything made for Fruits-360. A kind is an
outline, a palette and a skin, and none of these tells it: what looks at one of them alone must
fail. Every picture shows another fruit.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from pipelines.data.cache import Create, cached, code_digest
from pipelines.data.dataset import DataError, Dataset, Progress, Split, check_limit
from pipelines.data.parallel import in_parallel
from pipelines.data.rendered.kinds import COUNT, Kind, kinds
from pipelines.data.rendered.picture import SIDE, draw

NOTICE = "rendered stand-in, not Fruits-360: fruit drawn by a program"

_SEED = 171_200_580
_SIZES = {"train": 150 * COUNT, "validation": 10 * COUNT, "test": 30 * COUNT}


def load(
    data_dir: Path | None, progress: Progress | None = None, limit: int | None = None
) -> Dataset:
    """Draw the fruit, or take them from the cache.

    Args:
        data_dir: Must be None; there is nothing to read from a folder.
        progress: Told how many are drawn.
        limit: Draw only this many for training, of all kinds in turn.

    Raises:
        DataError: A folder was given, the limit is too large, or the cache cannot be written.
    """
    if data_dir is not None:
        raise DataError(f"{data_dir}: rendered fruit are drawn; leave out --data-dir")
    check_limit(limit, _SIZES["train"], name="rendered_fruits")
    sizes = _SIZES if limit is None else _SIZES | {"train": limit}
    found = kinds()
    train, validation, test = (_split(part, found, sizes[part], progress) for part in _SIZES)
    return Dataset(
        name="rendered_fruits",
        source="drawn by pipelines/data/rendered",
        classes=tuple(kind.name for kind in found),
        train=train,
        validation=validation,
        test=test,
        notice=NOTICE,
        nature=NOTICE,
    )


def _split(part: str, found: tuple[Kind, ...], count: int, progress: Progress | None) -> Split:
    key = {
        "part": part,
        "count": count,
        "seed": _SEED,
        "code": code_digest(Path(__file__).parent),
        "libraries": [cv2.__version__, np.__version__],
    }

    def make(create: Create) -> None:
        images = create("images", (count, SIDE, SIDE, 3), np.uint8)
        drawing = partial(_draw, found, list(_SIZES).index(part))
        for rows, drawn in in_parallel(drawing, count, label=f"{part} fruit", progress=progress):
            images[rows] = drawn

    images = cached("rendered", key, make)["images"]
    return Split(images=images, labels=np.arange(count, dtype=np.int32) % len(found))


def _draw(found: tuple[Kind, ...], part: int, rows: slice) -> np.ndarray:
    """Return pictures; each depends on its number and part alone."""
    numbers = range(rows.start, rows.stop)
    drawn = [
        draw(found[number % len(found)], np.random.default_rng([_SEED, part, number]))
        for number in numbers
    ]
    return np.stack(drawn)
