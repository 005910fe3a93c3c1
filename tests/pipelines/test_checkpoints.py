"""Checkpoints: everything comes back, damage is noticed and the one before is taken."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.leaves import half
from jaxcompress.quantization._quantize import quantize
from pipelines.run.checkpoints import FORMAT, KEPT, Checkpoints, _seal
from pipelines.run.folder import FolderError


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings):
    return Checkpoints(tmp_path / "checkpoints", warnings.append)


def latest(checkpoints):
    return next(checkpoints.sound(), None)


def arrays(value=1.0):
    leaf = jc.Clustered(codes=jnp.array([[0, 1]], jnp.uint8), codebook=jnp.array([value]))
    empty = jc.Clustered(codes=jnp.zeros((1, 2), jnp.uint8), codebook=jnp.zeros(0))
    return {
        "work": {
            "params": {"a": {"kernel": jnp.full((2, 2), value)}},
            "mask": {"a": {"kernel": jnp.array([[True, False], [True, True]])}},
            "shared": {"a": leaf, "b": empty},
        },
        "fit": {"0": jnp.asarray(3, jnp.int32), "1": jnp.ones(2, jnp.bfloat16)},
    }


def test_everything_comes_back(checkpoints):
    checkpoints.save(arrays(), {"stage": 2})
    loaded, notes = latest(checkpoints)
    assert notes == {"stage": 2}
    assert loaded["work"]["params"]["a"]["kernel"].tolist() == [[1, 1], [1, 1]]
    assert loaded["work"]["mask"]["a"]["kernel"].dtype == bool
    assert loaded["work"]["shared"]["a"].dense().tolist() == [[0, 1]]
    assert loaded["work"]["shared"]["b"].codebook.shape == (0,)
    assert loaded["fit"]["0"] == 3 and loaded["fit"]["1"].dtype == jnp.bfloat16


def test_every_kind_of_leaf_comes_back(checkpoints):
    kernel = {"k": np.array([[1.0, 0.0], [-3.0, 0.5]], np.float32)}
    leaves = {
        "affine": quantize(kernel, 4, symmetric=False),
        "bytes": quantize(kernel),
        "half": half(kernel),
        "shared": jc.kmeans(kernel, 2),
        "sparse": jc.leaves.sparse(kernel),
    }
    checkpoints.save({"work": leaves}, {})
    loaded = latest(checkpoints)[0]["work"]
    assert jax.tree.structure(loaded) == jax.tree.structure(leaves)
    for found, expected in zip(jax.tree.leaves(loaded), jax.tree.leaves(leaves), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_none_yet(checkpoints):
    assert latest(checkpoints) is None


def test_the_newest_two_are_kept(checkpoints, tmp_path):
    for value in range(5):
        checkpoints.save(arrays(value), {"value": value})
    assert latest(checkpoints)[1] == {"value": 4}
    assert len(list((tmp_path / "checkpoints").glob("*.json"))) == KEPT == 2
    assert sum(p.is_dir() for p in (tmp_path / "checkpoints").iterdir()) == 2


def damage_arrays(folder):
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    for i in range(len(data) // 2, len(data)):
        data[i] ^= 0xFF
    largest.write_bytes(bytes(data))


def drop_arrays(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def damage_notes(folder):
    folder.with_suffix(".json").write_text("{")


def wrong_digest(folder):
    path = folder.with_suffix(".json")
    path.write_text(path.read_text().replace('"digest": "', '"digest": "0'))


@pytest.mark.parametrize("damage", [damage_arrays, drop_arrays, damage_notes, wrong_digest])
def test_a_damaged_one_falls_back_with_a_warning(checkpoints, warnings, tmp_path, damage):
    checkpoints.save(arrays(1), {"value": 1})
    checkpoints.save(arrays(2), {"value": 2})
    damage(tmp_path / "checkpoints" / "000001")
    loaded, notes = latest(checkpoints)
    assert notes == {"value": 1}
    assert np.all(loaded["work"]["params"]["a"]["kernel"] == 1)
    assert len(warnings) == 1 and "checkpoint 000001 is damaged" in warnings[0]
    checkpoints.save(arrays(3), {"value": 3})
    checkpoints.save(arrays(4), {"value": 4})
    assert latest(checkpoints)[1] == {"value": 4}
    assert len(list((tmp_path / "checkpoints").glob("*.json"))) == KEPT


def test_when_all_are_damaged_it_says_so(checkpoints, warnings, tmp_path):
    checkpoints.save(arrays(1), {})
    damage_notes(tmp_path / "checkpoints" / "000000")
    assert latest(checkpoints) is None
    assert "there is none before" in warnings[0] and checkpoints.found


def test_arrays_without_notes_are_no_checkpoint(checkpoints, tmp_path):
    checkpoints.save(arrays(1), {"value": 1})
    checkpoints.save(arrays(2), {"value": 2})
    (tmp_path / "checkpoints" / "000001.json").unlink()  # killed between the two
    assert latest(checkpoints)[1] == {"value": 1}
    checkpoints.save(arrays(3), {"value": 3})
    assert latest(checkpoints)[1] == {"value": 3}


# What the JSON says


@pytest.fixture
def two(checkpoints, tmp_path):
    """The JSON of the newer of two checkpoints, of stages 1 and 2."""
    for stage in (1, 2):
        checkpoints.save(arrays(stage), {"stage": stage, "accuracy": 0.25 * stage, "name": "é"})
    return tmp_path / "checkpoints" / "000001.json"


def check_newer_or_older(checkpoints, path, content, warnings):
    """The newer one as it was, or the older one with a warning."""
    warnings.clear()
    path.write_bytes(content)
    loaded, notes = latest(checkpoints)
    older = bool(warnings)
    stage = 1 if older else 2
    assert notes == {"stage": stage, "accuracy": 0.25 * stage, "name": "é"}
    assert np.all(loaded["work"]["params"]["a"]["kernel"] == stage)
    path.with_suffix(".damaged").unlink(missing_ok=True)
    return older


def flipped(content, bit):
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@pytest.mark.slow
@pytest.mark.parametrize(
    "share", [40, pytest.param(1, marks=pytest.mark.exhaustive)], ids=["some", "every"]
)
def test_a_flipped_bit_never_gives_another_state(checkpoints, two, warnings, share):
    content = two.read_bytes()
    bits = range(share // 2, 8 * len(content), share)
    older = [
        check_newer_or_older(checkpoints, two, flipped(content, bit), warnings) for bit in bits
    ]
    assert sum(older) > len(older) / 2, "white space may change"


@pytest.mark.parametrize("end", [0, 1, 100, -3, -1])
def test_a_truncated_one_never_gives_another_state(checkpoints, two, warnings, end):
    check_newer_or_older(checkpoints, two, two.read_bytes()[:end], warnings)


WRONG = {
    "nothing": "",
    "no object": "[]",
    "null": "null",
    "a number": "1",
    "no JSON": "{",
    "no UTF-8": b"\xff\xfe\x00",
    "zeros": bytes(100),
    "other keys": "{}",
    "deep": "[" * 100_000,
    "a number without end": '{"digest": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("name", WRONG)
def test_notes_that_are_none(checkpoints, two, warnings, name):
    content = WRONG[name] if isinstance(WRONG[name], bytes) else WRONG[name].encode()
    assert check_newer_or_older(checkpoints, two, content, warnings)
    assert "checkpoint 000001 is damaged (" in warnings[0] and "\n" not in warnings[0]


FORGED = {
    "notes missing": lambda body: body.pop("notes"),
    "arrays missing": lambda body: body.pop("arrays"),
    "no list": lambda body: body.update(arrays=5),
    "pairs": lambda body: body.update(arrays=[["a", [1]]]),
    "another array": lambda body: body["arrays"].append(["b", [1], "float32"]),
    "one array less": lambda body: body["arrays"].pop(),
    "a size below 0": lambda body: body["arrays"].append(["b", [-1], "float32"]),
    "no dtype": lambda body: body["arrays"].append(["b", [1], "no such"]),
    "another number": lambda body: body.update(number=7),
    "a format to come": lambda body: body.update(format=FORMAT + 1),
}


@pytest.mark.parametrize("name", FORGED)
def test_notes_with_a_seal_that_fit_nothing(checkpoints, two, warnings, name):
    body = json.loads(two.read_text())
    del body["digest"]
    FORGED[name](body)
    content = json.dumps({"digest": _seal(body)} | body).encode()
    assert check_newer_or_older(checkpoints, two, content, warnings)


def test_what_cannot_be_taken_up_falls_back_too(checkpoints, two, warnings):
    def read(arrays, notes):
        del arrays
        if notes["stage"] == 2:
            raise KeyError("rows")
        return notes["stage"]

    assert list(checkpoints.sound(read)) == [1]
    assert "checkpoint 000001 is damaged (KeyError: 'rows')" in warnings[0]


def test_another_format_is_refused_by_name(checkpoints, two):
    two.write_text(json.dumps({"digest": "0", "arrays": [], "notes": {}}))
    with pytest.raises(FolderError, match="000001 is of format 1, .* reads 2; start again with"):
        latest(checkpoints)
    assert two.exists()


# What lies beside them


def fifo(path):
    os.mkfifo(path)


def loop(path):
    path.symlink_to(path.name)


STRAYS = {
    "notes.txt": lambda path: path.write_text("mine"),
    "0a.json": lambda path: path.write_text("{}"),
    "12.json": lambda path: path.write_text("{}"),
    "0000009.json": lambda path: path.write_text("{}"),
    "000001 (copy).json": lambda path: path.write_text("{}"),
    "\u0660\u0660\u0660\u0660\u0660\u0663.json": lambda path: path.write_text("{}"),
    "000002 backup": lambda path: path.mkdir(),
    "mine": lambda path: path.mkdir(),
    ".hidden": lambda path: path.write_text(""),
    "0007": fifo,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRAYS)
def test_what_is_not_ours_is_left_alone(checkpoints, two, warnings, name):
    stray = two.with_name(name)
    STRAYS[name](stray)
    checkpoints.tidy()
    assert latest(checkpoints)[1]["stage"] == 2 and not warnings
    for stage in (3, 4, 5):
        checkpoints.save(arrays(stage), {"stage": stage})
    assert latest(checkpoints)[1] == {"stage": 5}
    assert os.path.lexists(stray)


NAMED_LIKE_OURS = {
    "empty": lambda path: path.write_text("{}"),
    "folder": lambda path: path.mkdir(),
    "pipe": fifo,
    "loop": loop,
    "copy of another": lambda path: shutil.copy(path.with_name("000000.json"), path),
}


@pytest.mark.parametrize("number", ["000007", "99999999999999999999"])
@pytest.mark.parametrize("what", NAMED_LIKE_OURS)
def test_what_is_only_named_like_ours_is_named_and_passed_over(
    checkpoints, two, warnings, what, number
):
    NAMED_LIKE_OURS[what](two.with_name(f"{number}.json"))
    assert latest(checkpoints)[1]["stage"] == 2
    assert len(warnings) == 1 and f"checkpoint {number} is damaged" in warnings[0]
    for stage in (3, 4):
        checkpoints.save(arrays(stage), {"stage": stage})
    assert latest(checkpoints)[1] == {"stage": 4}


def test_a_copy_of_the_arrays_and_the_notes_is_no_later_one(checkpoints, two, warnings):
    shutil.copytree(two.with_name("000000"), two.with_name("000005"))
    shutil.copy(two.with_name("000000.json"), two.with_name("000005.json"))
    assert latest(checkpoints)[1]["stage"] == 2
    assert "number 5, got format 2, number 0" in warnings[0]


def test_what_killed_writers_left_goes(checkpoints, two):
    folder = two.parent
    for name in ("000002", "000003.orbax-checkpoint-tmp"):
        shutil.copytree(folder / "000001", folder / name)
    temporary = folder / ".000003.json.0123456789abcdef.jaxcompress-tmp"
    temporary.write_text("{")
    checkpoints.tidy()
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["000000", "000000.json", "000001", "000001.json"]


def test_a_damaged_one_is_kept_until_the_next_is_written(checkpoints, two, warnings):
    two.write_text("{")
    assert latest(checkpoints)[1]["stage"] == 1
    checkpoints.tidy()
    assert two.with_suffix(".damaged").exists() and two.with_suffix("").exists()
    checkpoints.save(arrays(3), {"stage": 3})
    left = sorted(path.name for path in two.parent.iterdir())
    assert left == ["000000", "000000.json", "000002", "000002.json"]
