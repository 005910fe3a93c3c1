"""Rules that many functions share, at small values."""

import pytest

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
