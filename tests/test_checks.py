"""Rules that many functions share, at small values."""

import pytest

from jaxcompress.checks import check_unique


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
