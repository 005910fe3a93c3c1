import gzip
import os
import pickle
import shutil
import sys
import tarfile
import types

import numpy as np
import pytest

from pipelines.data import DATASETS, DataError, load
from pipelines.data.dataset import split_training
from tests.helpers import archives

TRAIN = archives.some(20, seed=1)
TEST = archives.some(7, seed=2)
BINARY = archives.batch_files(TRAIN, TEST, encode=archives.binary_batch, suffix=".bin")
PYTHON2 = archives.batch_files(TRAIN, TEST, encode=archives.python2_batch)
PYTHON3 = archives.batch_files(TRAIN, TEST, encode=archives.python3_batch)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)


def binary_tar(folder, files=BINARY):
    return archives.write_tar(folder / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", files)


def python_tar(folder, files=PYTHON2):
    return archives.write_tar(folder / "cifar-10-python.tar.gz", "cifar-10-batches-py", files)


FORMS = {
    "binary archive": binary_tar,
    "python archive": python_tar,
    "python archive, saved again": lambda folder: python_tar(folder, PYTHON3),
    "binary folder": lambda folder: archives.write_folder(folder / "cifar-10-batches-bin", BINARY),
    "python folder": lambda folder: archives.write_folder(folder / "cifar-10-batches-py", PYTHON2),
    "npz": lambda folder: archives.write_npz(folder / "cifar10.npz", TRAIN, TEST),
    "npz, Keras labels": lambda folder: archives.write_npz(
        folder / "cifar10.npz", TRAIN, TEST, y_train=TRAIN[1][:, None], y_test=TEST[1][:, None]
    ),
}


def assert_is_ours(data):
    training, validation = split_training(20, origin="")
    assert len(validation) == 2
    expected = {
        "train": (TRAIN[0][training], TRAIN[1][training]),
        "validation": (TRAIN[0][validation], TRAIN[1][validation]),
        "test": TEST,
    }
    for part, (images, labels) in expected.items():
        split = getattr(data, part)
        assert split.images.dtype == np.uint8 and split.images.flags.c_contiguous
        assert split.labels.dtype == np.int32
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)


def refusal(path, *, name="cifar10"):
    with pytest.raises(DataError) as caught:
        load(name, data_dir=path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pixels(form, tmp_path):
    written = FORMS[form](tmp_path / "data")
    data = load("cifar10", data_dir=tmp_path / "data")
    assert_is_ours(data)
    assert_is_ours(load("cifar10", data_dir=written))  # the file or folder itself
    assert data.source == str(written) and data.notice == "" and len(data.classes) == 10


@pytest.mark.parametrize("place", ["cache", "home/.cache/jaxcompress", "home/tensorflow_datasets"])
@pytest.mark.parametrize("name", ["cifar10", "auto"])
def test_usual_folders_are_searched(place, name, tmp_path, monkeypatch):
    if place.startswith("home/.cache"):
        monkeypatch.delenv("JAXCOMPRESS_DATA")
    binary_tar(tmp_path / place)
    assert_is_ours(load(name))


def test_home_is_expanded(tmp_path):
    binary_tar(tmp_path / "home")
    assert_is_ours(load("cifar10", data_dir=type(tmp_path)("~")))


def test_a_folder_with_one_npz_of_any_name(tmp_path):
    archives.write_npz(tmp_path / "mine.npz", TRAIN, TEST)
    assert_is_ours(load("cifar10", data_dir=tmp_path))


def test_a_renamed_batch_folder_is_known_by_its_files(tmp_path):
    assert_is_ours(load("cifar10", data_dir=archives.write_folder(tmp_path / "any", PYTHON3)))


@pytest.mark.parametrize("form", ["binary", "python"])
def test_planes_become_channels(form, tmp_path):
    # Worked out by hand: red counts columns, green counts rows, blue is 200 in one corner.
    planes = np.zeros((3, 32, 32), np.uint8)
    planes[0] = np.arange(32)
    planes[1] = np.arange(32)[:, None]
    planes[2, 31, 0] = 200
    record = bytes([3]) + planes.tobytes()
    batch = {"data": planes.reshape(1, 3072), "labels": [3]}
    content, suffix = (
        (record, ".bin") if form == "binary" else (pickle.dumps(batch, protocol=2), "")
    )
    files = {f"{name}{suffix}": content for name in (*archives.BATCHES, "test_batch")}
    image = load("cifar10", data_dir=archives.write_folder(tmp_path, files)).test.images[0]
    assert image[5, 9].tolist() == [9, 5, 0]
    assert image[31, 0].tolist() == [0, 31, 200]


def test_splits_are_disjoint_fixed_and_apart_from_the_global_seed(tmp_path):
    path = binary_tar(tmp_path)
    np.random.seed(1)
    first = load("cifar10", data_dir=path)
    np.random.seed(2)
    second = load("cifar10", data_dir=path)
    assert first.fingerprint == second.fingerprint
    parts = [{image.tobytes() for image in s.images} for s in (first.train, first.validation)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {image.tobytes() for image in TRAIN[0]}


def test_the_published_sizes_and_the_permutation_itself():
    training, validation = split_training(50_000, origin="")
    assert (len(training), len(validation)) == (45_000, 5_000)
    assert sorted([*training, *validation]) == list(range(50_000))
    assert split_training(60_000, origin="")[1].shape == (5_000,)
    assert split_training(2, origin="")[1].shape == (1,)
    assert split_training(10, origin="")[0].tolist() == [3, 4, 2, 6, 7, 8, 9, 0, 1]


def test_the_fingerprint_sees_one_changed_pixel_and_one_changed_label(tmp_path):
    images, labels = TRAIN[0].copy(), TRAIN[1].copy()
    images[3, 0, 0, 0] ^= 1
    labels[3] += 1
    variants = [TRAIN, (images, TRAIN[1]), (TRAIN[0], labels)]
    prints = {
        load("cifar10", data_dir=archives.write_npz(tmp_path / f"{i}.npz", v, TEST)).fingerprint
        for i, v in enumerate(variants)
    }
    assert len(prints) == 3 and all(len(value) == 64 for value in prints)


def test_limit_keeps_the_first_training_images(tmp_path):
    path = binary_tar(tmp_path)
    whole, limited = load("cifar10", data_dir=path), load("cifar10", data_dir=path, limit=4)
    np.testing.assert_array_equal(limited.train.images, whole.train.images[:4])
    np.testing.assert_array_equal(limited.train.labels, whole.train.labels[:4])
    assert len(limited.validation) == 2 and len(limited.test) == 7
    assert limited.fingerprint != whole.fingerprint
    assert load("cifar10", data_dir=path, limit=18).fingerprint == whole.fingerprint


@pytest.mark.parametrize("limit", [0, -1, 19])
def test_limit_out_of_range(limit, tmp_path):
    with pytest.raises(DataError, match=f"limit must be at (least|most) .* got {limit}"):
        load("cifar10", data_dir=binary_tar(tmp_path), limit=limit)


def test_names_are_checked():
    names = ["cifar10", "fashion_mnist", "digits", "fruits360", "folder", "rendered_fruits"]
    assert list(DATASETS) == names
    with pytest.raises(DataError, match=f"auto, {', '.join(names)}, got 'mnist'"):
        load("mnist")


# What must be refused


@pytest.mark.parametrize("name", ["cifar10", "auto"])
def test_a_given_folder_must_exist_and_hold_cifar10(name, tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere", name=name)
    message = refusal(tmp_path, name=name)
    assert "holds no CIFAR-10" in message and "cs.toronto.edu" in message and "c4a38c50" in message
    (tmp_path / "notes.txt").write_text("nothing")
    assert "holds no CIFAR-10" in refusal(tmp_path / "notes.txt", name=name)


def test_two_npz_of_other_names_are_ambiguous(tmp_path):
    for name in ("a.npz", "b.npz"):
        archives.write_npz(tmp_path / name, TRAIN, TEST)
    assert "holds no CIFAR-10" in refusal(tmp_path)


def test_auto_does_not_pass_over_a_damaged_cache(tmp_path):
    path = binary_tar(tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot be read"):
        load("auto")


@pytest.mark.parametrize("kept", [0, 2, 1000, 0.5, -9])
def test_truncated_archive(kept, tmp_path):
    path = binary_tar(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept == 0.5 else kept])
    assert "replace it" in refusal(path)


def test_wrong_gzip_checksum(tmp_path):
    path = binary_tar(tmp_path)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    assert "CRC" in refusal(path)


def test_gzip_of_something_else(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(b"hello" * 500))
    assert "cannot be read" in refusal(path)


@pytest.mark.parametrize("missing", ["data_batch_3", "test_batch"])
def test_missing_batch(missing, tmp_path):
    files = {name: content for name, content in PYTHON2.items() if name != missing}
    assert f"lacks cifar-10-batches-py/{missing}" in refusal(python_tar(tmp_path, files))
    folder = archives.write_folder(tmp_path / "cifar-10-batches-py", files)
    assert f"lacks cifar-10-batches-py/{missing}" in refusal(folder)


def test_empty_batch_folder(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert "lacks cifar-10-batches-py/data_batch_1" in refusal(tmp_path)


def test_a_link_in_an_archive_is_not_a_batch(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "lacks cifar-10-batches-bin/data_batch_1.bin" in refusal(path)


def test_oversized_batch(tmp_path):
    huge = BINARY | {"data_batch_2.bin": bytes(33 * 2**20)}
    assert "at most 33554432 bytes" in refusal(binary_tar(tmp_path, huge))
    folder = archives.write_folder(tmp_path / "cifar-10-batches-bin", BINARY)
    with (folder / "data_batch_2.bin").open("wb") as file:
        file.truncate(33 * 2**20)
    assert "at most 33554432 bytes" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (BINARY["data_batch_1.bin"][:-1], "whole records of 3073 bytes, got 12291"),
        (b"", "holds no images"),
        (bytes([10]) + bytes(3072), r"labels must be in [0, 10), got 10"),
    ],
)
def test_bad_binary_batch(content, complaint, tmp_path):
    message = refusal(binary_tar(tmp_path, BINARY | {"data_batch_4.bin": content}))
    assert complaint in message and "data_batch_4.bin" in message


def python_batch(**replaced):
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, 2]} | replaced
    return pickle.dumps(batch, protocol=2)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (python_batch(labels=[1]), "2 images and 1 labels"),
        (python_batch(labels=[1, 10]), "labels must be in [0, 10), got 10"),
        (python_batch(labels=[1, -1]), "labels must be in [0, 10), got -1"),
        (python_batch(labels=[1.0, 2.0]), "labels must be integers"),
        (python_batch(labels=[[1], [2, 3]]), "cannot be read"),
        (python_batch(labels="12"), "labels must be integers"),
        (archives.python2_batch(*archives.some(0)), "holds no images"),
        (python_batch(data=np.zeros((2, 3071), np.uint8)), "data must be an array [n, 3072]"),
        (python_batch(data=np.zeros((2, 3072), np.float32)), "dtype 'f4'"),
        (python_batch(data=[1, 2]), "data must be an array [n, 3072], got list"),
        (pickle.dumps({"data": 1}, protocol=2), "lacks the entry 'labels'"),
        (pickle.dumps([1, 2], protocol=2), "must be a pickled dict, got list"),
        (pickle.dumps(np.float64(1), protocol=2), "global numpy._core.multiarray.scalar"),
        (pickle.dumps(eval, protocol=2), "forbidden global __builtin__.eval"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "'hex'"),
        (PYTHON2["data_batch_1"][:-100], "cannot be unpickled"),
        (b"", "cannot be unpickled"),
        (b"not a pickle", "cannot be unpickled"),
    ],
)
def test_bad_python_batch(content, complaint, tmp_path):
    message = refusal(python_tar(tmp_path, PYTHON2 | {"data_batch_4": content}))
    assert complaint in message and "data_batch_4" in message


def test_a_hostile_pickle_does_not_run(tmp_path):
    marker = tmp_path / "ran"
    hostile = pickle.dumps({"data": Hostile(marker), "labels": []}, protocol=2)
    message = refusal(python_tar(tmp_path, PYTHON2 | {"data_batch_1": hostile}))
    assert f"forbidden global {os.system.__module__}.system" in message
    assert not marker.exists()


@pytest.mark.parametrize(
    ("replaced", "complaint"),
    [
        ({"x_train": TRAIN[0].astype(np.float32)}, "images must be uint8"),
        ({"x_train": TRAIN[0][..., 0]}, "images must be uint8 [n] of 32x32x3"),
        ({"x_test": TEST[0][:6]}, "6 images and 7 labels"),
        ({"x_test": TEST[0][:0], "y_test": TEST[1][:0]}, "holds no images"),
        ({"y_train": TRAIN[1] + 1}, "labels must be in [0, 10), got 10"),
        ({"y_train": TRAIN[1].astype(float)}, "labels must be integers"),
        ({"y_train": np.eye(20, dtype=int)}, "labels must be integers"),
        ({"y_train": np.array([None] * 20)}, "allow_pickle=False"),
        ({"x_train": TRAIN[0][:1], "y_train": TRAIN[1][:1]}, "at least 2 training images, got 1"),
    ],
)
def test_bad_arrays(replaced, complaint, tmp_path):
    path = archives.write_npz(tmp_path / "cifar10.npz", TRAIN, TEST, **replaced)
    assert complaint in refusal(path)


def test_npz_without_an_array(tmp_path):
    np.savez(tmp_path / "cifar10.npz", x_train=TRAIN[0], y_train=TRAIN[1], x_test=TEST[0])
    assert "lacks the array y_test" in refusal(tmp_path)


def test_damaged_npz(tmp_path):
    path = archives.write_npz(tmp_path / "cifar10.npz", TRAIN, TEST)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-1000])
    assert "cannot be read" in refusal(path)
    content[5000] ^= 1
    path.write_bytes(content)
    assert "CRC" in refusal(path)
    np.save(path.with_suffix(""), TRAIN[0])
    shutil.move(tmp_path / "cifar10.npy", path)
    assert "got a bare array" in refusal(path)


# Copies made by tensorflow-datasets


def fake_copy(folder, form="array_record"):
    files = {"dataset_info.json": b"{}", f"cifar10-train.{form}-00000-of-00001": b""}
    return archives.write_folder(folder / "cifar10" / "3.0.2", files)


def fake_module(monkeypatch, parts):
    """Puts a tensorflow_datasets in place that knows what the documented calls return."""

    def builder_from_directory(folder, file_format):
        assert (folder / "dataset_info.json").is_file() and file_format == "array_record"
        rows = {
            part: [{"image": image, "label": int(label)} for image, label in zip(*arrays)]  # noqa: B905
            for part, arrays in parts.items()
        }
        return types.SimpleNamespace(as_data_source=lambda split: rows[split])

    module = types.SimpleNamespace(builder_from_directory=builder_from_directory)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


def test_tfds_copy_through_a_stand_in(tmp_path, monkeypatch):
    fake_module(monkeypatch, {"train": TRAIN, "test": TEST})
    version = fake_copy(tmp_path / "home" / "tensorflow_datasets")
    assert_is_ours(load("cifar10", data_dir=version.parent.parent))
    assert_is_ours(load("cifar10", data_dir=version))
    assert_is_ours(load("auto"))


def test_tfds_copy_with_bad_labels_or_nothing(tmp_path, monkeypatch):
    fake_copy(tmp_path)
    fake_module(monkeypatch, {"train": (TRAIN[0], TRAIN[1] - 1), "test": TEST})
    assert "labels must be in [0, 10), got -1" in refusal(tmp_path)
    fake_module(monkeypatch, {"train": TRAIN, "test": ([], [])})
    assert "cannot be read" in refusal(tmp_path)


def test_tfds_copy_in_the_other_form(tmp_path):
    fake_copy(tmp_path, form="tfrecord")
    assert "only the array_record form" in refusal(tmp_path)


def test_tfds_copy_without_the_package(tmp_path, monkeypatch):
    fake_copy(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert "pip install -e '.[data]'" in refusal(tmp_path)


def test_tfds_copy_in_truth(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    pytest.importorskip("PIL")
    version = archives.write_tfds(tmp_path / "cifar10" / "3.0.2", TRAIN, TEST)
    assert_is_ours(load("cifar10", data_dir=tmp_path))
    shard = version / "cifar10-test.array_record-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:1000])
    assert "cannot be read" in refusal(tmp_path)


def test_a_copy_only_tensorflow_reads_does_not_stop_who_did_not_point_at_it(tmp_path, monkeypatch):
    copy = tmp_path / "tensorflow_datasets" / "cifar10" / "3.0.2"
    copy.mkdir(parents=True)
    (copy / "dataset_info.json").write_text("{}")
    (copy / "cifar10-train.tfrecord-00000-of-00001").write_bytes(b"")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAXCOMPRESS_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("pipelines.data.download.probe", lambda *_, **__: "nobody is there")
    assert load("auto").name == "digits"
    with pytest.raises(DataError, match="only the array_record form"):
        load("auto", data_dir=tmp_path / "tensorflow_datasets")
