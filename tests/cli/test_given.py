"""`pack` of somebody's checkpoint: rules, what is left out, and what it says."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jaxcompress as jc
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bits_of(file):
    rows = json.loads(run("inspect", file, "--json").out)["tensors"]
    return {row["path"]: row["bits"] for row in rows}


MODEL = {
    "embed.weight": normal(64, 40),
    "layer.weight": normal(40, 40),
    "layer.bias": normal(40),
    "lm_head.weight": normal(40, 40),
}


def test_bits_by_pattern(here):
    save_file(MODEL, "m.safetensors")
    run("pack", "m.safetensors", "--bits", "*embed*=8,lm_head=6,*=4")
    assert bits_of("m.npz") == {
        **{"embed.weight": 8, "layer.weight": 4, "layer.bias": None, "lm_head.weight": 6}
    }
    settings = jc.inspect("m.npz")["metadata"]["pack"]
    assert settings["rules"][1] == ["lm_head", {"way": "grid", "value": 6}]


def test_excluded_tensors_are_kept_and_said(here):
    save_file(MODEL, "m.safetensors")
    said = run("pack", "m.safetensors", "--exclude", "lm_head", "--exclude", "*embed*").out
    assert (
        "kept exactly, by a rule: 2 tensors of 4,160 numbers: embed.weight, lm_head.weight" in said
    )
    loaded = jc.load("m.npz")
    for name in ("embed.weight", "lm_head.weight"):
        np.testing.assert_array_equal(loaded[name], MODEL[name])


RULES = """
[[rules]]
match = "*embed*"
bits = 8
block = 8

[[rules]]
match = "lm_head"
keep = true

[[rules]]
match = "*"
clusters = 5
"""


def test_rules_of_a_file(here):
    save_file(MODEL, "m.safetensors")
    (here / "rules.toml").write_text(RULES)
    run("pack", "m.safetensors", "--rules", "rules.toml", "--channel-axis", "first")
    leaves = jc.load_compressed("m.npz")
    assert leaves["embed.weight"].scale.shape == (64, 5) and leaves["embed.weight"].bits == 8
    assert leaves["layer.weight"].codebook.size == 5
    np.testing.assert_array_equal(leaves["lm_head.weight"], MODEL["lm_head.weight"])


def test_rules_set_sparsity_and_layout(here):
    save_file(MODEL, "m.safetensors")
    rules = """
[[rules]]
match = "*embed*"
layout = "csr"
sparsity = 0.75

[[rules]]
match = "lm_head"
layout = "packed"
"""
    (here / "rules.toml").write_text(rules)
    run("pack", "m.safetensors", "--rules", "rules.toml", "--clusters", "3")
    rows = {
        row["path"]: row for row in json.loads(run("inspect", "m.npz", "--json").out)["tensors"]
    }
    packings = [
        rows[name]["packing"] for name in ("embed.weight", "layer.weight", "lm_head.weight")
    ]
    assert packings[:2] == ["csr", "rans"] and packings[2] in ("bits", "gaps", "plain")
    assert rows["embed.weight"]["sparsity"] == 0.75
    assert rows["layer.weight"]["sparsity"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "must hold tables [[rules]] and nothing else, got x"),
        ("[[rules]]\nbits = 3", "rule 1: must have match"),
        ("[[rules]]\nmatch = 'a'", "rule 1: must set something"),
        ("[[rules]]\nmatch = 'a'\ncolour = 1", "got colour"),
        ("[[rules]]\nmatch = 'a'\nkeep = true\nbits = 4", "must have keep = true alone"),
        ("[[rules]]\nmatch = 'a'\nbits = 9", "bits: must be 1 to 8 bits"),
        ("[[rules]]\nmatch = 'a'\nbits = '4'", "bits: must be 1 to 8 bits"),
        ("[[rules]]\nmatch = 'a'\nblock = 0", "block: must be at least 2"),
        ("[[rules]]\nmatch = 'a'\nchannel_axis = 3", "channel_axis: must be one of"),
        ("[[rules]]\nmatch = 'a'\nbits = 4\nclusters = 3", "only the quantizer kmeans takes one"),
        ("[[rules]]\nmatch = 'a'\nsparsity = 50", "rule 1: sparsity must be in [0, 1), got 50"),
        ("[[rules]]\nmatch = 'a'\nlayout = 'zip'", "layout: must be one of csr, packed, entropy"),
        ("[rules]\nmatch = 'a'", "must hold tables"),
    ],
)
def test_rules_that_say_something_else_are_refused(here, text, message):
    save_file(MODEL, "m.safetensors")
    (here / "rules.toml").write_text(text)
    assert message in refused("pack", "m.safetensors", "--rules", "rules.toml")
    assert not (here / "m.npz").exists()


def test_the_axis_follows_the_library_that_wrote_the_file(here):
    """Where no axis is better, PyTorch has the outputs first."""
    tensors = {"w": normal(80, 80)}
    save_file(tensors, "pt.safetensors", metadata={"format": "pt"})
    save_file(tensors, "jax.safetensors")
    for name, shape in (("pt", (80, 1)), ("jax", (1, 80))):
        run("pack", f"{name}.safetensors", "--bits", 4)
        assert jc.load_compressed(f"{name}.npz")["w"].scale.shape == shape
    run("pack", "pt.safetensors", "-o", "last.npz", "--bits", 4, "--channel-axis", "last")
    assert jc.load_compressed("last.npz")["w"].scale.shape == (1, 80)


@pytest.mark.parametrize(("shape", "axis"), [((96, 96, 1, 1), 0), ((64, 3, 3, 3), 0)])
def test_a_convolution_of_skewed_outputs_is_not_ruined(here, shape, axis):
    sizes = np.exp(RNG.uniform(-4, 0, (shape[0], 1, 1, 1)))
    save_file({"w": (normal(*shape) * sizes).astype("f")}, "m.safetensors")
    run("pack", "m.safetensors", "--bits", 8)
    run("verify", "m.npz", "--against", "m.safetensors", "--tolerance", 0.015)


def test_errors_beyond_the_limit_are_refused_with_the_list(here):
    save_file(MODEL, "m.safetensors")
    for words in (["--max-error", 0.05], ["--min-snr", 26]):
        said = refused("pack", "m.safetensors", "--bits", 3, *words)
        assert "relative errors must be at most 0.05" in said and "layer.weight 0." in said
        assert [path.name for path in here.iterdir()] == ["m.safetensors"]
    run("pack", "m.safetensors", "--max-error", 0.05)
    run("verify", "m.npz", "--against", "m.safetensors", "--tolerance", 0.05)


def test_the_last_lines_say_how_small_and_how_bad(here):
    save_file(MODEL, "m.safetensors")
    first, error, *worst, kept = run("pack", "m.safetensors", "--bits", 4).out.splitlines()
    assert first.startswith("m.npz: ") and first.endswith(" bits a weight")
    assert error.startswith("relative error 0.1") and error.endswith("dB; the largest:")
    assert len(worst) == 3 and worst[0].endswith("weight")
    assert kept == "kept exactly, outside of the scope: 1 tensor of 40 numbers"


@pytest.mark.slow
def test_bits_and_a_size_mix_bits(here):
    model = {f"l{n}": normal(60, 60) for n in range(8)}
    save_file(model, "m.safetensors")
    run("pack", "m.safetensors", "--bits", 8, "--target-size", "16KB")
    found = set(bits_of("m.npz").values())
    assert 14_500 < (here / "m.npz").stat().st_size <= 16_000
    assert len(found) > 1 and max(found) <= 8


CHECKPOINT = {
    "params/w": normal(40, 40),
    "ema_params/w": normal(40, 40),
    "opt_state/mu/w": normal(40, 40),
    "step": np.array(3),
}


def test_parts_of_a_checkpoint_are_selected_or_dropped(here):
    np.savez("c.npz", **CHECKPOINT)
    told = run("pack", "c.npz", "-o", "m.npz").err
    assert "1 tensor of 6,400 bytes, the state of an optimizer: kept exactly; --drop" in told
    assert "1 tensor of 6,400 bytes, averages of weights beside them: kept exactly" in told
    run("pack", "c.npz", "-o", "p.npz", "--select", "params")
    assert list(jc.load("p.npz")) == ["params/w"]
    said = run("pack", "c.npz", "-o", "d.npz", "--drop", "opt_state", "--drop", "*ema*")
    assert not said.err and sorted(jc.load("d.npz")) == ["params/w", "step"]
    assert jc.inspect("d.npz")["metadata"]["pack"]["drop"] == ["opt_state", "*ema*"]
    words = ["pack", "c.npz", "-o", "e.npz"]
    assert "net: a pattern must match a tensor" in refused(*words, "--select", "net")
    assert "some tensor must be left" in refused(*words, "--drop", "*")
    assert "'*mbed*'" in refused(*words, "--exclude", "mbed")


def test_selections_keep_the_nesting(here):
    from flax import serialization

    tree = {"params": {"a": {"w": normal(9, 9)}}, "layers": [normal(9, 9), normal(9, 9)]}
    tree = {"t": tree, "opt_state": {"w": normal(2, 2)}}
    (here / "c.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    run("pack", "c.msgpack", "--lossless", "-o", "whole.npz")
    run("pack", "c.msgpack", "--drop", "opt_state", "--bits", 8)
    loaded = jc.load("c.npz")
    assert sorted(loaded) == ["t"] and sorted(loaded["t"]) == ["layers", "params"]


def test_large_files_are_inspected_by_their_manifest(here, monkeypatch):
    from jaxcompress.cli import inspect

    save_file(MODEL, "m.safetensors")
    run("pack", "m.safetensors")
    monkeypatch.setattr(inspect, "_MOST_NUMBERS", 1000)
    told = run("inspect", "m.npz")
    assert "only the manifest is read, of 5,800 numbers; pass --all" in told.err
    assert not run("inspect", "m.npz", "--all").err


@pytest.mark.parametrize("words", [[], ["--bits", 4, "--block", 8], ["--target-size", "30KB"]])
@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
def test_floats_of_8_bits_are_kept_exactly(here, dtype, words):
    model = {"f8": normal(64, 64).astype(dtype), "small": normal(3, 3).astype(dtype)}
    save_file(model | {"w": normal(64, 64)}, "m.safetensors")
    said = run("pack", "m.safetensors", *words).out
    assert "kept exactly, small: 1 tensor of 9 numbers: small" in said
    loaded = jc.load("m.npz")
    for name, tensor in model.items():
        assert np.asarray(loaded[name]).tobytes() == tensor.tobytes()


def test_packs_of_a_quantized_checkpoint_keep_its_values(here):
    integers = RNG.integers(-8, 8, (64, 64)).astype(np.float32)
    save_file({"w": integers * np.float32(0.1), "v": normal(40, 40)}, "m.safetensors")
    said = run("pack", "m.safetensors").out
    assert "kept exactly, few values: codes are exact: 1 tensor of 4,096 numbers: w" in said
    run("unpack", "m.npz", "-o", "b.safetensors")
    np.testing.assert_array_equal(load_file("b.safetensors")["w"], integers * np.float32(0.1))
    assert jc.load_compressed("m.npz")["w"].codebook.size == 15
