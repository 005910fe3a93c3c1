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
from jaxcompress.programs._weights import Finder, Weight

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


@pytest.mark.slow
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


@pytest.mark.slow
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
    found = Finder([np.ones(120, "f"), leaf]).weight("c", turned.reshape(20, 6))
    assert found == Weight("c", 1, "dense", (3, 2, 0, 1), (20, 6))
    np.testing.assert_array_equal(found.of([None, leaf]), turned.reshape(20, 6))
    assert Finder([leaf]).weight("c", turned + 1) is None


def test_gains_that_the_graph_would_fold_are_refused_until_they_are_folded(tmp_path):
    tree = TREE | {"gain": RANDOM.uniform(1, 2, 24).astype("f")}

    def scaled(tree, x):
        y = x.reshape(x.shape[0], -1) @ tree["dense"][:192]
        return y * tree["gain"] + tree["bias"]

    with pytest.raises(ValueError, match=r"^tree: must hold .* \[192, 24\]; call fold_norms"):
        jc.ship(tmp_path / "net.npz", scaled, tree, X, runtime="onnx")


@pytest.mark.slow
def test_half_precision_weights_are_found(tmp_path):
    tree = jax.tree.map(lambda a: jax.numpy.asarray(a, jax.numpy.bfloat16), TREE)

    def widened(tree, x):
        return apply(jax.tree.map(lambda a: a.astype("float32"), tree), x)

    jc.ship(tmp_path / "net.npz", widened, tree, X, runtime="onnx")
    assert len(jc.inspect(tmp_path / "net.npz")["program"]["weights"]) == 3
    close(jc.open_function(tmp_path / "net.npz")(X), widened(tree, X))


@pytest.mark.slow
def test_a_graph_that_needs_the_number_of_rows_says_so(tmp_path):
    def fixed(tree, x):
        return apply(tree, x) + jax.numpy.ones((len(x), 10))

    with pytest.raises(ValueError, match=r"^any_batch: must be False"):
        jc.ship(tmp_path / "net.npz", fixed, TREE, X, runtime="onnx")
    jc.ship(tmp_path / "net.npz", fixed, TREE, X, runtime="onnx", any_batch=False)
    assert jc.open_function(tmp_path / "net.npz").inputs[0].shape == (6, 8, 8, 3)


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


def test_it_is_compiled_by_onnx_runtime_alone(shared, tmp_path):
    """That is said before the weights are read: those of this file are damaged."""
    data, path = bytearray(shared[0].read_bytes()), tmp_path / "damaged.npz"
    data[data.index(b"program") // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(jc.ArtifactError):
        jc.open_function(path)
    for file in (shared[0], path):
        with pytest.raises(ValueError, match="^compiled_by: must be left out"):
            jc.open_function(file, compiled_by=jax.jit)


def put(place, value):
    return lambda told: told["weights"][0].__setitem__(place, value)


NOT_VALID, NO_LEAF, NOT_RUN = "is not valid", "is no leaf of the file", "cannot be run by ONNX"
OTHERS, OTHER_SIZES = "other arrays than the manifest", "of other sizes than the manifest"
FORGED = {
    "no list": (lambda told: told.update(weights=3), NOT_VALID),
    "no such leaf": (put(1, 99), NO_LEAF),
    "another shape": (put(4, [7, 7]), NO_LEAF),
    "gigantic": (put(4, [1 << 40, 1 << 20]), "more than max_bytes allows"),
    "other axes": (put(3, [0, 0, 1, 2]), NO_LEAF),
    "no such form": (put(2, "eval"), NOT_VALID),
    "codes of a codebook": (put(2, "codes"), NO_LEAF),
    "negative": (put(1, -1), NOT_VALID),
    "twice": (lambda told: told["weights"].append(told["weights"][0]), NOT_VALID),
    "one missing": (lambda told: told["weights"].pop(), NOT_RUN),
    "another name": (put(0, "other"), NOT_RUN),
    "input of integers": (lambda told: told["inputs"]["arrays"][0].update(dtype="int32"), OTHERS),
    "wider output": (
        lambda told: told["outputs"]["arrays"][0].update(shape=["batch", 7]),
        OTHER_SIZES,
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_weights_are_refused(shared, name, tmp_path, monkeypatch):
    path, small = shared
    told = jc.inspect(path)["program"]
    forge, message = FORGED[name]
    forge(told)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree").write_bytes(bytes(1 << 20))  # where a missing weight would be looked for
    with np.load(path) as arrays:
        data = arrays["program"].tobytes()
    parts, structure = encoded_tree(small, "entropy")
    write(tmp_path / "net.npz", parts, structure, program=Program(data, told))
    with pytest.raises(jc.ArtifactError, match=message) as error:
        jc.open_function(tmp_path / "net.npz")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("location", ["secret.bin", "../secret.bin", "{here}/secret.bin"])
def test_a_graph_reads_no_file_of_the_machine(location, shared, tmp_path, monkeypatch):
    path, small = shared
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    for place in (tmp_path, tmp_path / "inside"):
        (place / "secret.bin").write_bytes(bytes(1 << 20))
    with np.load(path) as arrays:
        model = onnx.load_model_from_string(arrays["program"].tobytes())
    for constant in model.graph.initializer:
        for each in constant.external_data:
            each.value = location.format(here=tmp_path)
    told = jc.inspect(path)["program"] | {"weights": []}
    parts, structure = encoded_tree(small, "entropy")
    program = Program(model.SerializeToString(), told)
    write(tmp_path / "net.npz", parts, structure, program=program)
    with pytest.raises(jc.ArtifactError, match=NOT_RUN):
        jc.open_function(tmp_path / "net.npz")


def test_a_graph_that_is_none_is_refused(shared, tmp_path):
    path, small = shared
    told = jc.inspect(path)["program"]
    for data in (b"", b"\0" * 100, onnx.ModelProto().SerializeToString()):
        parts, structure = encoded_tree(small, "entropy")
        write(tmp_path / "net.npz", parts, structure, program=Program(data, told))
        with pytest.raises(jc.ArtifactError, match="cannot be run by ONNX Runtime"):
            jc.open_function(tmp_path / "net.npz")
