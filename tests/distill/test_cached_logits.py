"""A teacher's logits on disk: used only for what they were computed from, and never trusted."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.distill import _cache as cache

PARAMS = {"kernel": np.arange(6, dtype="f").reshape(2, 3)}
INPUTS = np.arange(10, dtype="f").reshape(5, 2)


def teacher(params, x):
    return x @ params["kernel"]


@pytest.fixture
def writes(monkeypatch):
    """The files that were written, and by what."""
    found = []
    original = cache.save
    monkeypatch.setattr(cache, "save", lambda *a, **k: [found.append(a[0]), original(*a, **k)])
    return found


def test_computed_once(tmp_path, writes):
    path = tmp_path / "teacher.npz"
    for _ in range(2):
        found = jc.distill.cached_logits(path, teacher, PARAMS, INPUTS, batch_size=2)
        assert found.tolist() == (INPUTS @ PARAMS["kernel"]).tolist()
        assert writes == [path]


def other(params, x):
    return x @ params["kernel"] + 1


def closure(constant):
    return lambda params, x: x @ params["kernel"] + constant


CHANGES = {
    "parameters": (teacher, {"kernel": PARAMS["kernel"] + 1e-6}, INPUTS),
    "names": (lambda p, x: x @ p["k"], {"k": PARAMS["kernel"]}, INPUTS),
    "dtype": (teacher, {"kernel": PARAMS["kernel"].astype(jnp.bfloat16)}, INPUTS),
    "inputs": (teacher, PARAMS, INPUTS[::-1]),
    "fewer": (teacher, PARAMS, INPUTS[:4]),
    "function": (other, PARAMS, INPUTS),
    "what it closes over": (closure(np.ones(3, "f")), PARAMS, INPUTS),
    "values of that": (closure(np.array([1, 1, 2], "f")), PARAMS, INPUTS),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_file_for_something_else_is_replaced(what, tmp_path, writes):
    path = tmp_path / "teacher.npz"
    before = closure(np.ones(3, "f")) if what == "values of that" else teacher
    jc.distill.cached_logits(path, before, PARAMS, INPUTS)
    apply, params, inputs = CHANGES[what]
    for _ in range(2):
        found = jc.distill.cached_logits(path, apply, params, inputs)
        np.testing.assert_allclose(found, apply(params, inputs), rtol=1e-6)
    assert len(writes) == 2


@pytest.mark.slow
def test_another_process_reads_it(tmp_path):
    program = (
        "import jax, numpy as np, jaxcompress as jc\n"
        "relu = lambda params, x: jax.nn.relu(x @ params)\n"
        "jc.distill.cached_logits(path, relu, np.eye(3, dtype='f'), np.ones((2, 3), 'f'))"
    )
    path = str(tmp_path / "x.npz")
    exec(program, {"path": path})
    inode = (tmp_path / "x.npz").stat().st_ino
    subprocess.run([sys.executable, "-c", f"path = {path!r}\n{program}"], check=True)
    assert (tmp_path / "x.npz").stat().st_ino == inode


def test_inputs_may_be_a_tree(tmp_path):
    inputs = {"a": INPUTS, "b": INPUTS[:, :1]}

    def both(params, x):
        return teacher(params, x["a"]) + x["b"]

    found = jc.distill.cached_logits(tmp_path / "x.npz", both, PARAMS, inputs, batch_size=3)
    assert found.tolist() == both(PARAMS, inputs).tolist()


def written_by_jc(path):
    jc.save(path, {"logits": INPUTS}, metadata={"epoch": 3})


OTHERS = {
    "text": lambda path: path.write_text("hello"),
    "numpy's": lambda path: np.savez(path, logits=INPUTS),
    "a network": written_by_jc,
    "no metadata": lambda path: jc.save(path, {"logits": INPUTS}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_file_of_somebody_else_is_left_alone(what, tmp_path):
    path = tmp_path / "x.npz"
    OTHERS[what](path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is no cache of logits .*; pass another path, or remove"):
        jc.distill.cached_logits(path, teacher, PARAMS, INPUTS)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "tree", [{"logits": INPUTS[:2]}, {"logits": np.nan * INPUTS}, {}, [INPUTS]]
)
def test_a_file_that_lies_is_refused(tree, tmp_path):
    path = tmp_path / "x.npz"
    jc.distill.cached_logits(path, teacher, PARAMS, INPUTS)
    jc.save(path, tree, metadata=jc.inspect(path)["metadata"])
    with pytest.raises(ValueError, match="is no cache of logits"):
        jc.distill.cached_logits(path, teacher, PARAMS, INPUTS)


def test_damage_is_seen(tmp_path):
    path = tmp_path / "x.npz"
    jc.distill.cached_logits(path, teacher, PARAMS, INPUTS)
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 10):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match="is no cache of logits"):
            jc.distill.cached_logits(path, teacher, PARAMS, INPUTS)


def test_what_cannot_be_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    for inputs in (INPUTS[:0], {"a": INPUTS, "b": INPUTS[:2]}, np.float32(1), {}):
        with pytest.raises(ValueError, match="samples: all arrays must have the same number"):
            jc.distill.cached_logits(path, teacher, PARAMS, inputs)
    with pytest.raises(ValueError, match="batch_size: must be at least 1, got 0"):
        jc.distill.cached_logits(path, teacher, PARAMS, INPUTS, batch_size=0)
    with pytest.raises(TypeError, match="batch_size: must be an integer, got 2.5"):
        jc.distill.cached_logits(path, teacher, PARAMS, INPUTS, batch_size=2.5)
    with pytest.raises(ValueError, match="teacher logits: must be finite, got 15 NaN"):
        jc.distill.cached_logits(path, teacher, {"kernel": PARAMS["kernel"] * np.nan}, INPUTS)
    scalar, one, several = (
        lambda params, x: x.sum(),
        lambda params, x: x.sum(keepdims=True),
        lambda params, x: {"a": x},
    )
    for wrong in (scalar, one, several):
        with pytest.raises(ValueError, match="apply: must give an array with a row for each of 5"):
            jc.distill.cached_logits(path, wrong, PARAMS, INPUTS)
    assert not path.exists()
