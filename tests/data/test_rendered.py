"""Rendered fruit: 131 kinds that no single part tells, drawn from nothing but their numbers."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from pipelines.data import DataError, rendered
from pipelines.data import load as load_any
from pipelines.data.rendered import load
from pipelines.data.rendered.kinds import COUNT, kinds
from pipelines.data.rendered.picture import draw
from tests.helpers import archives

SIZES = {"train": 140, "validation": 5, "test": 9}


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(rendered, "_SIZES", SIZES)


@pytest.fixture
def drawn(monkeypatch):
    """The kinds that were drawn."""
    found = []
    monkeypatch.setattr(rendered, "draw", lambda *words: (found.append(words[0]), draw(*words))[1])
    return found


# Kinds


def test_as_many_kinds_as_fruits360_has_sorted_by_name():
    names = [kind.name for kind in kinds()]
    assert len(names) == len(set(names)) == COUNT == 131
    assert names == sorted(names) and names[0] == "amber banded ball"


@pytest.mark.parametrize("part", ["outline", "palette", "skin"])
def test_no_part_tells_the_kind(part):
    bearers = Counter(getattr(kind, part) for kind in kinds())
    assert min(bearers.values()) >= 6 and max(bearers.values()) <= 20


def test_outline_and_palette_are_borne_by_two_kinds_each():
    pairs = Counter((kind.outline, kind.palette) for kind in kinds())
    assert sorted(pairs.values()) == [1] + 65 * [2]


def test_every_skin_is_as_frequent_as_every_other():
    assert set(Counter(kind.skin for kind in kinds()).values()) == {16, 17}


# Pictures


def test_a_fruit_on_white():
    for number, kind in enumerate(kinds()):
        picture = draw(kind, np.random.default_rng(number))
        assert picture.dtype == np.uint8 and picture.shape == (100, 100, 3)
        assert (picture[::99, ::99] == 255).all()  # the corners
        fruit = (picture < 255).any(axis=-1)
        assert 0.1 < fruit.mean() < 0.85 and fruit[50, 50]
        assert np.abs(np.argwhere(fruit).mean(axis=0) - 49.5).max() < 12


def test_each_picture_is_of_another_fruit():
    data = load(None)
    pictures = [image.tobytes() for split in parts(data) for image in split.images]
    assert len(set(pictures)) == len(pictures) == sum(SIZES.values())


def parts(data):
    return data.train, data.validation, data.test


@pytest.mark.slow
def test_a_picture_depends_on_its_number_alone():
    test = load(None).test.images
    backwards = [rendered._draw(kinds(), 2, slice(n, n + 1))[0] for n in reversed(range(9))]
    np.testing.assert_array_equal(np.stack(backwards[::-1]), test)
    program = """if True:
        import sys
        from pipelines.data.rendered import _draw, kinds
        sys.stdout.buffer.write(_draw(kinds(), 2, slice(3, 5)).tobytes())
    """
    found = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert found.stdout == test[3:5].tobytes()


# Loading


def test_kinds_take_turns():
    data = load(None)
    assert data.name == "rendered_fruits" and len(data.classes) == 131
    assert data.classes[1] == kinds()[1].name
    assert [len(split) for split in parts(data)] == list(SIZES.values())
    assert data.train.labels.tolist() == [*range(131), *range(9)]
    assert data.test.labels.tolist() == list(range(9)) and data.test.labels.dtype == np.int32


def test_it_says_that_it_stands_in():
    assert load(None, limit=1).notice.startswith("rendered stand-in, not Fruits-360")


def test_a_limit_draws_the_first():
    whole, limited = load(None), load(None, limit=7)
    np.testing.assert_array_equal(limited.train.images, whole.train.images[:7])
    assert limited.train.labels.tolist() == list(range(7))
    assert limited.classes == whole.classes  # also those of which there is no picture
    np.testing.assert_array_equal(limited.test.images, whole.test.images)


def test_the_second_time_nothing_is_drawn(drawn):
    said = []
    first = load(None, lambda *words: said.append(words), limit=70)
    assert len(drawn) == 84 and isinstance(first.train.images, np.memmap)
    assert said[:2] == [("train fruit", 64, 70), ("train fruit", 70, 70)]
    assert said[2:] == [("validation fruit", 5, 5), ("test fruit", 9, 9)]
    assert load(None, limit=70).fingerprint == first.fingerprint and len(drawn) == 84
    load(None, limit=3)
    assert len(drawn) == 84 + 3  # the other parts are there


@pytest.mark.parametrize("change", ["code", "opencv"])
def test_another_program_draws_again(change, drawn, monkeypatch):
    load(None, limit=1)
    if change == "code":
        monkeypatch.setattr(rendered, "code_digest", lambda folder: "changed")
    else:
        monkeypatch.setattr(rendered.cv2, "__version__", "99.0")
    load(None, limit=1)
    assert len(drawn) == 2 * 15


def test_a_limit_beyond_the_training_pictures():
    with pytest.raises(DataError, match="at most the 140 training images of rendered_fruits, got"):
        load_any("rendered_fruits", limit=141)


def test_there_is_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match=f"^{tmp_path}: .* are drawn; leave out --data-dir$"):
        load(tmp_path)
