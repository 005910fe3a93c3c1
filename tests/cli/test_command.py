import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import zipfile

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import serialization
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import jaxcompress as jc
from jaxcompress.cli import cli
from jaxcompress.cli.sizes import Size
from jaxcompress.leaves import half
from jaxcompress.quantization import (
    balance_rounding,
    few_digits,
    per_best_axis,
    quantize,
    usual_range,
)
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)


def normal(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def weights():
    return {
        "layer.weight": normal(20, 30),
        "layer.bias": normal(30),
        "half/größe [bold]": normal(8, 9, dtype=np.float16),
        "brain": normal(8, 9, dtype=ml_dtypes.bfloat16),
        "double": normal(6, 7, dtype=np.float64),
        "steps": np.arange(12, dtype=np.int64).reshape(3, 4),
        "flags": np.array([[True, False]]),
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
    }


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bits(array):
    return np.asarray(array).reshape(-1).view(np.uint8).tobytes()


def assert_exact(tensors, expected):
    assert set(tensors) == set(expected)
    for name, array in expected.items():
        assert tensors[name].dtype == array.dtype and tensors[name].shape == array.shape, name
        assert bits(tensors[name]) == bits(array), name


@pytest.mark.slow
def test_pack_gives_what_compress_gives(here):
    tensors = weights()
    save_file(tensors, "m.safetensors", metadata={"format": "pt"})
    said = run("pack", "m.safetensors", "--sparsity", 0.5, "--clusters", 4)
    size = (here / "m.npz").stat().st_size
    assert said.out.startswith(f"m.npz: {size:,} bytes of ") and not said.err
    expected = jc.dense(jc.compress(tensors, sparsity=0.5, clusters=4))
    assert_exact(jc.load("m.npz"), {name: np.asarray(a) for name, a in expected.items()})
    pack = {"sparsity": 0.5, "quantizer": "kmeans", "clusters": 4}
    assert jc.inspect("m.npz")["metadata"] == {"pack": pack, "safetensors": {"format": "pt"}}
    assert_exact(load_file("m.safetensors"), tensors)


@pytest.mark.slow
def test_pack_meets_a_target_size(here):
    save_file({"a": normal(200, 100), "bias": normal(20)}, "m.safetensors")
    run("pack", "m.safetensors", "--target-size", "6KB", "--sparsity", 0.3)
    assert 0.9 * 6_000 < (here / "m.npz").stat().st_size <= 6_000
    assert jc.inspect("m.npz")["metadata"]["pack"]["step"] > 0
    before = (here / "m.npz").read_bytes()
    words = ["pack", "m.safetensors", "-o", "m.npz", "--target-size"]
    assert "cannot be made with errors of at most 0.5" in refused(*words, "500")
    assert (here / "m.npz").read_bytes() == before and len(list(here.iterdir())) == 2


@pytest.mark.parametrize("quantizer", ["uniform", "entropy"])
def test_pack_takes_other_quantizers(here, quantizer):
    tensors = {"a": normal(40, 50)}
    save_file(tensors, "m.safetensors")
    run("pack", "m.safetensors", "--quantizer", quantizer, "--step-size", 0.1)
    step = 0.1 * np.sqrt(np.mean(tensors["a"] ** 2))  # of the largest tensor, as finely as asked
    largest = np.abs(jc.load("m.npz")["a"] - tensors["a"]).max()
    assert 0.4 * step < largest < (0.5001 * step if quantizer == "uniform" else 3 * step)


def rounded(tree):
    grids = quantize(tree, granularity=per_best_axis(), estimate=few_digits(usual_range))
    return balance_rounding(tree, grids)


def test_pack_rounds_to_grids_and_the_other_commands_read_them(here):
    tensors = weights()
    save_file(tensors, "m.safetensors")
    run("pack", "m.safetensors", "--bits", 8, "--sparsity", 0.5)
    pruned = jc.apply_mask(tensors, jc.magnitude_mask(tensors, 0.5))
    expected = jc.dense(rounded(pruned))
    run("unpack", "m.npz", "-o", "back.safetensors")
    assert_exact(load_file("back.safetensors"), expected)
    assert jc.inspect("m.npz")["metadata"]["pack"] == {
        **{"sparsity": 0.5, "quantizer": "grid", "bits": 8}
    }
    report = json.loads(run("inspect", "m.npz", "--json").out)
    rows = {row["path"]: row for row in report["tensors"]}
    assert rows["layer.weight"]["form"] == "quantized" and rows["layer.weight"]["bits"] == 8
    assert rows["layer.bias"]["bits"] is None
    assert rows["layer.weight"]["nonzero"] == np.count_nonzero(expected["layer.weight"])
    assert 4 < rows["layer.weight"]["bits_per_weight"] < 12
    assert rows["layer.weight"]["bound_bytes"] > 30 * 4
    levels = rows["layer.weight"]["levels"]
    shown = run("inspect", "m.npz").out
    assert 64 < levels < 256 and f"{levels} of 256" in shown
    assert "over entropy: bytes against the entropy" in shown and "bit quantized" not in shown
    run("verify", "m.npz", "--against", "back.safetensors", "--tolerance", 0)
    run("pack", "m.safetensors", "-o", "less.npz", "--quantizer", "grid", "--bits", 4)
    rows = json.loads(run("diff", "m.npz", "less.npz", "--json", status=1).out)["changed"]
    assert {row["path"]: row["bits"] for row in rows}["double"] == [8, 4]
    jc.save("half.npz", half(tensors))
    assert "half bfloat16" in run("inspect", "half.npz").out


@pytest.mark.slow
def test_pack_makes_products_and_the_other_commands_read_them(here):
    tensors = {"wide": normal(40, 60), "bias": normal(60), "flat": normal(2, 9)}
    save_file(tensors, "m.safetensors")
    run("pack", "m.safetensors", "--keep-low-rank", 0.5, "--bits", 8)
    wide = jc.low_rank(tensors, keep=0.5)["wide"]
    factors = [rounded({"w": factor})["w"] for factor in wide.factors]
    expected = rounded(tensors) | {"wide": dataclasses.replace(wide, factors=tuple(factors))}
    settings = {"sparsity": 0.0, "quantizer": "grid", "bits": 8, "low_rank": 0.5}
    assert jc.inspect("m.npz")["metadata"]["pack"] == settings
    run("unpack", "m.npz", "-o", "back.safetensors")
    # Factors are multiplied by numpy, as `unpack` does: XLA may add in another order.
    assert_exact(load_file("back.safetensors"), jc.dense(jax.device_get(expected)))
    run("verify", "m.npz", "--against", "back.safetensors", "--tolerance", 0)
    rows = {r["path"]: r for r in json.loads(run("inspect", "m.npz", "--json").out)["tensors"]}
    assert {rows[name]["form"] for name in ("flat", "wide")} == {"quantized", "lowrank"}
    assert (rows["wide"]["packing"], rows["wide"]["bits"]) == ("ir,ro->io", 8)
    assert rows["wide"]["bits_per_weight"] < 6 and rows["wide"]["bound_bytes"] > 0
    assert re.search("lowrank ir,ro->io .* at most 256", run("inspect", "m.npz").out)
    run("pack", "m.safetensors", "-o", "other.npz", "--keep-low-rank", 0.4, "--clusters", 9)
    found = json.loads(run("diff", "m.npz", "other.npz", "--json", status=1).out)["changed"]
    (wide,) = [row for row in found if row["path"] == "wide"]
    assert (wide["bits"], wide["k"]) == ([8, None], [None, 9]) and "form" not in wide


def test_bars_on_a_terminal_leave_stdout_alone(here, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    save_file({"a": normal(20, 10)}, "m.safetensors")
    said = run("pack", "m.safetensors", "--sparsity", 0.3)
    assert said.out.startswith("m.npz: ") and "\x1b" in said.err and "\x1b" not in said.out


def test_packing_twice_gives_the_same_bytes(here):
    save_file(weights(), "m.safetensors")
    run("pack", "m.safetensors", "-o", "a.npz")
    run("pack", "m.safetensors", "-o", "b.npz")
    assert (here / "a.npz").read_bytes() == (here / "b.npz").read_bytes()


def test_safetensors_survive_the_round_trip_exactly(here):
    tensors = weights()
    save_file(tensors, "m.safetensors", metadata={"format": "pt", "a": "é"})
    run("pack", "m.safetensors", "--clusters", 1024, "--scope", "layer")
    run("unpack", "m.npz", "-o", "back.safetensors")
    assert_exact(load_file("back.safetensors"), tensors)
    with safe_open("back.safetensors", framework="np") as file:
        assert file.metadata() == {"format": "pt", "a": "é"}
    run("verify", "m.npz", "--against", "back.safetensors", "--tolerance", 0)


def test_npz_survives_the_round_trip_and_is_never_the_default_output(here):
    tensors = {name: a for name, a in weights().items() if name != "brain"}
    tensors["layer.weight"] = np.asfortranarray(tensors["layer.weight"])
    np.savez("m.npz", **tensors)
    before = (here / "m.npz").read_bytes()
    run("pack", "m.npz", "--clusters", 1024)
    assert (here / "m.npz").read_bytes() == before
    run("unpack", "m.small.npz", "-o", "back.npz")
    with np.load("back.npz") as back:
        assert_exact(dict(back), tensors)


def test_msgpack_keeps_its_nesting(here):
    tree = {
        "params": {"dense": {"kernel": normal(5, 4), "bias": normal(4)}},
        "brain": normal(3, 3, dtype=ml_dtypes.bfloat16),
        "step": 7,
        "rate": np.float32(0.5),
        "nothing": None,
    }
    (here / "m.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    run("pack", "m.msgpack", "--clusters", 1024)
    run("unpack", "m.npz", "-o", "back.msgpack")
    back = serialization.msgpack_restore((here / "back.msgpack").read_bytes())
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(back), strict=True):
        assert bits(a) == bits(b)
    run("unpack", "m.npz", "-o", "flat.safetensors")
    assert "params/dense/kernel" in load_file("flat.safetensors")
    run("verify", "m.npz", "--against", "m.msgpack", "--tolerance", 0)


@pytest.mark.parametrize("step", [False, True])
def test_orbax_folders_keep_their_nesting(here, step):
    tree = {"a": {"kernel": normal(5, 4)}, "l": [normal(3), np.array(2)], "none": None}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(here / "ckpt" / "default" if step else here / "ckpt", tree)
    run("pack", "ckpt", "--clusters", 1024)
    back = jc.load("ckpt.npz")
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(back), strict=True):
        assert bits(a) == bits(b)
    assert "must not lie in the input" in refused("pack", "ckpt", "-o", "ckpt/default/m.npz")


def test_verify_measures_errors_by_hand(here):
    zero, steps = np.zeros((1, 2), "f"), np.arange(99)
    save_file({"a": np.float32([[3, 0], [0, 4]]), "zero": zero, "steps": steps}, "a.safetensors")
    jc.save("m.npz", {"a": np.float32([[3, 0], [0, 3]]), "zero": zero, "steps": steps})
    report = json.loads(run("verify", "m.npz", "--against", "a.safetensors", "--json").out)
    errors = {row["path"]: row for row in report["errors"]}
    assert errors["a"]["relative"] == pytest.approx(1 / 5) and errors["a"]["largest"] == 1
    assert report["total"]["relative"] == errors["a"]["relative"]  # positions are no weights
    assert errors["a"]["cosine"] == pytest.approx(21 / (5 * 18**0.5))
    assert errors["zero"] == {
        "path": "zero", "shape": [1, 2], "relative": 0, "largest": 0, "cosine": 1,
    }  # fmt: skip
    run("verify", "m.npz", "--against", "a.safetensors", "--tolerance", 0.2001)
    said = run("verify", "m.npz", "--against", "a.safetensors", "--tolerance", 0.19, status=1)
    assert "beyond the tolerance: a" in said.out


@pytest.mark.parametrize("options", [[], ["--bits", 4], ["--sparsity", 0.5], ["--exclude", "c"]])
def test_verify_says_what_pack_said(here, options):
    a, ids = normal(40, 50), np.arange(99)
    tensors = {"a": a, "tied": a, "b": normal(30, 50), "c": 9 * normal(60, 40), "bias": normal(99)}
    save_file(tensors | {"ids": ids}, "m.safetensors")
    said = run("pack", "m.safetensors", *options).out.splitlines()
    start = next(n for n, line in enumerate(said) if line.startswith("relative error"))
    errors = [line for line in said[start:] if line.startswith(("relative", "  "))]
    assert len(errors) > 2
    words = ["verify", "m.npz", "--against", "m.safetensors"]
    shown = run(*words).out.splitlines()
    start = next(n for n, line in enumerate(shown) if line.startswith("relative error"))
    assert shown[start:-1] == errors
    total = json.loads(run(*words, "--json").out)["total"]
    assert f"relative error {total['relative']:.4f}," in errors[0]
    run("pack", "m.safetensors", "--lossless", "-o", "m.npz")
    assert "relative error" not in run(*words).out


def test_verify_sees_missing_extra_reshaped_and_infinitely_wrong_tensors(here):
    save_file(
        {"a": normal(2, 2), "b": normal(2, 3), "c": np.zeros((2, 2), "f"), "n": np.float32([0])},
        "a.safetensors",
    )
    n = np.float32([np.nan])
    jc.save("m.npz", {"b": normal(3, 2), "c": np.ones((2, 2), "f"), "d": normal(2), "n": n})
    said = run("verify", "m.npz", "--against", "a.safetensors", "--json", status=1).out
    report = json.loads(said)
    assert (report["missing"], report["extra"], report["other_shape"]) == (["a"], ["d"], ["b"])
    assert [row["relative"] for row in report["errors"]] == [None, None]
    words = ["verify", "m.npz", "--against", "a.safetensors", "--tolerance", 1e9]
    said = run(*words, status=1).out
    assert "only in a.safetensors: a" in said and "beyond the tolerance: n" in said


def test_verify_alone_reads_the_whole_file(here):
    jc.save("m.npz", jc.compress(weights() | {"nan": np.float32([np.nan])}))
    assert run("verify", "m.npz").out == "m.npz: whole, 10 tensors\n"
    assert json.loads(run("verify", "m.npz", "--json").out) == {"file": "m.npz", "tensors": 10}


def test_inspect_says_what_each_tensor_takes(here):
    save_file(weights(), "m.safetensors")
    run("pack", "m.safetensors", "--sparsity", 0.5, "--clusters", 4)
    report = json.loads(run("inspect", "m.npz", "--json").out)
    rows = {row["path"]: row for row in report["tensors"]}
    assert set(rows) == set(weights()) and report["metadata"]["pack"]["clusters"] == 4
    assert rows["layer.weight"]["k"] == 4 and rows["layer.bias"]["k"] is None
    assert rows["layer.weight"]["shape"] == [20, 30] and rows["empty"]["weights"] == 0
    assert rows["brain"]["dense_bytes"] == 2 * 8 * 9
    loaded = jc.load("m.npz")
    assert rows["layer.weight"]["nonzero"] == np.count_nonzero(loaded["layer.weight"])
    total = report["total"]
    assert total["file_bytes"] == (here / "m.npz").stat().st_size
    assert total["dense_bytes"] == sum(a.nbytes for a in weights().values())
    shown = run("inspect", "m.npz").out
    assert "half/größe [bold]" in shown and "20x30" in shown and "total of 9" in shown


def test_inspect_shows_steps_by_the_levels_in_use_and_entropy_of_codes_only(here):
    save_file({"a": normal(40, 50), "b": normal(60), "c": normal(60)}, "m.safetensors")
    run("pack", "m.safetensors", "--exclude", "c")
    shown = run("inspect", "m.npz").out
    a = next(line for line in shown.splitlines() if line.startswith("a "))
    b = next(line for line in shown.splitlines() if line.startswith("b "))  # ends with its share
    levels = jc.load_compressed("m.npz")["a"].values
    assert f"{np.unique(levels).size} of 256" in a and re.search(r"[+-]\d+\.\d%$", a)
    assert "dense" in b and re.search(r"\d\.\d%$", b.rstrip()) and not {"+", "-"} & set(b)
    jc.save("plain.npz", {"b": normal(60)})
    assert "entropy:" not in run("inspect", "plain.npz").out


def test_inspect_says_how_a_program_was_made_and_runs_nothing(here):
    tree = {"w": np.eye(3, dtype="f")}
    made = {"by": "\x1b[31mme", "steps": [{"bits": n} for n in range(50)]}
    jc.ship("m.npz", lambda tree, x: x @ tree["w"], tree, normal(1, 3), made=made)
    lines = run("inspect", "m.npz").out.splitlines()
    first = lines.index("program: jax.export, which `jaxcompress run` executes")
    assert lines[first + 1] == r"made, by: \x1b[31mme"
    assert lines[first + 2] == "made, steps: {'bits': 0}" and len(lines) == first + 43
    assert lines[-1] == "made, steps: and 10 more, which --json shows"
    told = json.loads(run("inspect", "m.npz", "--json").out)["program"]
    assert told["made"] == made and told["kind"] == "jax.export"
    jc.save("plain.npz", tree)
    assert "program" not in json.loads(run("inspect", "plain.npz", "--json").out)
    assert "program" not in run("inspect", "plain.npz").out


def test_diff_names_what_differs(here):
    tensors = weights()
    jc.save("a.npz", jc.compress(tensors, clusters=4))
    run("diff", "a.npz", "a.npz")
    other = {name: a for name, a in tensors.items() if name != "flags"}
    other |= {"new": normal(3), "scalar": np.array(7, np.float32), "steps": np.arange(3)}
    jc.save("b.npz", jc.compress(other, clusters=3, scope=jc.scopes.matching("layer|half|double")))
    report = json.loads(run("diff", "a.npz", "b.npz", "--json", status=1).out)
    assert report["only_in_first"] == ["flags"] and report["only_in_second"] == ["new"]
    changed = {row["path"]: row for row in report["changed"]}
    assert changed["scalar"]["relative"] == 1 and changed["layer.weight"]["k"] == [4, 3]
    assert changed["steps"]["shape"] == [[3, 4], [3]] and changed["brain"]["form"][1] == "dense"
    assert set(changed) == {
        "scalar",
        "layer.weight",
        "steps",
        "brain",
        "double",
        *["half/größe [bold]"],
    }
    shown = run("diff", "a.npz", "b.npz", status=1).out
    assert "only in a.npz: flags" in shown and "shape 3x4 -> 3" in shown


HOSTILE = {
    "empty.safetensors": b"",
    "text.safetensors": b"this is not what its name says, by far",
    "huge.safetensors": b"\xff" * 64,
    "empty.npz": b"",
    "text.npz": b"PK\x03\x04 and then nothing",
    "empty.msgpack": b"",
    "text.msgpack": b"\xc1\xc1\xc1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_are_not_what_their_suffix_says(here, name):
    (here / name).write_bytes(HOSTILE[name])
    assert name in refused("pack", name, "-o", "out.npz", status=3)
    assert not (here / "out.npz").exists() and len(list(here.iterdir())) == 1


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "msgpack"])
def test_truncated_files(here, suffix):
    tensors = {"a": normal(30, 30)}
    save_file(tensors, "m.safetensors")
    np.savez("m.npz", **tensors)
    (here / "m.msgpack").write_bytes(serialization.msgpack_serialize(tensors))
    data = (here / f"m.{suffix}").read_bytes()
    for end in (4, 9, len(data) // 2, len(data) - 1):
        (here / f"cut.{suffix}").write_bytes(data[:end])
        assert f"cut.{suffix}" in refused("pack", f"cut.{suffix}", "-o", "out.npz", status=3)
    assert not (here / "out.npz").exists()


def test_damaged_results_have_a_status_of_their_own(here):
    jc.save("m.npz", jc.compress(weights()))
    data = bytearray((here / "m.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (here / "bad.npz").write_bytes(data)
    (here / "cut.npz").write_bytes(data[:-40])
    np.savez("plain.npz", a=np.ones(3))
    for name in ("bad.npz", "cut.npz", "plain.npz"):
        assert name in refused("verify", name, status=3)
        assert name in refused("unpack", name, status=3)
    assert not list(here.glob("*.safetensors"))


def test_arrays_of_objects_are_never_unpickled(here):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, ("exploded",)

    np.savez("m.npz", fine=np.ones((2, 2)), bad=np.array([Bomb()], object))
    assert "m.npz: bad: dtype must be one of" in refused("pack", "m.npz", "-o", "o.npz")
    np.savez("m.npz", text=np.array(["a", "b"]))
    assert "m.npz: text: dtype must be one of" in refused("pack", "m.npz", "-o", "o.npz")
    assert not (here / "exploded").exists()


def test_npz_with_other_members_or_names_twice(here):
    with zipfile.ZipFile("m.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "readme.txt: not an array" in refused("pack", "m.npz", "-o", "o.npz", status=3)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile("m.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", b"")
    assert "unique" in refused("pack", "m.npz", "-o", "o.npz", status=3)


def test_what_is_compressed_already_is_refused(here):
    jc.save("m.npz", {"a": np.ones((2, 2))})
    assert "compressed already" in refused("pack", "m.npz", "-o", "o.npz")
    assert "compressed already" in refused("verify", "m.npz", "--against", "m.npz")


@pytest.mark.parametrize("name", ["model.tflite", "model"])
def test_unknown_suffixes(here, name):
    (here / name).write_bytes(b"x")
    assert "weights must be .safetensors, .npz" in refused("pack", name)
    jc.save("m.npz", {"a": np.ones(2)})
    if "." in name:
        assert "the output must be .safetensors" in refused("unpack", "m.npz", "-o", f"o-{name}")


def test_names_that_collide(here):
    jc.save("m.npz", {"a": {"b": np.ones(2)}, "a/b": np.zeros(2)})
    for words in (["unpack", "m.npz"], ["verify", "m.npz"], ["diff", "m.npz", "m.npz"]):
        assert "m.npz: a/b: a name must mean one tensor" in refused(*words)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("sparsity", [0, 0.5])
def test_tensors_that_are_not_finite_are_kept_and_named(here, value, sparsity):
    bad = normal(14, 14)
    bad[1, 2] = value
    save_file({"fine": normal(13, 13), "broken": bad}, "m.safetensors")
    said = run("pack", "m.safetensors", "--sparsity", sparsity).out
    assert "kept exactly, not finite: 1 tensor of 196 numbers: broken" in said
    np.testing.assert_array_equal(jc.load("m.npz")["broken"], bad)


def test_a_network_of_nan_is_refused(here):
    save_file({"fine": normal(3, 3), "broken": np.full((9, 9), np.nan, "f")}, "m.safetensors")
    assert "weights must be finite, got NaN in 81 of 90" in refused("pack", "m.safetensors")
    assert [path.name for path in here.iterdir()] == ["m.safetensors"]


def test_outputs_that_would_destroy_something(here):
    save_file({"a": normal(3, 3)}, "m.safetensors")
    (here / "link.safetensors").symlink_to("m.safetensors")
    (here / "folder").mkdir()
    for output, reason in (
        ("m.safetensors", "must not be the input"),
        ("link.safetensors", "must not be the input"),
        ("folder", "found a folder"),
        ("missing/m.npz", "folder of the output is missing"),
    ):
        assert reason in refused("pack", "m.safetensors", "-o", output)
    run("pack", "m.safetensors")
    assert "exists already" in refused("pack", "m.safetensors")
    run("pack", "m.safetensors", "-o", "m.npz")
    assert "exists already" in refused("unpack", "m.npz")
    assert "must not be the input" in refused("unpack", "m.npz", "-o", "m.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sparsity", "90"], "--sparsity: must be in [0, 1), got 90"),
        (["--sparsity", "nan"], "--sparsity: must be in [0, 1)"),
        (["--clusters", "0"], "--clusters: must be in 1 to 1024, got 0"),
        (["--clusters", "x"], "'x' is not a valid integer"),
        (["--scope", "nothing"], "--scope: no tensor is chosen out of 2"),
        (["--scope", "("], "--scope: '(' is not a regular expression"),
        (["--quantizer", "magic"], "'magic' is not one of"),
        (
            ["--step-size", "0.1", "--bits", "3"],
            "only the quantizers relative, uniform and entropy",
        ),
        (["--quantizer", "uniform"], "the quantizer uniform needs one"),
        (["--quantizer", "uniform", "--clusters", "3"], "only the quantizer kmeans takes one"),
        (["--bits", "9"], "bits: must be 1 to 8"),
        (["--bits", "8", "--clusters", "3"], "--clusters: only the quantizer kmeans takes one"),
        (["--quantizer", "kmeans", "--bits", "8"], "--bits: only the quantizer grid takes one"),
        (["--bits", "a=b"], "--bits: must be a number from 1 to 8, or patterns"),
        (["--bits", "*=4,a=0"], "--bits: must be 1 to 8 bits of a weight, got 0"),
        (["--block", "1"], "--block: must be at least 2 weights, got 1"),
        (["--channel-axis", "middle"], "'middle' is not one of"),
        (["--max-error", "0"], "--max-error: must be"),
        (["--max-error", "0.1", "--min-snr", "20"], "--min-snr: says the same as --max-error"),
        (["--quantizer", "mixed"], "'mixed' is not one of"),
        (["--rules", "m.safetensors"], "m.safetensors: must be TOML"),
        (["--target-size", "0"], "must be a size above zero, got '0'"),
        (["--target-size", "1 mile"], "must be a size above zero"),
        (["--target-size", "1MB", "--quantizer", "kmeans"], "chooses the step size of relative"),
        (["--target-size", "1MB", "--step-size", "1"], "got --step-size too"),
        (["--target-size", "9"], "--target-size: a file of at most 9 bytes cannot be made"),
        (["--target-size", "9"], "larger errors (--max-error), raise --sparsity"),
        (["--drop", "*"], "--select, --drop: some tensor must be left"),
        (["--layout", "best"], "'best' is not one of"),
        (["--keep-low-rank", "50"], "--keep-low-rank: must be in (0, 1], got 50"),
        (["--keep-low-rank", "0.5", "--sparsity", "0.5"], "a product keeps no zeros"),
        (
            ["--keep-low-rank", "0.5", "--target-size", "1MB"],
            "and grid, not with a wanted size",
        ),
    ],
)
def test_bad_options_are_refused_in_one_line(here, words, message):
    save_file({"a": normal(3, 3), "b": normal(3)}, "m.safetensors")
    assert message in refused("pack", "m.safetensors", *words)
    assert len(list(here.iterdir())) == 1


def test_the_other_commands_refuse_in_one_line_too(here):
    assert "does not exist" in refused("verify", "nope.npz")
    assert "No such command" in refused("pakc")
    jc.save("m.npz", {"a": np.ones(2)})
    assert "come with --against" in refused("verify", "m.npz", "--tolerance", 0.1)
    save_file({"a": np.ones(2)}, "m.safetensors")
    words = ["verify", "m.npz", "--against", "m.safetensors", "--tolerance"]
    assert "must be at least 0" in refused(*words, "-1")


def test_names_cannot_steer_the_terminal(here):
    jc.save("m.npz", {"\x1b[2Jgone\nx": np.ones(2)})
    for words in (["inspect", "m.npz"], ["diff", "m.npz", "m.npz"]):
        assert "\x1b" not in run(*words).out
    save_file({"\x1b[2Jbad": np.full((2, 2), np.inf)}, "m.safetensors")
    assert "numbers: \\x1b[2Jbad" in run("pack", "m.safetensors", "-o", "o.npz").out


@pytest.mark.parametrize(
    ("text", "count"),
    [("400KB", 400_000), ("400 kb", 400_000), ("1.5MiB", 1_572_864), ("7", 7), ("2g", 2 * 10**9)],
)
def test_sizes(text, count):
    assert Size().convert(text, None, None) == count


def test_missing_extras_are_named(here, monkeypatch):
    (here / "m.msgpack").write_bytes(b"")
    (here / "ckpt").mkdir()
    assert "or be an orbax checkpoint, found none" in refused("pack", "ckpt")
    (here / "ckpt" / "_METADATA").write_bytes(b"")
    for name in ("flax.serialization", "orbax.checkpoint"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("m.msgpack", "ckpt"):
        message = "which is not installed; pip install 'jaxcompress[flax]'."
        assert message in refused("pack", name) and f"{name}: needs " in refused("pack", name)


def test_help_states_the_exit_statuses():
    for words in (["--help"], ["pack", "--help"], ["diff", "-h"]):
        assert "130  interrupted" in run(*words).out
    assert CliRunner().invoke(cli, []).exit_code == 2
    assert re.search(r"version \d", run("--version").out)


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}


@pytest.mark.slow
def test_the_program_is_quiet_when_nobody_listens(here):
    tensors = {f"tensor {i}": np.ones(2) for i in range(300)}  # several writes
    jc.save("m.npz", tensors)
    save_file(tensors, "a.safetensors")
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxcompress.cli", "verify", "m.npz", "--against", "a.safetensors"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    process.stdout.close()
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 141


INTERRUPTED = """
import os, signal, sys, time
from jaxcompress.cli import sources
from jaxcompress.cli.command import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it

def load(*_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)  # another thread may be the one to take the signal, a moment later

sources.SafetensorsSource.load = load
sys.argv[1:] = ["pack", "m.safetensors"]
main()
"""


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line(here):
    save_file({"a": normal(3, 3)}, "m.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.strip() == "jaxcompress: interrupted; files are as they were."
    assert len(list(here.iterdir())) == 1


MEMORY = """
import resource, sys
from click.testing import CliRunner
from jaxcompress.cli import cli

def peak_bytes(name):
    done = CliRunner().invoke(cli, ["pack", name, "--sparsity", "0.95", "--clusters", "2"])
    assert done.exit_code == 0, done.stderr
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

one = peak_bytes("one.safetensors")
print(peak_bytes("many.safetensors") - one)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_memory_stays_near_one_tensor(here):
    many = {f"t{i:02}": normal(1024, 512) for i in range(1)}
    save_file(many, "one.safetensors")
    many |= {f"t{i:02}": many["t00"] for i in range(1, 64)}
    save_file(many, "many.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    assert int(done.stdout) < 0.5 * 64 * 1024 * 512 * 4
