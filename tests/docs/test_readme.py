"""The README is one screen and a map, and says what is true."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pages
import pytest

import jaxcompress as jc

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE, SHRINK = [b for b in pages.blocks_of("README.md", README) if b.language == "python"]


def test_it_is_one_screen():
    assert len(README.splitlines()) <= 180
    for block in (EXAMPLE, SHRINK):
        assert sum(bool(line) for line in block.code.splitlines()) <= 13


@pytest.mark.slow
def test_the_loop_runs_and_does_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(EXAMPLE.code, names)
    assert capsys.readouterr().out == EXAMPLE.shown
    assert names["size"] == (tmp_path / "model.npz").stat().st_size
    loaded = jc.load(tmp_path / "model.npz")
    assert jc.measure_sparsity(loaded) == pytest.approx(0.9, abs=1e-4)
    assert jc.metrics.count_distinct(loaded) <= 16
    np.testing.assert_array_equal(loaded["kernel"], names["params"]["kernel"])
    before = names["loss"](jc.dense(names["shared"]), jax.numpy.ones((4, 256)))
    assert names["loss"](loaded, jax.numpy.ones((4, 256))) < before


@pytest.mark.slow
def test_an_nnx_model_is_shrunk_as_shown(capsys):
    names = {}
    exec(SHRINK.code, names)
    assert capsys.readouterr().out == SHRINK.shown
    assert names["small"].layers[0].kernel.shape == (3, 3, 3, 32)


def test_the_two_commands_stand_alone():
    """`.ci/run` reads and runs them."""
    found = re.findall(r"^pip install -e '\.\[(run|test)\]' && python", README, re.MULTILINE)
    assert found == ["run", "test"]


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert len(links) > 20
    assert not [link for link in links if not (ROOT / link).is_file()]


@pytest.mark.slow
def test_tables_are_generated_from_the_recorded_figures():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tables", "--check"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, f"run python -m benchmarks.tables; {done.stderr.decode()}"


def test_public_names_are_documented():
    for name in jc.__all__:
        assert getattr(jc, name).__doc__, name
