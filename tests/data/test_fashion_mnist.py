import gzip
import struct

import numpy as np
import pytest

from pipelines.data import DataError, fashion_mnist, load
from pipelines.data.dataset import split_training
from tests.helpers import archives

TRAIN = archives.some(12, shape=(28, 28), seed=3)
TEST = archives.some(5, shape=(28, 28), seed=4)
FILES = archives.idx_files(TRAIN, TEST)
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)


def assert_is_ours(data):
    training, validation = split_training(12, origin="")
    for split, images, labels in (
        (data.train, TRAIN[0][training], TRAIN[1][training]),
        (data.validation, TRAIN[0][validation], TRAIN[1][validation]),
        (data.test, *TEST),
    ):
        padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
        np.testing.assert_array_equal(split.images, np.stack([padded] * 3, axis=-1))
        np.testing.assert_array_equal(split.labels, labels)
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int32


def refusal(folder, **replaced):
    archives.write_folder(folder, FILES | {f"{k}.gz": v for k, v in replaced.items()})
    with pytest.raises(DataError) as caught:
        load("fashion_mnist", data_dir=folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


def test_gzipped_files(tmp_path):
    data = load("fashion_mnist", data_dir=archives.write_folder(tmp_path, FILES))
    assert_is_ours(data)
    assert data.source == str(tmp_path) and len(data.classes) == 10 and data.notice == ""


def test_plain_files(tmp_path):
    plain = {name.removesuffix(".gz"): gzip.decompress(raw) for name, raw in FILES.items()}
    assert_is_ours(load("fashion_mnist", data_dir=archives.write_folder(tmp_path, plain)))


def test_the_system_folder_comes_before_the_cache(tmp_path, monkeypatch):
    archives.write_folder(tmp_path / "cache" / "fashion-mnist", FILES)
    assert_is_ours(load("fashion_mnist"))
    system = tmp_path / "system"
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", system)
    archives.write_folder(system, FILES)
    assert load("fashion_mnist").source == str(system)
    (system / f"{LABELS}.gz").unlink()
    with pytest.raises(DataError, match="system: lacks train-labels"):
        load("fashion_mnist")


def test_no_network(tmp_path):
    with pytest.raises(DataError) as caught:
        load("fashion_mnist")
    for words in ("nobody answered", "http://fashion", "apt-get install", "--data-dir"):
        assert words in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="lacks train-images-idx3-ubyte.gz.*--data-dir"):
        load("fashion_mnist", data_dir=tmp_path / "nowhere")
    archives.write_folder(tmp_path, FILES)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="lacks t10k-labels-idx1-ubyte.gz"):
        load("fashion_mnist", data_dir=tmp_path)


def damage(name, change):
    content = bytearray(gzip.decompress(FILES[f"{name}.gz"]))
    change(content)
    return gzip.compress(bytes(content))


def set_byte(index, value):
    return lambda content: content.__setitem__(index, value)


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        (IMAGES, set_byte(3, 1), "magic number"),
        (IMAGES, set_byte(2, 13), "magic number"),
        (IMAGES, set_byte(11, 27), "magic number and sizes"),
        (IMAGES, set_byte(4, 255), "magic number and sizes"),
        (IMAGES, set_byte(7, 13), "must hold 10192 bytes of values, got 9408"),
        (IMAGES, set_byte(7, 11), "must hold 8624 bytes of values, got more"),
        (IMAGES, lambda content: content.clear(), "ends inside its header"),
        (LABELS, set_byte(8, 10), "labels must be in [0, 10), got 10"),
        (LABELS, lambda content: content.__delitem__(slice(6, None)), "ends inside its header"),
    ],
)
def test_bad_contents(name, change, complaint, tmp_path):
    assert complaint in refusal(tmp_path, **{name: damage(name, change)})


def test_bad_gzip(tmp_path):
    whole = FILES[f"{IMAGES}.gz"]
    flipped = bytearray(whole)
    flipped[-8] ^= 1
    middle = bytearray(whole)
    middle[11] = 0xFF  # no such kind of deflate block
    for content in (whole[:-100], whole[:-4], whole[:5], b"", b"plain", flipped, middle):
        message = refusal(tmp_path, **{IMAGES: content})
        assert "replace it" in message and IMAGES in message


def test_counts_must_match(tmp_path):
    fewer = gzip.compress(archives.idx(TRAIN[1][:11]))
    assert "12 images and 11 labels" in refusal(tmp_path, **{LABELS: fewer})


def test_empty(tmp_path):
    nothing = gzip.compress(struct.pack(">4I", 0x803, 0, 28, 28))
    no_labels = gzip.compress(struct.pack(">2I", 0x801, 0))
    assert "holds no images" in refusal(tmp_path, **{IMAGES: nothing, LABELS: no_labels})
