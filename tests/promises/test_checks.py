"""Rules that many functions share, at small values."""

import numpy as np
import pytest

from jaxcompress.bounds import check_size
from jaxcompress.checks import check_unique, nonempty_batches


def test_paths_that_differ_are_fine():
    assert check_unique([]) is None
    assert check_unique(["a/b", "a", "b"]) is None


def test_a_path_of_two_leaves_is_named():
    with pytest.raises(ValueError, match=r"^b: a path must mean one leaf, got several; rename"):
        check_unique(["a", "b", "c", "b", "c"])


def test_errors_say_where_a_path_is_and_how_it_is_written():
    with pytest.raises(ValueError, match=r"^m\.npz: a/b: R, got \['a'\] and \['b'\]; rename keys"):
        check_unique(
            ["x", "a/b", "a/b", "a/b"],
            rule="R",
            place="m.npz: ",
            written=["['x']", "['a']", "['b']", "['c']"],
        )


def test_batches_are_read_when_asked_for():
    read = []
    batches = nonempty_batches((read.append(i) or i for i in range(3)), "R")
    assert next(batches) == 0 and read == [0]
    assert list(batches) == [1, 2] and read == [0, 1, 2]


@pytest.mark.parametrize("none", [[], iter([])])
def test_no_batches_are_refused_with_what_to_do(none):
    said = r"^batches: must hold at least one batch, got none; pass some\.$"
    with pytest.raises(ValueError, match=said):
        next(nonempty_batches(none, "pass some"))
    assert list(nonempty_batches([0, None], "pass some")) == [0, None]


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (250_000, 250_000),
        (np.int32(7), 7),
        (2**63 + 1, 2**63 + 1),
        ("400KB", 400_000),
        (" 1.5 MiB", 3 << 19),
        ("2g", 2 * 10**9),
        ("1.1kb", 1100),
    ],
)
def test_sizes_are_integers_or_texts_with_a_unit(size, count):
    assert check_size("target_bytes", size) == count


@pytest.mark.parametrize("size", [0, -1, "", "0.4", "-3KB", "1 mile", "1e3", "nan", "KB"])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match=r"^target_bytes: must be a size above zero, got .*400KB"):
        check_size("target_bytes", size)


@pytest.mark.parametrize("size", [None, True, 2.5, b"20KB", [3], np.ones(2, int)])
def test_what_is_no_size(size):
    with pytest.raises(TypeError, match=r"^target_bytes: must be a size above zero, got "):
        check_size("target_bytes", size)
