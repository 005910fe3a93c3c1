"""Files whose program ONNX Runtime executes: the graph holds no weights, the tree does."""

import subprocess
import sys

import jax
import numpy as np
import onnx
import pytest

import jaxcompress as jc
from jaxcompress.artifact.encoding import encoded_tree
from jaxcompress.artifact.writer import Program, write
from jaxcompress.programs import _onnx
from jaxcompress.programs._onnx import Weight

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((6, 8, 8, 3)).astype("f")
TREE = {
    "conv": RANDOM.standard_normal((3, 3, 3, 16)).astype("f") * 0.3,
    "dense": RANDOM.standard_normal((16 * 64, 24)).astype("f") * 0.1,
    "bias": RANDOM.standard_normal(24).astype("f"),
    "out": RANDOM.standard_normal((10, 24)).astype("f"),  # as PyTorch has it
}


def apply(tree, x):
    x = jax.lax.conv_general_dilated(
        x, tree["conv"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.relu(x).reshape(x.shape[0], -1)
    return jax.nn.relu(x @ tree["dense"] + tree["bias"]) @ tree["out"].T


def close(found, wanted, within=1e-4):
    assert np.abs(found - wanted).max() <= within * np.abs(wanted).max()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    path, small = tmp_path_factory.mktemp("onnx") / "net.npz", jc.kmeans(TREE, 8)
    jc.ship(path, apply, small, X[:2], runtime="onnx", classes=list("abcdefghij"))
    return path, small


def test_it_computes_what_jax_computes_for_any_rows(shared):
    path, small = shared
    net = jc.open_function(path)
    assert str(net) == "OpenFunction(x float32[batch, 8, 8, 3] -> output float32[batch, 10])"
    for rows in (1, 6):
        close(net(X[:rows]), apply(jc.dense(small), X[:rows]))
    with pytest.raises(ValueError, match=r"^x: must be float32, got float64"):
        net(X.astype("d"))


def test_the_graph_holds_no_weights(shared, tmp_path):
    path, small = shared
    plain = jc.save(tmp_path / "plain.npz", small)
    assert path.stat().st_size - plain < 3000
    told = jc.inspect(path)["program"]
    assert told["kind"] == "onnx" and [row[1:3] for row in told["weights"]] == [
        [1, "dense"],
        [2, "dense"],
        [3, "dense"],
    ]
    jax.tree.map(np.testing.assert_array_equal, jc.load(path), jc.dense(small))


def test_products_in_integers_take_their_codes_from_the_tree(tmp_path):
    ranges = jc.calibrate(apply, TREE, [X])
    axes = jc.quantization.channel_axes(apply, TREE, X)
    scope = lambda path, leaf: path in axes  # noqa: E731
    per_channel = jc.quantization.per_channel(axes)
    small = jc.quantize(TREE, 7, granularity=per_channel, scope=scope)
    path = tmp_path / "net.npz"
    size = jc.ship(path, apply, small, X, runtime="onnx", int8=ranges)
    assert size - jc.save(tmp_path / "plain.npz", small) < 6000
    forms = [row[2] for row in jc.inspect(path)["program"]["weights"]]
    assert len(forms) == 2 and all(form.startswith("codes") for form in forms)
    written = jc.export_onnx(tmp_path / "net.onnx", apply, small, X, int8=ranges)
    assert written.quantized == ("conv", "dense", "out")
    np.testing.assert_array_equal(
        jc.open_function(path)(X), jc.onnx_function(tmp_path / "net.onnx")(X)
    )


def test_it_runs_where_onnx_and_jax2onnx_are_not_installed(shared):
    path, small = shared
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['onnx', 'jax2onnx', 'flax']))\n"
        "import numpy as np, jaxcompress as jc\n"
        f"print(jc.open_function({str(path)!r})(np.ones((2, 8, 8, 3), 'f')).tolist())\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    close(np.array(eval(found.stdout)), apply(jc.dense(small), np.ones((2, 8, 8, 3), "f")))


def test_constants_are_found_in_any_order_of_axes():
    leaf = RANDOM.standard_normal((2, 3, 4, 5)).astype("f")
    turned = leaf.transpose(3, 2, 0, 1)
    found = _onnx._weight("c", turned.reshape(20, 6), [np.ones(120, "f"), leaf])
    assert found == Weight("c", 1, "dense", (3, 2, 0, 1), (20, 6))
    np.testing.assert_array_equal(found.of([None, leaf]), turned.reshape(20, 6))
    assert _onnx._weight("c", turned + 1, [leaf]) is None


def test_large_constants_that_are_no_leaves_are_refused(tmp_path):
    held = RANDOM.standard_normal((8 * 8 * 3, 2000)).astype("f")
    with pytest.raises(ValueError, match=r"^tree: must hold the weights .* got 1,536,000 bytes"):
        jc.ship(
            tmp_path / "net.npz", lambda t, x: x.reshape(len(x), -1) @ held, {}, X, runtime="onnx"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "torch"}, "runtime: must be jax or onnx, got 'torch'"),
        ({"runtime": "onnx", "gradients": True}, "gradients: must be left out"),
        ({"runtime": "onnx", "runs": "compressed"}, "runs: must be left out"),
        ({"runtime": "onnx", "platforms": ["tpu"]}, "platforms: must be left out"),
        ({"int8": 3}, "int8: must be for runtime="),
    ],
)
def test_options_of_another_runtime_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=f"^{message}"):
        jc.ship(tmp_path / "net.npz", apply, TREE, X, **options)
    assert not list(tmp_path.iterdir())


def test_it_is_compiled_by_onnx_runtime_alone(shared):
    with pytest.raises(ValueError, match="^compiled_by: must be left out"):
        jc.open_function(shared[0], compiled_by=jax.jit)


FORGED = {
    "no list": lambda told: told.update(weights=3),
    "no such leaf": lambda told: told["weights"][0].__setitem__(1, 99),
    "another shape": lambda told: told["weights"][0].__setitem__(4, [7, 7]),
    "other axes": lambda told: told["weights"][0].__setitem__(3, [0, 0, 1, 2]),
    "no such form": lambda told: told["weights"][0].__setitem__(2, "eval"),
    "codes of a codebook": lambda told: told["weights"][0].__setitem__(2, "codes"),
    "negative": lambda told: told["weights"][0].__setitem__(1, -1),
    "one missing": lambda told: told["weights"].pop(),
    "another name": lambda told: told["weights"][0].__setitem__(0, "other"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_weights_are_refused(shared, name, tmp_path):
    path, small = shared
    told = jc.inspect(path)["program"]
    FORGED[name](told)
    with np.load(path) as arrays:
        data = arrays["program"].tobytes()
    parts, structure = encoded_tree(small, "entropy")
    write(tmp_path / "net.npz", parts, structure, program=Program(data, told))
    with pytest.raises(jc.ArtifactError) as error:
        jc.open_function(tmp_path / "net.npz")
    assert "\n" not in str(error.value)


def test_a_graph_that_is_none_is_refused(shared, tmp_path):
    path, small = shared
    told = jc.inspect(path)["program"]
    for data in (b"", b"\0" * 100, onnx.ModelProto().SerializeToString()):
        parts, structure = encoded_tree(small, "entropy")
        write(tmp_path / "net.npz", parts, structure, program=Program(data, told))
        with pytest.raises(jc.ArtifactError, match="cannot be run by ONNX Runtime"):
            jc.open_function(tmp_path / "net.npz")
