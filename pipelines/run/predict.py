"""Classes of picture files, by the network of a compressed file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from scipy.special import softmax

import jaxcompress as jc
from pipelines.data.dataset import DataError
from pipelines.data.pictures import Unreadable, read_picture
from pipelines.models.classifier import Classifier
from pipelines.models.train import make_logits

BATCH = 64


class Guess(NamedTuple):
    """A class and its probability, from 0 to 1."""

    name: str
    probability: float


class Prediction(NamedTuple):
    """The guesses for one picture.

    Attributes:
        path: of the picture.
        guesses: the most probable first; empty for a picture that cannot be read.
        fault: why it cannot be read, one line; else empty.
    """

    path: Path
    guesses: tuple[Guess, ...]
    fault: str = ""


class Predictor:
    """The network of a compressed file, ready for pictures.

    Args:
        weights: a file that `run.py` wrote.

    Raises:
        DataError: the file holds no network of this program.
        ArtifactError: the file is damaged, or of another format.
        OSError: it cannot be read.
    """

    def __init__(self, weights: Path) -> None:
        tree = jc.load(weights)
        try:
            self.classifier = Classifier.from_metadata(jc.inspect(weights)["metadata"])
            self._params, self._stats = tree["params"], tree.get("stats", {})
            self.classifier.check(self._params, self._stats)
            found = self._params, self._stats
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found)):
                raise ValueError("numbers that are not finite")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{weights}: holds no network of run.py ({error}); pass a compressed.npz"
            ) from None
        self._logits = make_logits(self.classifier.net, self.classifier.view, BATCH)

    def predict(self, paths: Sequence[Path], most: int) -> Iterator[Prediction]:
        """Yield the `most` probable classes of each picture, in order."""
        for start in range(0, len(paths), BATCH):
            yield from self._batch(paths[start : start + BATCH], most)

    def _batch(self, paths: Sequence[Path], most: int) -> Iterator[Prediction]:
        pictures, faults = [], []
        for path in paths:
            try:
                pictures.append(read_picture(path, self.classifier.picture_size))
                faults.append("")
            except Unreadable as error:
                faults.append(str(error))
        rows = iter(self._probabilities(pictures))
        for path, fault in zip(paths, faults, strict=True):
            if fault:
                yield Prediction(path, (), fault)
                continue
            row = next(rows)
            best = np.argsort(-row, kind="stable")[:most]
            names = self.classifier.classes
            yield Prediction(path, tuple(Guess(names[i], float(row[i])) for i in best))

    def _probabilities(self, pictures: list[np.ndarray]) -> np.ndarray:
        """Return probabilities `[n, classes]`."""
        if not pictures:
            return np.empty((0, len(self.classifier.classes)))
        inputs = self.classifier.inputs(np.stack(pictures))
        return softmax(self._logits(self._params, self._stats, inputs).astype(np.float64), axis=1)
