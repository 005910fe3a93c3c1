"""Programs of the reference pages, on more than the pages show."""

import jax
import numpy as np
import pages
import pytest

import jaxcompress as jc
from jaxcompress.trees import named_leaves


def blocks_of(name):
    text = (pages.DOCS / name).read_text()
    return [block for block in pages.blocks_of(name, text) if block.language == "python"]


@pytest.mark.slow
def test_sixteen_lines_of_numpy_and_scipy_read_the_file(tmp_path, monkeypatch):
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
    reader = blocks_of("file-format.md")[-1].code
    assert "jaxcompress" not in reader and sum(bool(line) for line in reader.splitlines()) <= 16
    names = {}
    exec(reader, names)
    expected = named_leaves(jc.dense(shared))
    assert list(names["tensors"]) == expected.paths
    for path, leaf in zip(expected.paths, expected.leaves, strict=True):
        np.testing.assert_array_equal(names["tensors"][path], leaf)


@pytest.mark.slow
def test_the_file_classifies_pictures_in_twelve_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make, classify = blocks_of("pipeline.md")
    made, used = {}, {}
    exec(make.code, made)
    exec(classify.code, used)
    assert capsys.readouterr().out == make.shown + classify.shown
    assert sum(bool(line) for line in classify.code.splitlines()) <= 13
    classifier, loaded = made["made"], jc.load("compressed.npz")["params"]
    logits = classifier.net.apply(loaded, {}, classifier.view(used["pictures"]))
    np.testing.assert_allclose(used["row"], jax.nn.softmax(logits)[0], rtol=1e-5)
