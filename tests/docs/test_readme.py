"""The README says what is true: its code runs, its tables are the recorded figures."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxcompress as jc
from jaxcompress.trees import named_leaves
from pipelines.classifier import Classifier

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE, SHRINK, CLASSIFY, READER = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
PRINTED = re.findall(r"```text\n(.*?)```", README, flags=re.DOTALL)[0]


def test_the_example_runs_and_does_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(EXAMPLE, names)
    size = int(capsys.readouterr().out.split()[0])
    assert size == (tmp_path / "model.npz").stat().st_size < 256 * 64 * 4 / 15
    loaded = jc.load(tmp_path / "model.npz")
    assert jc.measure_sparsity(loaded) == pytest.approx(0.9, abs=1e-4)
    assert jc.metrics.count_distinct(loaded) <= 16
    np.testing.assert_array_equal(loaded["kernel"], names["params"]["kernel"])
    before = names["loss"](jc.dense(names["shared"]), jax.numpy.ones((4, 256)))
    assert names["loss"](loaded, jax.numpy.ones((4, 256))) < before


def test_an_nnx_model_is_shrunk_as_shown(capsys):
    names = {}
    exec(SHRINK, names)
    assert capsys.readouterr().out == PRINTED
    assert names["small"].layers[0].kernel.shape == (3, 3, 3, 32)


def test_the_examples_are_short():
    for code in (EXAMPLE, SHRINK, CLASSIFY, READER):
        assert sum(bool(line) for line in code.splitlines()) <= 13


def test_the_file_classifies_pictures_in_twelve_lines(tmp_path, monkeypatch, capsys):
    classifier = Classifier(
        model="lenet-300-100",
        classes=("apple", "pear", "plum"),
        image_size=32,
        branches=(),
        picture_size=32,
        data="digits",
    )
    params, _ = classifier.net.init(jax.random.key(0))
    metadata = classifier.as_metadata()
    jc.save(tmp_path / "compressed.npz", {"params": jc.kmeans(params, 16)}, metadata=metadata)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    for name, picture in zip("ab", pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["classify.py", "a.png", "b.png"])
    exec(CLASSIFY, {})
    loaded = jc.load("compressed.npz")["params"]
    logits = classifier.net.apply(loaded, {}, classifier.view(pictures))
    best = [classifier.classes[row.argmax()] for row in logits]
    shares = [f"{row.max():.1%}" for row in jax.nn.softmax(logits)]
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{n}.png: {b} {s}" for n, b, s in zip("ab", best, shares, strict=True)]


def test_twelve_lines_of_numpy_and_scipy_read_the_file(tmp_path, monkeypatch):
    keys = jax.random.split(jax.random.key(0), 3)
    params = {
        "conv": {"kernel": jax.random.normal(keys[0], (3, 3, 4, 300)), "bias": np.ones(3, "f")},
        "dense": {"kernel": jax.random.normal(keys[1], (50, 700))},
        "last": {"kernel": jax.random.normal(keys[2], (700, 10))},
    }
    mask = jc.magnitude_mask(params, 0.97)
    shared = jc.kmeans(jc.apply_mask(params, mask), 9, mask=mask)
    monkeypatch.chdir(tmp_path)
    jc.save("model.npz", shared, layout="csr")
    names = {}
    exec(READER, names)
    expected = named_leaves(jc.dense(shared))
    assert list(names["tensors"]) == expected.paths
    for path, leaf in zip(expected.paths, expected.leaves, strict=True):
        np.testing.assert_array_equal(names["tensors"][path], leaf)


def test_tables_are_generated_from_the_recorded_figures():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tables", "--check"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, f"run python -m benchmarks.tables; {done.stderr.decode()}"


def test_public_names_are_documented():
    for name in jc.__all__:
        assert getattr(jc, name).__doc__, name
