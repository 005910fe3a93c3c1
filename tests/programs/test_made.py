"""How a network was made, in the file with its program: data that every reader checks."""

import pytest

import jaxcompress as jc
from tests.programs.test_ship import X, apply, new_tree, rewritten


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path, small = tmp_path_factory.mktemp("made") / "net.npz", jc.quantize(new_tree(), 4)
    jc.ship(path, apply, small, X[:1])
    return path, small


def test_how_it_was_made_goes_along_as_data(file, tmp_path):
    path, small = file
    made = {"steps": [{"bits": 4, "lost": 0.25}], "by": "hand", "seeds": (0, 1)}
    jc.ship(tmp_path / "net.npz", apply, small, X[:1], made=made)
    wanted = made | {"seeds": [0, 1]}
    assert jc.inspect(tmp_path / "net.npz")["program"]["made"] == wanted
    assert jc.open_function(tmp_path / "net.npz").made == wanted
    assert jc.open_function(path).made is None and "made" not in jc.inspect(path)["program"]
    for bad in ({"when": object()}, {"loss": float("nan")}, nested(65)):
        with pytest.raises(ValueError, match="^made: must be JSON, got"):
            jc.ship(tmp_path / "bad.npz", apply, small, X[:1], made=bad)
    assert not (tmp_path / "bad.npz").exists()


def nested(depth):
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize("made", [3, [1], "text", None, nested(65), {"a": [nested(65)]}])
def test_what_is_no_story_of_how_it_was_made_is_refused_by_every_reader(file, made):
    other = rewritten(file[0], lambda data, told: (data, told | {"made": made}))
    for read in (jc.inspect, jc.load, jc.open_function):
        with pytest.raises(jc.ArtifactError, match=r"other.npz: how it was made (must|is not)"):
            read(other)
