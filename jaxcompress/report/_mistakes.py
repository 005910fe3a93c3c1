"""What a classifier answers otherwise than before: classes, pairs, pictures."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.report._arrays import arrays_of
from jaxcompress.report._intervals import paired
from jaxcompress.report._png import png

ANSWERS = "answers.npz"
"""The file of a run with its answers: `labels`, `before`, `after`, `numbers`, `pictures`, `names`.

The first three have a class for each test sample; `numbers` are the samples of `pictures`, uint8
`[n, h, w, 3]`; `names` is JSON, the name of each class.
"""

MOST_CLASSES = 20
"""Classes of a table of confusions; of more the pairs that changed most are listed."""

_MOST_ROWS = 20
_MOST_SIDE = 64  # pixels


def mistakes_of(path: Path, classes: int) -> dict[str, Any] | None:
    """Return which answers changed; None where the run kept none.

    Args:
        path: of the file with the answers.
        classes: how many.

    Raises:
        ValueError: it is no such file.
        OSError: it cannot be read.
    """
    if not path.exists():
        return None
    found = arrays_of(path)
    try:
        names = json.loads(found["names"].tobytes())
        labels, before, after = (found[name] for name in ("labels", "before", "after"))
        is_whole = (
            labels.shape == before.shape == after.shape
            and labels.ndim == 1
            and labels.size > 0
            and all(np.issubdtype(each.dtype, np.integer) for each in (labels, before, after))
            and all(each.min() >= 0 and each.max() < classes for each in (labels, before, after))
            and len(names) == classes
            and all(isinstance(name, str) for name in names)
        )
        pictures = _pictures(found, names)
    except (KeyError, ValueError, TypeError, IndexError):
        is_whole, pictures = False, []
    if not is_whole:
        raise ValueError(f"{path}: must be the answers of a run, got others; make it again.")
    before, after = (_confusions(labels, each, classes) for each in (before, after))
    difference = after - before
    right, samples = (np.diagonal(each) for each in (before, after)), int(labels.size)
    was, now = (each.astype(int) for each in right)
    answers = found["before"] == labels, found["after"] == labels
    better, worse = int(np.sum(~answers[0] & answers[1])), int(np.sum(answers[0] & ~answers[1]))
    low, high = paired(better, worse, samples)
    counts = before.sum(1)
    order = np.lexsort((np.arange(classes), now - was))
    return {
        "samples": samples,
        "changed": int(np.sum(found["before"] != found["after"])),
        "better": better,
        "worse": worse,
        "points": {"value": 100 * (better - worse) / samples, "low": 100 * low, "high": 100 * high},
        "classes": [
            {
                "name": names[c],
                "samples": int(counts[c]),
                "right_before": int(was[c]),
                "right_after": int(now[c]),
                "difference": int(now[c] - was[c]),
            }
            for c in order[:_MOST_ROWS].tolist()
        ],
        "names": names if classes <= MOST_CLASSES else None,
        "confusion": difference.tolist() if classes <= MOST_CLASSES else None,
        "pairs": _pairs(difference, names),
        "pictures": pictures,
    }


def _confusions(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class (rows) got each answer (columns)."""
    places = labels.astype(np.int64) * classes + answers
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def _pairs(difference: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the confusions that became more frequent, the worst first."""
    wrong = difference.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
    found = zip(*np.unravel_index(places, wrong.shape), strict=True)
    return [
        {"label": names[a], "answer": names[b], "more": int(wrong[a, b])}
        for a, b in found
        if wrong[a, b] > 0
    ]


def _pictures(found: dict[str, np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
    told = []
    for number, picture in zip(found["numbers"].tolist(), found["pictures"], strict=True):
        step = -(-max(picture.shape[:2]) // _MOST_SIDE)
        image = png(picture[::step, ::step])
        answers = {name: names[found[name][number]] for name in ("labels", "before", "after")}
        told.append(
            {
                "sample": number,
                "label": answers["labels"],
                "before": answers["before"],
                "after": answers["after"],
                "png": base64.b64encode(image).decode(),
            }
        )
    return told
