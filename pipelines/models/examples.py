"""Training examples: inputs, computed once from the pictures of a dataset, and labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import numpy as np

from pipelines import features
from pipelines.data.cache import Create, cached, code_digest
from pipelines.data.dataset import Dataset, Progress, Split
from pipelines.data.parallel import in_parallel
from pipelines.models import table
from pipelines.models.classifier import Classifier
from pipelines.models.table import Inputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Inputs, an array or a dict of arrays with a row for each picture, and their labels `[n]`.

    `answers`, if any, are the logits of a teacher for the inputs without augmentation.
    """

    inputs: Inputs
    labels: np.ndarray
    answers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


class Prepared(NamedTuple):
    """The three splits of a dataset as inputs of a network."""

    train: Examples
    validation: Examples
    test: Examples


def prepare(classifier: Classifier, dataset: Dataset, progress: Progress | None = None) -> Prepared:
    """Return the inputs of a network for every picture, computed on all cores or from the cache.

    Raises:
        DataError: The cache cannot be written.
    """
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    places = (Path(features.__file__).parent, Path(table.__file__))
    key = {
        "model": classifier.model,
        "image_size": classifier.image_size,
        "code": code_digest(*places),
        "libraries": [cv2.__version__, jax.__version__, np.__version__],
    }
    return Prepared(*(_examples(classifier, *item, key, progress) for item in splits.items()))


def _examples(
    classifier: Classifier,
    name: str,
    split: Split,
    key: dict[str, object],
    progress: Progress | None,
) -> Examples:
    def compute(rows: slice) -> Inputs:
        return classifier.inputs(split.images[rows])

    like = compute(slice(0, 1))
    if isinstance(like, np.ndarray) and np.shares_memory(like, split.images):
        return Examples(inputs=split.images, labels=split.labels)  # they are inputs unchanged
    structure = jax.tree.structure(like)

    def make(create: Create) -> None:
        arrays = [
            create(f"{number:02}", (len(split), *leaf.shape[1:]), leaf.dtype)
            for number, leaf in enumerate(jax.tree.leaves(like))
        ]
        label = f"inputs, {name}"
        for rows, part in in_parallel(compute, len(split), label=label, progress=progress):
            for array, leaf in zip(arrays, jax.tree.leaves(part), strict=True):
                array[rows] = leaf

    arrays = cached("inputs", key | {"pictures": split.fingerprint}, make)
    leaves = [np.asarray(arrays[number]) for number in sorted(arrays)]
    return Examples(inputs=jax.tree.unflatten(structure, leaves), labels=split.labels)
