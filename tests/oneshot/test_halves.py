"""Vectors and small tensors in sixteen bits, where that is enough."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.oneshot._halves import halved
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)
WEIGHTS = RNG.standard_normal((64, 64)).astype("f")


@given(hnp.arrays(st.sampled_from([np.float32, np.float64]), 5, elements=st.floats(width=32)))
def test_no_number_changes_by_more_than_one_part_in_256(tensor):
    half = halved(tensor)
    if half is not None:
        dense = np.asarray(half.dense())
        assert dense.dtype == tensor.dtype and half.values.dtype.itemsize == 2
        assert (np.abs(dense - tensor) <= np.abs(tensor) / 256).all()


@pytest.mark.parametrize(
    ("numbers", "dtype", "expected"),
    [
        ([1.001, -3, 0], "f", np.float16),
        ([1e30, 1e-30], "f", jnp.bfloat16),
        ([1e-41], "f", None),
        ([1e300], "d", None),
        ([np.nan], "f", None),
        ([np.inf, 1], "f", None),
        ([1, 2], np.float16, None),
        ([1, 2], "i", None),
        ([1j], "F", None),
    ],
)
def test_of_each_range(numbers, dtype, expected):
    half = halved(np.array(numbers, dtype))
    assert (None if half is None else half.values.dtype) == expected


def test_compress_halves_what_it_keeps(tmp_path):
    params = {"w": WEIGHTS, "b": RNG.standard_normal(640).astype("f"), "n": np.arange(64)}
    plain, small = jc.compress(params), jc.compress(params, half=True)
    assert plain["b"] is params["b"] and small["n"] is params["n"]
    assert isinstance(small["b"], jc.Half) and isinstance(small["w"], jc.Quantized)
    worst = {
        outcome.path: outcome.relative_error for outcome in jc.oneshot.report(params, small).worst
    }
    assert 0 < worst["b"] < 2**-10
    sizes = [jc.save(tmp_path / "m.npz", tree) for tree in (plain, small)]
    assert sizes[0] - sizes[1] > 900


def test_what_must_be_exact_is_also_where_an_equal_vector_is_halved():
    vector = RNG.standard_normal(640).astype("f")
    params = {"a": vector, "b": vector.copy(), "w": WEIGHTS}
    for kept, other in (("a", "b"), ("b", "a")):
        small = jc.compress(params, half=True, rules={kept: {"keep": True}})
        assert small[kept] is params[kept] and isinstance(small[other], jc.Half)


def test_halves_keep_to_the_largest_error():
    params = {"b": np.float32([1.001, 1e-20]), "w": WEIGHTS}
    small = jc.compress(params, half=True, max_error=1e-4)
    assert small["b"] is params["b"]
    assert isinstance(jc.compress(params, half=True)["b"], jc.Half)


def test_pack_halves_vectors_but_not_what_a_rule_keeps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = {"w": WEIGHTS, "b": WEIGHTS[0], "c": WEIGHTS[1], "head": WEIGHTS.T.copy()}
    save_file(tree, "m.safetensors")
    said = run("pack", "m.safetensors", "--half", "--exclude", "head", "--exclude", "c").out
    assert "kept exactly, by a rule: 2 tensors" in said
    rows = json.loads(run("inspect", "m.npz", "--json").out)["tensors"]
    assert {row["path"]: row["form"] for row in rows} == {
        **{"b": "half", "c": "dense", "head": "planes", "w": "quantized"}
    }
    assert jc.inspect("m.npz")["metadata"]["pack"]["half"] is True
    assert "leave out --half" in refused("pack", "m.safetensors", "--lossless", "--half")
