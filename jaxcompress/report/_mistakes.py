"""What a classifier answers otherwise than before: classes, pairs, pictures."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class _Answers(NamedTuple):
    """The content of the file, checked."""

    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    names: list[str]
    pictures: list[dict[str, Any]]


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
    labels, before, after, names, pictures = _answers(path, classes)
    samples = int(labels.size)
    better = int(np.sum((before != labels) & (after == labels)))
    worse = int(np.sum((before == labels) & (after != labels)))
    low, high = paired(better, worse, samples)
    confusions = [_confusions(labels, answers, classes) for answers in (before, after)]
    difference = confusions[1] - confusions[0]
    is_small = classes <= MOST_CLASSES
    return {
        "samples": samples,
        "changed": int(np.sum(before != after)),
        "better": better,
        "worse": worse,
        "points": {"value": 100 * (better - worse) / samples, "low": 100 * low, "high": 100 * high},
        "classes": _classes(confusions[0], confusions[1], names),
        "names": names if is_small else None,
        "confusion": difference.tolist() if is_small else None,
        "pairs": _pairs(difference, names),
        "pictures": pictures,
    }


def _answers(path: Path, classes: int) -> _Answers:
    found = arrays_of(path)
    try:
        names = json.loads(found["names"].tobytes())
        three = [found[name] for name in ("labels", "before", "after")]
        is_whole = (
            len(names) == classes
            and all(isinstance(name, str) for name in names)
            and all(
                each.shape == (three[0].size,)
                and np.issubdtype(each.dtype, np.integer)
                and 0 <= each.min() <= each.max() < classes
                for each in three
            )
        )
        if is_whole:
            return _Answers(three[0], three[1], three[2], names, _pictures(found, names))
    except (KeyError, ValueError, TypeError, IndexError):  # an empty array has no minimum
        pass
    raise ValueError(f"{path}: must be the answers of a run, got others; make it again.")


def _classes(before: np.ndarray, after: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the classes that lost most, the first first."""
    counts = before.sum(1)
    was, now = np.diagonal(before), np.diagonal(after)
    return [
        {
            "name": names[c],
            "samples": int(counts[c]),
            "right_before": int(was[c]),
            "right_after": int(now[c]),
            "difference": int(now[c] - was[c]),
        }
        for c in np.argsort(now - was, kind="stable")[:_MOST_ROWS].tolist()
    ]


def _confusions(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class (rows) got each answer (columns)."""
    places = labels.astype(np.int64) * classes + answers
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def _pairs(difference: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the confusions that became more frequent, the worst first."""
    wrong = difference.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
    found = [divmod(place, len(names)) for place in places.tolist()]
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
        answers = {name: names[int(found[name][number])] for name in ("labels", "before", "after")}
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
