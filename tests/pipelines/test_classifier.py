"""What a compressed file says of its network: there and back; all else is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.resize import resized
from pipelines.models import MODELS
from pipelines.models.classifier import Classifier


def classifier(model, **other):
    known = MODELS[model]
    fields = {
        "model": model,
        "classes": ("Äpfel", "pear 2"),
        "image_size": known.image_sizes[0],
        "branches": known.branches,
        "picture_size": 100,
        "data": "folder",
        "notice": "a stand-in",
    }
    return Classifier(**(fields | other))


@pytest.mark.parametrize("model", MODELS)
def test_there_and_back(model):
    for size in MODELS[model].image_sizes:
        original = classifier(model, image_size=size)
        assert Classifier.from_metadata(json.loads(json.dumps(original.as_metadata()))) == original


def test_there_and_back_with_some_branches():
    original = classifier("fruits", branches=("shape", "colour"), notice="", classes=("one",))
    assert Classifier.from_metadata(original.as_metadata()) == original


def test_metadata_by_hand():
    assert classifier("lenet-5").as_metadata() == {
        "model": "lenet-5",
        "classes": ["Äpfel", "pear 2"],
        "image_size": 32,
        "branches": [],
        "picture_size": 100,
        "data": "folder",
        "notice": "a stand-in",
    }


@pytest.mark.slow
def test_sizes_travel_with_the_file():
    small = classifier("resnet20", sizes={"widths": [4, 8, 9], "blocks": 1})
    metadata = json.loads(json.dumps(small.as_metadata()))
    assert metadata["sizes"] == {"widths": [4, 8, 9], "blocks": 1}
    found = Classifier.from_metadata(metadata)
    assert found == small
    params, stats = found.blank()
    assert {f"block{i}" for i in (1, 2, 3)} == {name for name in params if "block" in name}
    assert params["classify"]["kernel"].shape == (9, 2)
    found.check(params, stats)
    with pytest.raises(ValueError, match="block"):
        classifier("resnet20").check(params, stats)


WRONG_SIZES = {
    "widths": [0, 16, "ab", None, {}, [16, 32], [16, 32, 64, 64], [16, 32, 65], [16, 32, 0]],
    "blocks": [0, -1, 4, 10**30, 1.0, True, "1", [1], None],
    "classes": [2],
    "\x1b[2J": [1],
}


@pytest.mark.parametrize("field", WRONG_SIZES)
def test_sizes_that_no_student_has_are_refused_before_anything_is_built(field):
    plain = classifier("resnet20").as_metadata()
    for value in [*WRONG_SIZES[field], [[[16]], 32, 64], [16, 32, True], [16.0, 32, 64]]:
        with pytest.raises(ValueError, match="must be ") as refused:
            Classifier.from_metadata(plain | {"sizes": {"widths": [1, 1, 1], field: value}})
        assert str(refused.value).isprintable()


FRUITS, LENET = (classifier(model).as_metadata() for model in ("fruits", "lenet-5"))
WRONG = {
    "model": [None, 5, "resnet", "FRUITS", "", ["fruits"], {"fruits": 1}, "lenet-5"],
    "classes": [None, [], "ab", 2, {"a": 1}, ["a", 1], ["a", None], [["a"]], [True]],
    "image_size": [None, 47, 0, -48, 104, 32.5, 48.0, "48", True, [48], {}, 10**30, float("nan")],
    "branches": [None, [], "picture", ["smell"], ["picture", "smell"], ["shape", 1], {"shape": 1}],
    "picture_size": [None, 1, -100, 5000, 100.0, "100", True, [100]],
    "data": [None, 1, ["folder"]],
    "notice": [None, 1, ["a stand-in"], False],
    "sizes": [None, 1, [], {}, "widths", ["widths"]],
}


@pytest.mark.parametrize("field", WRONG)
def test_wrong_values_are_refused(field):
    for value in WRONG[field]:
        refused(FRUITS | {field: value})


def refused(metadata):
    with pytest.raises(ValueError, match="^its metadata describe no classifier$"):
        Classifier.from_metadata(metadata)


@pytest.mark.parametrize("field", [name for name in WRONG if name != "sizes"])
def test_every_field_is_needed(field):
    refused({name: value for name, value in FRUITS.items() if name != field})


def test_nothing_else_is_taken():
    for metadata in ({}, {"classes": []}, FRUITS | {"version": 1}, FRUITS | {"net": 1}):
        refused(metadata)


def test_what_suits_one_model_does_not_suit_another():
    refused(LENET | {"branches": ["picture"]})
    refused(LENET | {"image_size": 48})
    refused(FRUITS | {"image_size": 32, "model": "cifar"})


NAMES = st.sampled_from(["", "a", "hidden", "shape", "colour", "fruits", "cifar", "\n"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from([*FRUITS, "sizes", "other"]), JSON),
    st.sampled_from([FRUITS, LENET]),
)
def test_any_json_is_a_classifier_or_refused(changes, start):
    metadata = start | changes
    try:
        found = Classifier.from_metadata(metadata)
    except ValueError:
        return
    assert found.as_metadata() == metadata


# Images of one size


def test_images_of_that_size_come_back_as_they_are():
    images = np.zeros((2, 5, 5, 3), np.uint8)
    assert resized(images, 5) is images


def test_shrinking_averages():
    blocks = np.array([[10, 20], [30, 200]], np.uint8)
    offsets = np.array([[-4, 4], [8, -8]])
    image = np.kron(blocks, np.ones((2, 2))) + np.tile(offsets, (2, 2))
    images = np.repeat(image.astype(np.uint8)[None, :, :, None], 3, axis=-1)
    np.testing.assert_array_equal(resized(images, 2)[0], np.stack([blocks] * 3, axis=-1))


@pytest.mark.parametrize(("height", "width"), [(3, 3), (9, 4), (4, 9), (1, 8)])
def test_a_constant_stays_at_any_size(height, width):
    images = np.full((2, height, width, 3), (1, 128, 255), np.uint8)
    for side in (1, 6, 8):
        found = resized(images, side)
        assert found.shape == (2, side, side, 3) and (found == images[0, 0, 0]).all()


def test_one_channel_stays_an_axis():
    assert resized(np.zeros((0, 4, 4, 1), np.uint8), 2).shape == (0, 2, 2, 1)
    assert resized(np.ones((3, 4, 4, 1), np.uint8), 2).tolist() == np.ones((3, 2, 2, 1)).tolist()
