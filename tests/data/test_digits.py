import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.data import DataError, load
from pipelines.data.digits import enlarge
from tests.helpers import archives


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)


def test_sizes_and_kinds():
    data = load("digits")
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [1_077, 180, 540]
    for split in splits:
        assert split.images.shape[1:] == (32, 32, 3) and split.images.dtype == np.uint8
        assert split.labels.dtype == np.int32 and set(split.labels.tolist()) == set(range(10))
    assert data.source == "embedded in scikit-learn" and data.notice == ""
    assert data.train.images.max() == 255 and data.train.images.min() == 0


def test_splits_hold_every_digit_once_whatever_the_global_seed():
    from sklearn.datasets import load_digits

    np.random.seed(7)
    data = load("digits")
    rows = np.concatenate([data.train.images, data.validation.images, data.test.images])
    expected = enlarge(load_digits().images)
    assert sorted(row.tobytes() for row in rows) == sorted(row.tobytes() for row in expected)
    np.random.seed(8)
    assert load("digits").fingerprint == data.fingerprint


def test_enlarging_by_hand():
    small = np.zeros((1, 8, 8), int)
    small[0, 0, 0] = 16
    channel = enlarge(small)[0, :, :, 0]
    # Outputs 0..5 lie at inputs -3/8, -1/8, 1/8, 3/8, 5/8, 7/8; those below 0 are the edge.
    weights = [1, 1, 7 / 8, 5 / 8, 3 / 8, 1 / 8]
    np.testing.assert_array_equal(channel[0, :7], [255, 255, 223, 159, 96, 32, 0])
    np.testing.assert_allclose(channel[:6, :6], 255 * np.outer(weights, weights), atol=0.5)
    assert not channel[6:].any() and not channel[:, 6:].any()


def test_enlarging_keeps_constants_and_symmetry():
    for value, expected in ((0, 0), (8, 128), (16, 255)):
        assert (enlarge(np.full((1, 8, 8), value)) == expected).all()
    small = np.random.default_rng(0).integers(0, 17, (3, 8, 8))
    large = enlarge(small)
    np.testing.assert_array_equal(enlarge(small[:, ::-1]), large[:, ::-1])
    np.testing.assert_array_equal(enlarge(small.swapaxes(1, 2)), large.swapaxes(1, 2))
    assert (large == large[..., :1]).all()


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="leave out --data-dir"):
        load("digits", data_dir=tmp_path)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install -e '\.\[run\]'"):
        load("digits")


def test_auto_without_a_network_is_loudly_digits():
    data = load("auto")
    assert data.name == "digits" and data.fingerprint == load("digits").fingerprint
    assert data.notice == (
        "CIFAR-10 was not found and nobody answered: using scikit-learn's digits (1 797 real 8x8"
        " images enlarged to 32x32x3). These are NOT CIFAR-10 results."
    )
    assert load("auto", limit=10).notice == data.notice


def test_cifar10_without_a_network_never_falls_back(tmp_path):
    with pytest.raises(DataError) as caught:
        load("cifar10")
    for words in ("nobody answered", "https://www.cs", "c4a38c50", str(tmp_path / "cache")):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_importing_the_package_is_light():
    code = "import sys, pipelines.data; print(*sys.modules)"
    root = Path(__file__).parents[2]
    imported = subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True).split()
    assert "numpy" in imported
    assert not {"jax", "flax", "sklearn", "tensorflow_datasets"} & set(imported)
