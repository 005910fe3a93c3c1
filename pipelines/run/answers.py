"""The answers of the network before and after, kept for the report."""

import io
import json
from pathlib import Path

import numpy as np

from jaxcompress.artifact import open_regular, write_atomically
from jaxcompress.report import ANSWERS
from pipelines.data import Dataset

_PICTURES = 12
_BEFORE, _AFTER = "baseline", "reloaded"


def keep_answers(folder: Path, stage: str, answers: np.ndarray, dataset: Dataset) -> None:
    """Write the answers of the first network, and later those of the last one beside them.

    With the latter come a dozen test pictures that got another answer, those first that are wrong
    now. Answers of other stages are not kept.

    Args:
        folder: of the run.
        stage: whose network answered.
        answers: a class for each test picture.
        dataset: with the test pictures.
    """
    path, given = folder / ANSWERS, answers.astype(np.uint16)
    labels = dataset.test.labels.astype(np.uint16)
    if stage == _BEFORE:
        names = np.frombuffer(json.dumps(dataset.classes).encode(), np.uint8)
        _write(path, {"labels": labels, "before": given, "names": names})
    elif stage == _AFTER and path.exists():
        known = _read(path)
        if known.keys() < {"labels", "before", "names"} or known["before"].shape != given.shape:
            return
        changed = np.flatnonzero(known["before"] != given)
        order = np.argsort(given[changed] == labels[changed], kind="stable")
        numbers = changed[order][:_PICTURES]
        _write(
            path,
            {name: known[name] for name in ("labels", "before", "names")}
            | {"after": given, "numbers": numbers, "pictures": dataset.test.images[numbers]},
        )


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return what was kept, nothing of a file that a person has changed."""
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError):
        return {}


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())
