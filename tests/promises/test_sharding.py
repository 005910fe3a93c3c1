"""Techniques on sharded arrays: the results of one device, in every layout, on 1, 2 and 8."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress import placement
from jaxcompress.artifact import _together, repeats
from jaxcompress.products import moments
from jaxcompress.quantization import calibration
from tests.helpers import layouts, sharded

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "devices.md"
X = np.random.default_rng(0).normal(size=(12, 3)).astype("f")
PARAMS = {"w": np.ones((3, 2), "f")}


def apply(params, x):
    return x @ params["w"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "devices", [(8,), pytest.param(layouts.DEVICES, marks=pytest.mark.exhaustive)], ids=str
)
def test_every_technique_does_on_many_devices_what_it_does_on_one(devices, tmp_path):
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    wanted = [{*sharded.ROWS, "save"}, layouts.LAYOUTS, map(str, devices)]
    command = [sys.executable, "-m", "tests.helpers.sharded", *map(",".join, wanted)]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | flags, capture_output=True, text=True)
    assert not ran.returncode, ran.stderr
    found = json.loads(ran.stdout)
    assert not found["faults"]
    assert found["cells"] == len(sharded.ROWS) * len(layouts.LAYOUTS) * len(devices)


def test_the_table_of_the_docs_is_the_one_that_is_tested():
    text = PAGE.read_text()
    block = text.partition("<!-- techniques on devices -->\n")[2].partition("<!-- end -->")[0]
    assert block == sharded.table(), sharded.table()


@pytest.mark.parametrize("name", sharded.ROWS)
def test_docstrings_say_what_is_gathered(name):
    said = sharded.gathers(sharded.ROWS[name].says)
    assert "nothing" in said or " bytes for each " in said or " kB" in said
    assert said.startswith("nothing") == (sharded.ROWS[name].most == "none")


def test_an_array_of_one_device_is_read_as_numpy_does():
    assert placement.on_host(jnp.ones((), jnp.bfloat16)).dtype == jnp.bfloat16
    key = jax.random.key(0)
    assert placement.unsplit(key) is key
    host = np.ones(2)
    assert placement.unsplit(host) is host and placement.on_host(host) is host
    assert placement.beside(host, jnp.ones(2)) is host


# What several processes find is added; here each is given the other's words.


def others(monkeypatch, module, mine, told):
    """Let `exchanged` give what two processes say, the first of which is this one."""
    said = iter(told)
    monkeypatch.setattr(module, "exchanged", lambda data: [data, next(said)])
    return mine


def words(monkeypatch, module, found):
    """Return what a process says."""
    said = []
    monkeypatch.setattr(module, "exchanged", lambda data: [said.append(data) or data])
    found.over_processes()
    return said


def test_histograms_of_processes_add_up_to_those_of_all_data(monkeypatch):
    parts = [jc.calibrate(apply, PARAMS, [x]) for x in (X[:4] / 64, X[4:])]
    whole = jc.calibrate(apply, PARAMS, [X[:4] / 64, X[4:]])
    told = words(monkeypatch, calibration, parts[1])
    added = others(monkeypatch, calibration, parts[0], told).over_processes()
    for name in ("low", "high", "zeros", "exponent", "count"):
        assert getattr(added["w"], name) == getattr(whole["w"], name)
    assert np.array_equal(added["w"].counts, whole["w"].counts)
    assert list(added) == list(whole) and added.left_float == whole.left_float


def test_a_process_without_histograms_adds_none(monkeypatch):
    found = jc.calibrate(apply, PARAMS, [X])
    told = words(monkeypatch, calibration, replace(found, histograms={}))
    added = others(monkeypatch, calibration, found, told).over_processes()
    assert added["w"].count == found["w"].count


def test_moments_of_processes_add_up_to_those_of_all_data(monkeypatch):
    whole = np.rint(X)
    found = [jc.quantization.input_moments(apply, PARAMS, [x]) for x in (whole[:4], whole[4:])]
    told = words(monkeypatch, moments, found[1])
    added = others(monkeypatch, moments, found[0], told).over_processes()
    np.testing.assert_array_equal(added.layers["w"][0].gram, [whole.T @ whole])
    others(monkeypatch, moments, None, [b"[]"])
    with pytest.raises(ValueError, match="of the same layers in all processes"):
        found[0].over_processes()


def written(monkeypatch, process, told, write, leaves):
    monkeypatch.setattr(jax, "process_index", lambda: process)
    monkeypatch.setattr(_together, "exchanged", lambda data: [told or data])
    return _together.written_together("m.npz", write, iter(leaves))


@pytest.mark.parametrize("process", [0, 1])
def test_a_process_that_cannot_gather_does_not_let_the_others_wait(monkeypatch, process):
    told = []
    monkeypatch.setattr(jax, "process_index", lambda: process)
    monkeypatch.setattr(_together, "exchanged", lambda data: told.append(data) or [data])
    leaves = (array.sum() for array in [np.ones(2), None])
    with pytest.raises(AttributeError):
        _together.written_together("m.npz", lambda: len(list(leaves)), leaves)
    assert told == [b""]


def test_divided_tensors_repeat_divided_ones_alone(monkeypatch):
    host, one, two = np.ones((8, 8), "f"), jnp.ones((8, 8)), jnp.ones((8, 8))
    assert repeats.repeated_leaves([host, one, two]) == {1: 0, 2: 0}
    monkeypatch.setattr(repeats, "is_divided", lambda array: array is one or array is two)
    assert repeats.repeated_leaves([host, one, two]) == {2: 1}


def test_the_first_process_writes_while_all_gather(monkeypatch):
    def refuse():
        raise OSError("full")

    gathered = []
    leaves = map(gathered.append, range(3))
    assert written(monkeypatch, 0, b"", lambda: 7, []) == 7
    assert written(monkeypatch, 1, b"7", refuse, leaves) == 7 and gathered == [0, 1, 2]
    leaves = map(gathered.append, range(3))
    with pytest.raises(OSError, match="full"):
        written(monkeypatch, 0, b"", refuse, leaves)
    assert gathered == [0, 1, 2] * 2
    monkeypatch.setattr(_together, "exchanged", lambda data: [b""])
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(OSError, match="m.npz: process 0 must write it"):
        _together.written_together("m.npz", refuse, iter([]))
