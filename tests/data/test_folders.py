"""Trees of class folders: found, listed, decoded once; what is damaged is named, up to a cap."""

import os
import shutil

import numpy as np
import pytest

from pipelines.data import folders, trees
from pipelines.data.dataset import DataError, split_training
from pipelines.data.folders import load
from tests.helpers import archives

COUNTS = {"Apple": (6, 2), "Banana": (5, 3), "apple 10": (4, 1)}
TRAINING = [("Apple", n) for n in range(6)]
TRAINING += [("Banana", n) for n in range(5)] + [("apple 10", n) for n in range(4)]


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)


@pytest.fixture
def tree(tmp_path):
    return archives.write_classes(tmp_path / "fruits", COUNTS)


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded, as they are."""
    paths, read = [], folders.read_picture
    monkeypatch.setattr(
        folders, "read_picture", lambda path, side: (paths.append(path), read(path, side))[1]
    )
    return paths


def rows(split):
    """Class and number of each picture, read off its colour, which must be all it shows."""
    assert split.images.dtype == np.uint8 and split.images.shape[1:] == (100, 100, 3)
    assert split.labels.dtype == np.int32 and split.images.flags.c_contiguous
    colours = split.images[:, 0, 0]
    assert (split.images == colours[:, None, None]).all()
    assert colours[:, 0].tolist() == split.labels.tolist()
    return [(list(COUNTS)[red], int(blue)) for red, _, blue in colours]


def refusal(path, **settings):
    with pytest.raises(DataError) as caught:
        load(path, **settings)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


# What is read


def test_labels_are_the_folders_in_order(tree):
    data = load(tree)
    assert data.classes == ("Apple", "Banana", "apple 10")
    assert (data.name, data.source, data.skipped, data.notice) == ("folder", str(tree), (), "")
    assert rows(data.test) == [
        *(("Apple", n) for n in range(2)),
        *(("Banana", n) for n in range(3)),
        ("apple 10", 0),
    ]


def test_the_split_is_the_fixed_one(tree):
    training, validation = split_training(15, origin="")
    data = load(tree)
    assert rows(data.train) == [TRAINING[index] for index in training]
    assert rows(data.validation) == [TRAINING[index] for index in validation]


def test_progress_and_name(tree):
    said = []
    data = load(tree, lambda *words: said.append(words), name="fruits")
    assert data.name == "fruits" and said == [("pictures", 21, 21)]


def test_the_images_are_mapped_not_copied(tree):
    images = load(tree).train.images
    assert isinstance(images, np.memmap) and not images.flags.writeable


@pytest.mark.parametrize("names", [("train", "test"), ("TRAIN", "Testing"), ("training", "TEST")])
@pytest.mark.parametrize("above", [".", "a", "a/b c/d/e"])
def test_names_and_places(names, above, tmp_path):
    root = tmp_path / "top" / above
    archives.write_classes(root, COUNTS, training=names[0], test=names[1], size=(2, 2))
    data = load(tmp_path / "top")
    assert len(data.train) == 14 and data.source == str(root)


def test_other_files_and_folders_are_passed_over(tree):
    whole = load(tree).fingerprint
    for name in ("notes.txt", "Apple/._000.jpg", "Apple/Thumbs.db", ".cache/x.png", "list.png"):
        (tree / "Training" / name).parent.mkdir(exist_ok=True)
        (tree / "Training" / name).write_text("nothing")
    (tree / "Training" / "Apple" / "inner.png").mkdir()
    archives.write_classes(tree, {"Apple": (0, 0)}, training="Validation", test=".hidden")
    assert load(tree).fingerprint == whole


def test_every_suffix_in_any_case(tmp_path):
    archives.write_classes(tmp_path, {"a": (9, 1), "b": (1, 1)}, size=(2, 2))
    files = sorted((tmp_path / "Training" / "a").iterdir())
    suffixes = (".jpg", ".JPEG", ".png", ".BMP", ".gif", ".WebP", ".tif", ".TIFF", ".JPG")
    for path, suffix in zip(files, suffixes, strict=True):
        path.rename(path.with_suffix(suffix))
    assert len(load(tmp_path).train) == 9


# Links


def test_links_are_followed(tmp_path, tree):
    (tmp_path / "far" / "Training").mkdir(parents=True)
    (tmp_path / "far" / "test").symlink_to(tree / "Test")
    for label in COUNTS:
        (tmp_path / "far" / "Training" / label).symlink_to(tree / "Training" / label)
    assert load(tmp_path / "far").fingerprint == load(tree).fingerprint


def test_loops_do_not_hang_nor_count_twice(tree):
    (tree / "again").symlink_to(tree)
    (tree / "up").symlink_to(tree.parent)
    (tree / "Test" / "Apple" / "self.png").symlink_to("self.png")
    data = load(tree.parent)
    assert data.source == str(tree) and len(data.train) + len(data.validation) == 15
    assert [line.partition(":")[0] for line in data.skipped] == ["Test/Apple/self.png"]


def test_a_tree_below_many_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(trees, "_MOST_FOLDERS", 10)
    for number in range(12):
        (tmp_path / "top" / str(number)).mkdir(parents=True)
    assert "more than 10 folders" in refusal(tmp_path / "top")


# Wrong layouts


def test_a_folder_is_needed(tmp_path):
    with pytest.raises(DataError, match="^--data folder needs --data-dir, .*Training and Test"):
        load(None)
    assert "does not exist; pass" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert "is not a folder; pass" in refusal(tmp_path / "file")


def test_the_layout_is_explained(tmp_path, tree):
    for path in (tree / "Training", tree / "Training" / "Apple"):
        message = refusal(path)
        assert "folders Training and Test side by side" in message and "--data-dir" in message
    shutil.move(tree, tmp_path / "top" / "1" / "2" / "3" / "4" / "5")
    assert "at most 4 levels down" in refusal(tmp_path / "top")
    shutil.rmtree(tmp_path / "top" / "1" / "2" / "3" / "4" / "5" / "Test")
    assert "no such pair" in refusal(tmp_path / "top" / "1")


def test_two_trees_are_ambiguous(tmp_path):
    for name in ("b/100x100", "a"):
        archives.write_classes(tmp_path / "top" / name, COUNTS, size=(1, 1))
    message = refusal(tmp_path / "top")
    assert "holds 2 pairs" in message and "pass the folder of the one" in message
    assert f"{tmp_path}/top/a/Training with Test and {tmp_path}/top/b/100x100/Training" in message
    assert len(load(tmp_path / "top" / "a").train) == 14


def test_two_training_folders_are_ambiguous(tree):
    if (tree / "TRAINING").exists():
        pytest.skip("this file system does not tell capitals")
    shutil.copytree(tree / "Training", tree / "train")
    assert "holds 2 pairs" in refusal(tree)


@pytest.mark.parametrize("classes", [0, 1])
def test_one_class_is_not_enough(classes, tmp_path):
    tree = archives.write_classes(tmp_path / "x", dict.fromkeys(list("a")[:classes], (3, 3)))
    for half in ("Training", "Test"):
        (tree / half).mkdir(parents=True, exist_ok=True)
    assert f"at least 2 class folders, got {classes}" in refusal(tree)


def test_classes_of_one_half_only(tmp_path):
    counts = {name: (1, 1) for name in "abcdef"}
    tree = archives.write_classes(tmp_path / "x", counts, size=(1, 1))
    shutil.rmtree(tree / "Training" / "b")
    assert "Training: lacks 'b'; both halves" in refusal(tree)
    for name in "acdef":
        shutil.rmtree(tree / "Test" / name)
    assert "Test: lacks 'a', 'c', 'd' and 2 more; both halves" in refusal(tree)


def test_names_of_classes_must_be_printable(tree):
    """They go into compressed files, as JSON."""
    name = os.fsdecode(b"caf\xe9")
    try:
        shutil.copytree(tree / "Training" / "Apple", tree / "Training" / name)
    except OSError:
        pytest.skip("this file system takes no such names")
    message = refusal(tree)
    assert message.endswith(
        r"names of class folders must be printable, got 'caf\udce9'; rename them"
    )


def test_a_link_back_is_no_class(tree):
    before = load(tree).classes
    (tree / "Training" / "loop").symlink_to(tree / "Training")
    (tree / "Test" / "up").symlink_to(tree)
    assert load(tree).classes == before


def test_one_folder_cannot_be_both_halves(tree):
    shutil.rmtree(tree / "Test")
    (tree / "Test").symlink_to(tree / "Training")
    assert "is the same folder as Training; give it other pictures" in refusal(tree)


def test_classes_without_pictures(tree):
    (tree / "Test" / "empty").mkdir()
    assert "Test: no pictures (.jpg, " in refusal(tree)
    (tree / "Training" / "empty" / "inner").mkdir(parents=True)
    shutil.move(tree / "Training" / "Apple" / "000.png", tree / "Training" / "empty" / "inner")
    message = refusal(tree)
    assert "Training: no pictures" in message and "lie in 'empty'; add some" in message


def test_too_few_pictures_for_a_validation_part(tmp_path):
    tree = archives.write_classes(tmp_path / "x", {"a": (1, 1), "b": (1, 1)})
    data = load(tree)
    assert (len(data.train), len(data.validation)) == (1, 1)


def test_a_half_that_cannot_be_listed(tree, monkeypatch):
    def forbid(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(trees, "_pictures", forbid)
    assert "Permission denied" in refusal(tree)


# Damaged pictures


def damage(tree, *names):
    for name in names:
        (tree / name).write_bytes((tree / name).read_bytes()[:-30])


def test_unreadable_pictures_are_skipped_and_named(tree, decoded):
    chosen, held_out = split_training(15, origin="")
    names = [f"Training/{label}/{n:03}.png" for label, n in TRAINING]
    bad = [names[chosen[0]], names[chosen[7]], "Test/Banana/001.png"]
    damage(tree, *bad)
    for _ in range(2):  # decoded, and from the cache
        data = load(tree)
        assert [line.partition(":")[0] for line in data.skipped] == bad
        assert all("cannot be read (" in line and "\n" not in line for line in data.skipped)
        kept = [TRAINING[index] for index in np.delete(chosen, [0, 7])]
        assert rows(data.train) == kept
        assert rows(data.validation) == [TRAINING[index] for index in held_out]
        assert rows(data.test) == [
            *(("Apple", n) for n in range(2)),
            *(("Banana", n) for n in (0, 2)),
            ("apple 10", 0),
        ]
    assert len(decoded) == 21


def test_every_kind_of_unreadable_file(tree):
    folder = tree / "Test" / "Apple"
    (folder / "dead link.png").symlink_to("nowhere")
    (folder / "empty.jpg").touch()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "text\n file.gif").write_text("hello")
    assert load(tree).skipped == (
        "Test/Apple/dead link.png: does not exist; pass the path of a picture",
        "Test/Apple/empty.jpg: is empty; replace it or take it away",
        "Test/Apple/pipe.jpg: is no file; pass the path of a picture",
        "Test/Apple/text file.gif: is no JPEG, PNG, BMP, GIF, WebP or TIFF;"
        " replace it or take it away",
    )


def test_at_most_ten_or_one_in_a_hundred(tmp_path, tree):
    for number in range(10):
        (tree / "Test" / "Apple" / f"x{number}.png").write_bytes(b"nothing")
    assert len(load(tree).skipped) == 10
    (tree / "Test" / "Apple" / "x99.png").write_bytes(b"nothing")
    message = refusal(tree)
    assert "11 of 32 pictures cannot be read, such as Test/Apple/x0.png: is no JPEG" in message
    assert "Test/Apple/x1.png: " in message and "Test/Apple/x2.png: " in message
    assert "x3.png" not in message and "replace them" in message
    assert len(list(tmp_path.glob("cache/pictures/*/"))) == 1  # the refused left nothing
    large = archives.write_classes(tmp_path / "y", {"a": (1200, 1), "b": (1, 1)}, size=(1, 1))
    damage(large, *(f"Training/a/{number:03}.png" for number in range(12)))
    assert len(load(large).skipped) == 12


def test_a_class_must_not_lose_all_its_pictures(tree):
    damage(tree, "Test/apple 10/000.png")
    assert "no test picture can be read of 'apple 10'; replace them" in refusal(tree)
    shutil.rmtree(tree)
    archives.write_classes(tree, COUNTS)
    damage(tree, *(f"Training/apple 10/{n:03}.png" for n in range(4)))
    assert "no training picture can be read of 'apple 10'" in refusal(tree)
    chosen, _ = split_training(15, origin="")
    first = next(n for n, index in enumerate(chosen) if TRAINING[index][0] != "apple 10")
    assert len(load(tree, limit=first + 1).train) == 1  # a limit may leave classes out


def test_a_part_must_not_be_lost_whole(tree):
    chosen, held_out = split_training(15, origin="")
    label, number = TRAINING[held_out[0]]
    damage(tree, f"Training/{label}/{number:03}.png")
    assert "none of its 1 validation pictures can be read, such as" in refusal(tree)
    label, number = TRAINING[chosen[0]]
    damage(tree, f"Training/{label}/{number:03}.png")
    assert "none of its 1 training pictures can be read" in refusal(tree, limit=1)


# The cache


def test_the_second_time_nothing_is_decoded(tree, decoded):
    first = load(tree)
    assert len(decoded) == 21
    second = load(tree.parent / "fruits" / ".." / "fruits")
    assert len(decoded) == 21 and first.fingerprint == second.fingerprint


def change_content(tree):
    path = tree / "Training" / "Apple" / "000.png"
    status = path.stat()
    path.write_bytes(archives.png(np.full((100, 100, 3), 7, np.uint8)) + b"\0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_time(tree):
    path = tree / "Test" / "Apple" / "000.png"
    path.write_bytes(archives.png(np.full((100, 100, 3), (0, 1, 9), np.uint8)))
    os.utime(path, ns=(1, 1))


CHANGES = {
    "another size": change_content,
    "another time": change_time,
    "another name": lambda tree: (tree / "Test/Apple/000.png").rename(tree / "Test/Apple/9.png"),
    "one less": lambda tree: (tree / "Test/Apple/000.png").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_files_are_noticed(change, tree, decoded):
    before = load(tree).fingerprint
    CHANGES[change](tree)
    assert load(tree).fingerprint != before and len(decoded) > 40


def test_another_decoder_decodes_again(tree, decoded, monkeypatch, tmp_path):
    load(tree)
    (tmp_path / "changed.py").write_text("")
    monkeypatch.setattr(folders.pictures, "__file__", str(tmp_path / "changed.py"))
    load(tree)
    monkeypatch.setattr(folders.PIL, "__version__", "99.0")
    load(tree)
    assert len(decoded) == 63


# The limit


def test_a_limit_decodes_only_what_it_keeps(tree, decoded):
    limited = load(tree, limit=4)
    assert len(decoded) == 4 + 1 + 6
    whole = load(tree)
    np.testing.assert_array_equal(limited.train.images, whole.train.images[:4])
    np.testing.assert_array_equal(limited.train.labels, whole.train.labels[:4])
    for part in ("validation", "test"):
        assert rows(getattr(limited, part)) == rows(getattr(whole, part))
    assert load(tree, limit=14).fingerprint == whole.fingerprint
    assert len(decoded) == 11 + 21


def test_a_limit_beyond_the_training_pictures(tree):
    with pytest.raises(DataError, match="at most the 14 training images of folder, got 15"):
        load(tree, limit=15)
