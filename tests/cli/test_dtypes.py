"""The command on files of every byte order and of small floats."""

import json
import pathlib

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner

import jaxcompress as jc
from jaxcompress.cli.command import cli

WEIGHTS = np.random.default_rng(0).standard_normal((32, 8)).astype("f")


def run(*words, status=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_safetensors(path, tensors):
    """Write float8 tensors, which safetensors' own writer for numpy does not take."""
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        ends = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": ends}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize("order", [">", "<"])
def test_an_npz_counts_by_its_values(order):
    small = {"ids": np.arange(5, dtype=np.int32), "bias": WEIGHTS[0].astype(float)}
    np.savez("plain.npz", w=WEIGHTS, **small)
    given = {"w": np.asfortranarray(WEIGHTS), **small}
    np.savez("other.npz", **{k: a.astype(a.dtype.newbyteorder(order)) for k, a in given.items()})
    for name in ("plain", "other"):
        run("pack", f"{name}.npz", "--sparsity", 0.5, "--clusters", 4)
    packed = [pathlib.Path(f"{name}.small.npz").read_bytes() for name in ("plain", "other")]
    assert packed[0] == packed[1]


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4"])
def test_an_npz_of_a_dtype_that_numpy_does_not_name(name):
    small = WEIGHTS.astype(getattr(ml_dtypes, name))
    np.savez("m.npz", w=small)
    said = run("pack", "m.npz", status=2)
    code = f"|V{small.itemsize}"
    assert f"m.npz: w: must have a dtype, got {code}, as numpy writes and reads bfloat16" in said
    assert "with safetensors" in said and "one of bool" not in said


FLOAT8 = {"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2}


@pytest.mark.parametrize("name", FLOAT8)
def test_float8_is_shared_in_the_scope_and_kept_outside(name):
    small = WEIGHTS.astype(FLOAT8[name])
    tensors = {"a": (name, small), "b": (name, small), "c": ("F32", WEIGHTS)}
    write_safetensors("m.safetensors", tensors)
    run("pack", "m.safetensors", "--clusters", 4, "--scope", "[ac]")
    packed = {path: np.asarray(leaf) for path, leaf in jc.load("m.npz").items()}
    assert packed["b"].tobytes() == small.tobytes()
    assert packed["a"].dtype == small.dtype and len(np.unique(packed["a"].astype("f"))) <= 5
    run("unpack", "m.npz", "-o", "again.safetensors")
    run("pack", "again.safetensors", "--clusters", 4, "--scope", "[ac]")
    again = jc.load("again.npz")
    assert all(np.asarray(again[k]).tobytes() == packed[k].tobytes() for k in packed)
    said = run("unpack", "m.npz", "-o", "again_.npz", status=2)
    assert f"a: .npz cannot name {small.dtype.name}; write .safetensors instead" in said


@pytest.mark.parametrize("words", [("--quantizer", "grid"), ("--keep-low-rank", 0.5)])
def test_float8_that_a_quantizer_does_not_take_is_kept_and_named(words):
    weights = WEIGHTS.astype(ml_dtypes.float8_e4m3fn)
    write_safetensors("m.safetensors", {"w": ("F8_E4M3", weights)})
    said = run("pack", "m.safetensors", *words)
    assert f"kept exactly, 8 bits already: 1 tensor of {weights.size} numbers: w" in said
    assert np.asarray(jc.load("m.npz")["w"]).tobytes() == weights.tobytes()


def test_other_small_dtypes_are_named():
    write_safetensors("m.safetensors", {"w": ("F8_E8M0", np.ones((4, 4), np.uint8))})
    said = run("pack", "m.safetensors", status=2)
    assert "m.safetensors: w: dtype must be one of" in said and "got F8_E8M0" in said
