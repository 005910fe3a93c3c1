"""What a network learns from: pictures as they are, or inputs computed once and kept."""

import dataclasses

import numpy as np
import pytest

from nets.fruits_fusion import BRANCHES
from pipelines.data.cache import code_digest
from pipelines.data.dataset import Dataset, Split
from pipelines.models import examples
from pipelines.models import table as models
from pipelines.models.classifier import Classifier
from pipelines.models.examples import prepare
from tests.helpers import archives


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)


@pytest.fixture
def extracted(monkeypatch):
    """How many pictures features were computed of, call by call."""
    counts, extract = [], models.extract

    def counting(pictures, side):
        counts.append(len(pictures))
        return extract(pictures, side)

    monkeypatch.setattr(models, "extract", counting)
    return counts


def dataset(side, seed=0, counts=(3, 3, 3)):
    train, validation, test = (
        Split(images=images, labels=labels.astype(np.int32))
        for number, count in enumerate(counts)
        for images, labels in [archives.some(count, shape=(side, side, 3), seed=10 * seed + number)]
    )
    splits = {"train": train, "validation": validation, "test": test}
    return Dataset(name="folder", source="here", classes=("a", "b", "c"), **splits)


def classifier(model, image_size):
    branches = models.MODELS[model].branches
    names = {"classes": ("a", "b", "c"), "branches": branches, "data": "folder"}
    return Classifier(model=model, image_size=image_size, picture_size=100, **names)


FRUITS = classifier("fruits", 16)


def test_pictures_that_are_the_inputs_are_neither_copied_nor_cached(tmp_path):
    data = dataset(32)
    prepared = prepare(classifier("lenet-5", 32), data)
    assert prepared.train.inputs is data.train.images
    assert prepared.test.labels is data.test.labels and len(prepared.validation) == 3
    assert not (tmp_path / "cache").exists()


def test_pictures_of_another_size_are_shrunk_once(tmp_path):
    data = dataset(100, counts=(5, 2, 1))
    small = classifier("lenet-5", 32)
    inputs = prepare(small, data).train.inputs
    assert inputs.shape == (5, 32, 32, 3) and inputs.dtype == np.uint8
    np.testing.assert_array_equal(inputs[4:], small.inputs(data.train.images[4:]))
    assert len(list(tmp_path.glob("cache/inputs/*/"))) == 3


def test_features_are_those_of_each_picture():
    data, said = dataset(100), []
    prepared = prepare(FRUITS, data, lambda *words: said.append(words))
    assert said == [(f"inputs, {part}", 3, 3) for part in ("train", "validation", "test")]
    for split, found in zip((data.train, data.validation, data.test), prepared, strict=True):
        assert found.inputs.keys() == set(BRANCHES)
        assert found.labels is split.labels
        for row in range(3):
            for name, expected in FRUITS.inputs(split.images[row : row + 1]).items():
                assert found.inputs[name].dtype == expected.dtype
                np.testing.assert_array_equal(found.inputs[name][row : row + 1], expected)


def test_the_second_time_they_come_from_the_cache(extracted):
    first = prepare(FRUITS, dataset(100))
    assert sum(extracted) == 3 * (1 + 3)  # one picture of each part tells shapes and dtypes
    del extracted[:]
    second = prepare(FRUITS, dataset(100))
    assert extracted == [1, 1, 1]
    for name, rows in first.train.inputs.items():
        np.testing.assert_array_equal(rows, second.train.inputs[name])


def test_branches_share_what_was_computed(extracted):
    prepare(FRUITS, dataset(100))
    del extracted[:]
    prepare(dataclasses.replace(FRUITS, branches=("shape",)), dataset(100))
    assert extracted == [1, 1, 1]


CHANGES = {
    "image size": lambda patch: {"classifier": classifier("fruits", 24)},
    "data": lambda patch: {"data": dataset(100, seed=1)},
    "code of the features": lambda patch: patch.setattr(examples, "code_digest", lambda *_: "new"),
    "OpenCV": lambda patch: patch.setattr(examples.cv2, "__version__", "99.0"),
    "JAX": lambda patch: patch.setattr(examples.jax, "__version__", "99.0"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_else_decides_them_computes_them_again(change, extracted, monkeypatch):
    same = {"classifier": FRUITS, "data": dataset(100)}
    prepare(same["classifier"], same["data"])
    del extracted[:]
    other = same | (CHANGES[change](monkeypatch) or {})
    prepare(other["classifier"], other["data"])
    assert sum(extracted) == 3 * (1 + 3)


def test_the_code_is_that_of_all_that_computes_inputs(monkeypatch):
    digested = []
    monkeypatch.setattr(
        examples, "code_digest", lambda *places: (digested.extend(places), code_digest(*places))[1]
    )
    prepare(classifier("lenet-5", 32), dataset(50, counts=(1, 1, 1)))
    assert [place.name for place in digested] == ["features", "table.py"]
