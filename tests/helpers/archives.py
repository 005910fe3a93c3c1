"""Builders of tiny archives in the very forms in which the originals are published."""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zlib

import numpy as np

from pipelines.data import download, fashion_mnist

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


def isolate(monkeypatch, tmp_path):
    """Keeps a test from the user's caches, Debian's folder, proxies and the network."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JAXCOMPRESS_DATA", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in [name for name in os.environ if name.startswith(("KAGGLE", "TBE_RUNTIME"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "no-credentials"))
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "no-such-package")
    monkeypatch.setattr(download, "probe", lambda url, patience_s: "nobody answered")


def some(count, *, shape=(32, 32, 3), seed=0):
    """Random images and the labels 0, 1, ..., 9, 0, 1, ..."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)
    return pixels, np.arange(count) % 10


def binary_batch(images, labels):
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    rows = zip(labels, planes, strict=True)
    return b"".join(bytes([label]) + plane.tobytes() for label, plane in rows)


def python2_batch(images, labels):
    """The opcodes of Python 2's cPickle in the published batches, less those that fill its memo."""
    data = images.transpose(0, 3, 1, 2).tobytes()

    def integer(value):
        return b"J" + struct.pack("<i", value)

    uint8 = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + 2 * integer(-1) + b"K\x00tb"
    shape = integer(len(images)) + integer(3072) + b"\x86"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + (b"(K\x01" + shape + uint8 + b"\x89")
        + (b"T" + struct.pack("<I", len(data)) + data + b"tb")
    )
    ints = b"](" + b"".join(integer(int(label)) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + ints + b"u."


def python3_batch(images, labels):
    """What re-saving a batch with today's Python and NumPy gives."""
    data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return pickle.dumps({"data": data, "labels": [int(n) for n in labels]}, protocol=2)


def batch_files(train, test, *, encode, suffix=""):
    """File name -> content for five training batches and the test batch."""
    chunks = zip(*(np.array_split(array, 5) for array in train), strict=True)
    files = {name: encode(*chunk) for name, chunk in zip(BATCHES, chunks, strict=True)}
    files["test_batch"] = encode(*test)
    return {name + suffix: content for name, content in files.items()}


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path, folder, files):
    """Writes a tar.gz with a folder, as `tar czf` does, its members named `./folder/name`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in (".", f"./{folder}"):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{folder}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def write_npz(path, train, test, **replaced):
    arrays = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(arrays | replaced))
    return path


def idx(array):
    """An IDX file of bytes."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def idx_files(train, test):
    """File name -> content, gzipped, for the four files of Fashion-MNIST."""
    arrays = zip(fashion_mnist.FILES, (*train, *test), strict=True)
    return {f"{name}.gz": gzip.compress(idx(array), mtime=0) for name, array in arrays}


def png(image):
    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    height, width, _ = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def write_classes(root, counts, *, training="Training", test="Test", size=(100, 100)):
    """Writes a tree of class folders; `counts` maps a class to its training and test pictures.

    Each picture is a PNG of one colour: red is the class, green the half, blue the number.
    """
    for half, name in enumerate((training, test)):
        for red, (label, numbers) in enumerate(counts.items()):
            folder = root / name / label
            folder.mkdir(parents=True)
            for blue in range(numbers[half]):
                image = np.full((*size, 3), (red, half, blue), np.uint8)
                (folder / f"{blue:03}.png").write_bytes(png(image))
    return root


def write_square(path, colour, number, *, side=24):
    """Writes a PNG of a square on white; the number decides its size and its brightness."""
    image = np.full((side, side, 3), 255, np.uint8)
    margin = 3 + number % 5
    image[margin:-margin, margin:-margin] = np.array(colour) + number
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(image))


def write_tfds(folder, train, test):
    """Writes a copy as tensorflow-datasets prepares it in its array_record form."""
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_generated_pb2 as protos

    folder.mkdir(parents=True)
    splits = []
    for part, (images, labels) in {"train": train, "test": test}.items():
        shard = folder / f"cifar10-{part}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(shard), "group_size:1")
        for image, label in zip(images, labels, strict=True):
            example = protos.Example()
            example.features.feature["id"].bytes_list.value.append(b"an id")
            example.features.feature["image"].bytes_list.value.append(png(image))
            example.features.feature["label"].int64_list.value.append(int(label))
            writer.write(example.SerializeToString())
        writer.close()
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        lengths = {"shardLengths": [str(len(images))], "numBytes": str(shard.stat().st_size)}
        splits.append({"name": part, "filepathTemplate": template, **lengths})
    info = {"name": "cifar10", "version": folder.name, "fileFormat": "array_record"}
    (folder / "dataset_info.json").write_text(json.dumps(info | {"splits": splits}))
    features = tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    (folder / "features.json").write_text(json.dumps(features.to_json()))
    return folder
