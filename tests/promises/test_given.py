"""Trees of what others call arrays: every function names the leaf and what to pass instead."""

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.leaves import half

FUNCTIONS = {
    "compress": jc.compress,
    "quantize": jc.quantize,
    "save": lambda tree: jc.save("o.npz", tree),
    "magnitude_mask": lambda tree: jc.magnitude_mask(tree, 0.5),
    "global_mask": lambda tree: jc.global_mask(tree, 0.5),
    "random_mask": lambda tree: jc.prune.random_mask(tree, 0.5, key=jax.random.key(0)),
    "nm_mask": lambda tree: jc.prune.nm_mask(tree, 2, 4),
    "apply_mask": lambda tree: jc.apply_mask(tree, {"w": np.ones((8, 8), bool)}),
    "kmeans": lambda tree: jc.kmeans(tree, 4),
    "uniform": lambda tree: jc.uniform(tree, 0.1),
    "low_rank": lambda tree: jc.low_rank(tree, keep=0.5),
    "half": half,
    "report": lambda tree: jc.oneshot.report(tree, tree),
    "entropy_bound_bytes": jc.metrics.entropy_bound_bytes,
    "load_into": lambda tree: jc.load_into("given.npz", tree),
}
WEIGHTS = np.random.default_rng(0).normal(size=(8, 8)).astype("f")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jc.save("given.npz", {"w": WEIGHTS})
    np.savez("m.npz", w=WEIGHTS, b=WEIGHTS.astype(ml_dtypes.bfloat16))
    save_file({"w": WEIGHTS}, "m.safetensors")


class Tensor:
    """Of a library that this test need not have: like an array, of a dtype of its own."""

    shape, dtype = (8, 8), "float32 of another library"

    def detach(self):
        return self


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_array_is_named_with_what_to_pass(files, name):
    function = FUNCTIONS[name]

    def says(tree, words):
        with pytest.raises(TypeError, match=f"^{words}"):
            function(tree)

    says({"a": {"w": Tensor()}}, r"a/w: leaves must be arrays, got Tensor; .*\.numpy\(\)")
    with np.load("m.npz") as archive:
        says(archive, r"\(root\): leaves must be arrays, got NpzFile; pass dict\(")
        says(dict(archive), r"b: leaves must have a dtype, got \|V2, .*view\(ml_dtypes.bfloat16\)")
    with safe_open("m.safetensors", "np") as file:
        says(file, r"\(root\): leaves must be arrays, got safe_open; pass .*get_tensor\(")
    says({"w": WEIGHTS.tolist()}, r"w/0/0: leaves must be arrays, got float; .*numpy.asarray")
    says({"w": {1.0}}, r"w: leaves must be arrays, got set; filter the tree")


def test_tensors_of_pytorch_are_named(files):
    torch = pytest.importorskip("torch")
    for tree in ({"w": torch.ones(8, 8)}, torch.nn.Linear(8, 8).state_dict()):
        with pytest.raises(TypeError, match=r"^w.*: leaves must be arrays, got Tensor; .*\.numpy"):
            jc.compress(tree)
    with pytest.raises(TypeError, match=r"got Linear; .*state_dict\(\)"):
        jc.quantize(torch.nn.Linear(8, 8))


def test_inputs_of_functions_are_arrays_too():
    with pytest.raises(TypeError, match=r"^inputs\[0\]: must be an array, got Tensor; pass"):
        jc.flops(lambda p, x: x @ p["w"], {"w": WEIGHTS}, Tensor())


def test_shapes_of_random_keys_are_arrays():
    shape = jax.eval_shape(lambda: jax.random.key(0))
    assert (
        jc.prune.random_mask({"w": WEIGHTS, "k": shape}, 0.5, key=jax.random.key(0))["w"].sum()
        == 32
    )


def test_what_the_errors_say_to_pass_can_be_compressed(files):
    with np.load("m.npz") as archive:
        tree = dict(archive)
    tree["b"] = tree["b"].view(ml_dtypes.bfloat16)
    assert jc.dense(jc.quantize(tree))["b"].dtype == ml_dtypes.bfloat16
    with safe_open("m.safetensors", "np") as file:
        jc.quantize({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
