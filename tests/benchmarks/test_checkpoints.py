"""Real checkpoints: the controls, and what is said about a smaller one."""

import importlib.util
import zipfile

import numpy as np
import pytest

from benchmarks.checkpoints import judge, ways
from benchmarks.checkpoints.network import Checkpoint, Network, Wheel


def test_a_block_of_8_bits_has_127_steps_of_its_largest_weight():
    weights = {"a": np.array([[127, -3, 2.4, 0] * 8], np.float32), "b": np.full(3, 0.1, np.float32)}
    small = ways.blocked(weights, "Q8_0")
    assert small.weights["a"].tolist() == [[127, -3, 2, 0] * 8]
    assert small.weights["b"] is weights["b"]
    assert small.size == 34 + 3 * 4


def test_a_block_of_4_bits_has_its_largest_weight_at_minus_8():
    row = np.zeros(64, np.float32)
    row[:4], row[32:35] = [8, -7, 1, -8], [-16, 14, 1]
    small = ways.blocked({"a": row.reshape(2, 32)}, "Q4_0")
    found = small.weights["a"].ravel()
    assert found[:4].tolist() == [8, -7, 1, -7] and found[32:35].tolist() == [-16, 14, 2]
    assert not found[4:32].any() and not found[35:].any()
    assert small.size == 2 * 18


def test_the_last_block_may_be_short_and_zeros_stay():
    small = ways.blocked({"a": np.zeros((5, 7), np.float32)}, "Q4_0")
    assert small.size == 2 * 18 and not small.weights["a"].any()


@pytest.mark.skipif(not importlib.util.find_spec("gguf"), reason="gguf is the reference")
@pytest.mark.parametrize("control", ways.CONTROLS)
def test_blocks_are_those_of_gguf(control):
    import gguf

    kind = gguf.GGMLQuantizationType[control]
    weights = np.random.default_rng(0).standard_t(2, (16, 64)).astype(np.float32)
    coded = gguf.quants.quantize(weights, kind)
    small = ways.blocked({"a": weights}, control)
    assert np.array_equal(small.weights["a"], gguf.quants.dequantize(coded, kind))
    assert small.size == coded.nbytes


@pytest.mark.slow
def test_the_command_packs_what_it_can_and_says_why_not(tmp_path):
    weights = {"a/b": np.random.default_rng(0).standard_normal((16, 32)).astype(np.float32)}
    net = Network(weights, lambda w: w["a/b"], lambda out, _: float(out.sum()))
    found = Checkpoint("n", "p", "MIT", "m.pth", "percent", lambda _: net, "pt")
    model = found.write(Wheel, weights, tmp_path)
    small = ways.packed(model, weights, ways.WAYS[1], tmp_path)
    assert judge.damage(weights["a/b"], small.weights["a/b"]) < 0.02
    assert small.size == (tmp_path / "small.npz").stat().st_size and small.seconds > 0
    more = weights | {"c": np.ones(1, np.float32)}
    assert ways.packed(model, more, ways.WAYS[0], tmp_path).weights["c"] is more["c"]
    with pytest.raises(KeyError, match="has no .*'c'"):
        ways.packed(model, weights | {"c": np.ones(99)}, ways.WAYS[0], tmp_path)
    with pytest.raises(ways.Refusal, match="bits: must be"):
        ways.packed(model, weights, ways.Way("none", ("--bits", "99")), tmp_path)
    assert not (tmp_path / "small.npz").exists()


def test_a_size_is_a_fraction_of_the_bytes_in_float32():
    assert ways.Way("a half", fraction=0.5).command(101) == ("--target-size", "50B")
    assert ways.float32_bytes({"a": np.zeros((2, 3), np.float16)}) == 24


def test_damage_is_relative_and_what_is_not_finite_must_stay():
    original = np.array([3.0, 4.0, -np.inf])
    assert judge.damage(original, np.array([3.0, 4.5, -np.inf])) == pytest.approx(0.1)
    assert judge.damage(original, np.array([3.0, 4.0, 0.0])) == np.inf
    assert judge.damage(np.zeros(2), np.zeros(2)) == 0
    assert judge.damage(np.zeros(2), np.ones(2)) == 1


def test_the_worst_tensor_and_the_outputs_are_named():
    weights = {"a": np.ones((1, 2), np.float32), "b": np.full((1, 2), 2, np.float32)}
    net = Network(weights, lambda w: w["a"] + w["b"], lambda out, _: float(out.sum()))
    changed = {"a": np.array([[1, 1.5]], np.float32), "b": weights["b"]}
    row = judge.judged(net, net.outputs(weights), ways.Small(7, changed, 0.0))
    assert row["worst_tensor"] == "a [1, 2]" and row["worst"] == pytest.approx(0.5 / np.sqrt(2))
    assert row["above_20_percent"] == 1 and row["whole"] == pytest.approx(0.5 / np.sqrt(10))
    assert row["score"] == 6.5 and 0.99 < row["cosine"] < 1 and row["bytes"] == 7


def test_errors_are_edits_to_what_is_true():
    assert judge.edits("kitten", "sitting") == 3
    assert judge.edits("", "abc") == 3 and judge.edits("abc", "") == 3
    assert judge.errors(["abc", "x"], ["abd", "x"]) == 25


def test_a_file_that_pack_reads_is_given_as_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "some_package-1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("inside/m.npz", b"bytes")
    wheel = Wheel(tmp_path, "some_package")
    found = Checkpoint("n", "p", "MIT", "inside/m.npz", "percent", lambda _: None, "as it is")
    path = found.write(wheel, {}, tmp_path)
    assert (path.suffix, path.read_bytes(), wheel.version) == (".npz", b"bytes", "1.2")


def test_a_wheel_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="has no wheel of nothing"):
        Wheel(tmp_path, "nothing")
