"""Numbers by planes: there and back to the bit, and what breaks a rule."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.leaves import Half
from jaxcompress.packing import planes
from tests.helpers.files import MANIFEST, rewritten

FLOATS = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


def bits_of(array):
    return np.ascontiguousarray(array).view(f"u{np.dtype(array.dtype).itemsize}")


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([*FLOATS, *INTEGERS]), st.integers(0, 99), st.integers(1, 40))
def test_any_numbers_come_back_from_their_planes(dtype, seed, size):
    raw = np.random.default_rng(seed).bytes(size * np.dtype(dtype).itemsize)
    numbers = np.frombuffer(raw, dtype)
    rotated = dtype in FLOATS
    found = planes.join(planes.split(numbers, rotated=rotated), rotated=rotated)
    np.testing.assert_array_equal(found, bits_of(numbers))


def test_planes_by_hand():
    """The highest byte of a rotated number is its exponent, the lowest bit its sign."""
    numbers = np.array([1.0, -2.0, 0.15625], np.float32)
    found = planes.split(numbers, rotated=True)
    assert found[3].tolist() == [127, 128, 124]
    assert found[0].tolist() == [0, 1, 0]
    assert found[2].tolist() == [0, 0, 0b01000000]


def special(dtype, shape=(80, 60)):
    values = np.random.default_rng(0).standard_normal(shape) * 0.03
    array = values.astype(dtype)
    bits = bits_of(array).copy()
    everything = (1 << 8 * array.dtype.itemsize) - 1
    half = everything // 2 + 1
    bits.reshape(-1)[:6] = [0, half, 1, half + 1, everything, everything // 2]
    return bits.view(array.dtype).reshape(shape)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_are_stored_to_the_bit_with_all_their_special_numbers(tmp_path, dtype):
    """Zeros of both signs, subnormal numbers, NaN of both signs: as they were."""
    tree = {"w": special(dtype), "few": special(dtype, (2, 3))}
    size = jc.save(tmp_path / "m.npz", tree, layout="entropy")
    entries = {entry["path"]: entry for entry in jc.inspect(tmp_path / "m.npz")["tensors"]}
    assert entries["w"]["form"] == "planes" and entries["few"]["form"] == "dense"
    found = jc.load_compressed(tmp_path / "m.npz")
    for path, array in tree.items():
        assert np.asarray(found[path]).dtype == array.dtype
        np.testing.assert_array_equal(bits_of(np.asarray(found[path])), bits_of(array))
    if tree["w"].itemsize > 1:  # else all bits are exponents, and Huffman codes suffice
        assert size < jc.save(tmp_path / "p.npz", tree, layout="csr")


def test_bfloat16_of_weights_takes_two_thirds():
    random = np.random.default_rng(0)
    rows = np.exp(random.standard_normal((600, 1)) * 0.5)
    weights = (random.standard_normal((600, 700)) * rows * 0.02).astype(ml_dtypes.bfloat16)
    assert len(jc.artifact.encode({"w": weights})) < 0.68 * weights.nbytes


def test_even_bytes_are_not_coded(tmp_path):
    noise = np.random.default_rng(0).integers(-(2**31), 2**31 - 1, 9000, np.int32)
    jc.save(tmp_path / "m.npz", {"w": noise}, layout="entropy")
    (entry,) = jc.inspect(tmp_path / "m.npz")["tensors"]
    assert entry["form"] == "dense"


def test_halves_are_stored_by_planes_too(tmp_path):
    leaf = Half(values=special("bfloat16").copy(), dtype=np.dtype("float32"))
    leaf.values.reshape(-1)[:6] = 0
    jc.save(tmp_path / "m.npz", {"w": leaf})
    (entry,) = jc.inspect(tmp_path / "m.npz")["tensors"]
    assert (entry["form"], entry["stored"], entry["dtype"]) == ("planes", "bfloat16", "float32")
    found = jc.load_compressed(tmp_path / "m.npz")["w"]
    assert isinstance(found, Half) and found.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(found.values), leaf.values)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"planes": [None]}, "planes do not fit"),
        ({"planes": [None, [5, 4]]}, "planes is not valid"),
        ({"planes": [None, [0, 256]]}, "planes is not valid"),
        ({"planes": [None, [0, True]]}, "planes is not valid"),
        ({"planes": [[0, 9], [0, 9]]}, "w: "),
        ({"stored": "float16"}, "do not stand for others|sha256|finite"),
        ({"stored": "complex64"}, "planes do not fit"),
        ({"dtype": "int32"}, "do not stand for others"),
        ({"shape": [0, 60]}, "planes do not fit"),
        ({"shape": [81, 60]}, "w: "),
        ({"shape": [1 << 40, 1 << 40]}, "max_bytes"),
    ],
)
def test_planes_that_break_a_rule_are_refused(tmp_path, fields, message):
    path = tmp_path / "m.npz"
    jc.save(path, {"w": special("bfloat16")}, layout="entropy")
    with pytest.raises(jc.ArtifactError, match=message):
        jc.load(rewritten(path, lambda members: members[MANIFEST]["tensors"][0].update(fields)))
