"""Codes that repeat, as rows of a transform do: no coder of one weight at a time sees it."""

import numpy as np
import pytest

import jaxcompress as jc


def _saved(tmp_path, leaf, layout):
    path = tmp_path / f"{layout}.npz"
    return jc.save(path, {"w": leaf}, layout=layout), path


def test_a_transform_is_no_larger_than_its_repetitions(tmp_path):
    angles = 2 * np.pi * np.outer(np.arange(65), np.arange(128)) / 128
    basis = np.concatenate([np.cos(angles), np.sin(angles)]).astype("f") * np.hanning(128)
    leaf = jc.quantize({"w": basis}, granularity=jc.quantization.per_channel(0))["w"]
    small, path = _saved(tmp_path, leaf, "entropy")
    packed, _ = _saved(tmp_path, leaf, "packed")
    assert small <= 1.01 * packed
    np.testing.assert_array_equal(jc.load_compressed(path)["w"].values, leaf.values)


def test_repeated_rows_take_their_place_once(tmp_path):
    rows = np.random.default_rng(0).integers(-127, 128, (8, 64)).astype(np.int8)
    leaf = jc.Quantized(values=np.tile(rows, (64, 1)), scale=np.ones((1, 1), "f"), bits=8)
    small, path = _saved(tmp_path, leaf, "entropy")
    assert small < 2500  # of 512 bytes and their copies
    np.testing.assert_array_equal(jc.load_compressed(path)["w"].values, leaf.values)


def test_zeros_at_the_beginning_say_nothing_of_the_rest(tmp_path):
    weights = np.random.default_rng(0).standard_t(4, size=(1024, 128)).astype("f")
    sizes = []
    for zeros in (slice(0, 128), slice(-128, None)):
        pruned = weights.copy()
        pruned[zeros] = 0
        leaf = jc.compress({"w": pruned}, step_size=0.5)["w"]
        sizes.append(_saved(tmp_path, leaf, "entropy")[0])
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_weights_that_do_not_repeat_are_coded(tmp_path):
    weights = np.random.default_rng(0).standard_normal((64, 256)).astype("f")
    leaf = jc.quantize({"w": weights}, 6)["w"]
    small, path = _saved(tmp_path, leaf, "entropy")
    packed, _ = _saved(tmp_path, leaf, "packed")
    assert small < 1.01 * packed
    with np.load(path) as file:
        assert "rans" in file.files
    np.testing.assert_array_equal(jc.load_compressed(path)["w"].values, leaf.values)


def test_repetitions_in_a_few_places_do_not_tell_of_all_codes():
    """Sampled places repeat, the rest is noise: coded by contexts it takes half of the bytes."""
    rng = np.random.default_rng(0)
    values = np.clip(rng.geometric(0.5, (1024, 256)) * rng.choice([-1, 1], (1024, 256)), -100, 100)
    values[0, :2] = -100, 100
    flat = values.reshape(-1)
    for start in np.linspace(0, flat.size - 8192, 4).astype(int):
        flat[start : start + 8192] = np.tile(flat[:64], 128)
    leaf = jc.Quantized(values=values.astype(np.int8), scale=np.ones((1, 1), "f"), bits=8)
    counts = np.bincount(flat + 100)
    entropy = -np.sum(counts[counts > 0] * np.log2(counts[counts > 0] / flat.size)) / 8
    assert jc.size_bytes({"w": leaf}, layout="entropy") < 1.05 * entropy + 2000
