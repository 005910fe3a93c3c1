"""Checkpoints: everything comes back, damage is noticed and the one before is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.leaves import half
from jaxcompress.quantization.weights import quantize
from pipelines.checkpoints import KEPT, Checkpoints


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings):
    return Checkpoints(tmp_path / "checkpoints", warnings.append)


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
    loaded, notes = checkpoints.latest()
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
        "sparse": jc.sparse(kernel),
    }
    checkpoints.save({"work": leaves}, {})
    loaded = checkpoints.latest()[0]["work"]
    assert jax.tree.structure(loaded) == jax.tree.structure(leaves)
    for found, expected in zip(jax.tree.leaves(loaded), jax.tree.leaves(leaves), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_none_yet(checkpoints):
    assert checkpoints.latest() is None


def test_the_newest_two_are_kept(checkpoints, tmp_path):
    for value in range(5):
        checkpoints.save(arrays(value), {"value": value})
    assert checkpoints.latest()[1] == {"value": 4}
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
    loaded, notes = checkpoints.latest()
    assert notes == {"value": 1}
    assert np.all(loaded["work"]["params"]["a"]["kernel"] == 1)
    assert len(warnings) == 1 and "checkpoint 000001 is damaged" in warnings[0]
    checkpoints.save(arrays(3), {"value": 3})
    checkpoints.save(arrays(4), {"value": 4})
    assert checkpoints.latest()[1] == {"value": 4}
    assert len(list((tmp_path / "checkpoints").glob("*.json"))) == KEPT


def test_when_all_are_damaged_it_says_so(checkpoints, warnings, tmp_path):
    checkpoints.save(arrays(1), {})
    damage_notes(tmp_path / "checkpoints" / "000000")
    assert checkpoints.latest() is None
    assert "starting again" in warnings[0]


def test_arrays_without_notes_are_no_checkpoint(checkpoints, tmp_path):
    checkpoints.save(arrays(1), {"value": 1})
    checkpoints.save(arrays(2), {"value": 2})
    (tmp_path / "checkpoints" / "000001.json").unlink()  # killed between the two
    assert checkpoints.latest()[1] == {"value": 1}
    checkpoints.save(arrays(3), {"value": 3})
    assert checkpoints.latest()[1] == {"value": 3}
