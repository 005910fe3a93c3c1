"""A file runs by itself, or says in one line why not."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.artifact._archive import Archive
from jaxcompress.artifact._members import deflate
from jaxcompress.programs import _export, _ship
from jaxcompress.programs._preprocessing import checked, prepared

X = np.random.default_rng(0).standard_normal((5, 16)).astype("f")


def apply(tree, x):
    x = jax.nn.relu(x @ tree["first"]["kernel"] + tree["first"]["bias"])
    return x @ tree["last"]["kernel"]


def new_tree():
    random = np.random.default_rng(1)
    return {
        "first": {
            "kernel": random.standard_normal((16, 32)).astype("f"),
            "bias": random.standard_normal(32).astype("f"),
        },
        "last": {"kernel": random.standard_normal((32, 4)).astype("f")},
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("ship") / "net.npz"
    small = jc.quantize(new_tree(), 4)
    classes = ["a", "b", "c", "d"]
    size = jc.ship(path, apply, small, X[:1], classes=classes, metadata={"epoch": 3})
    assert size == path.stat().st_size
    return path, small


def test_a_shipped_function_is_the_original_to_the_bit_for_any_rows(file):
    path, small = file
    for compiled in (jax.jit, jc.jit_for_inference):
        net = jc.open_function(path, compiled_by=compiled)
        for rows in (1, 5):
            np.testing.assert_array_equal(net(X[:rows]), compiled(apply)(jc.dense(small), X[:rows]))
    assert str(net) == "OpenFunction(x float32[batch, 16] -> output float32[batch, 4])"
    assert net.classes == ["a", "b", "c", "d"] and net.metadata == {"epoch": 3}


@pytest.mark.slow
def test_the_same_function_and_tree_give_the_same_bytes(tmp_path):
    """Wherever it is called from, and in another process."""

    def deeper(path):
        return (lambda: jc.ship(path, apply, new_tree(), X[:1]))()

    jc.ship(tmp_path / "one.npz", apply, new_tree(), X[:1])
    deeper(tmp_path / "other.npz")
    jax.clear_caches()
    jc.ship(tmp_path / "again.npz", apply, new_tree(), X[:1])
    code = (
        "from tests.programs.test_ship import *\n"
        f"jc.ship({str(tmp_path / 'process.npz')!r}, apply, new_tree(), X[:1])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len({path.read_bytes() for path in tmp_path.glob("*.npz")}) == 1


def test_other_readers_see_data_alone(file):
    path, small = file
    jax.tree.map(np.testing.assert_array_equal, jc.load(path), jc.dense(small))
    manifest = jc.inspect(path)
    assert manifest["version"] == 7 and manifest["program"]["kind"] == "jax.export"
    with np.load(path) as arrays:
        assert arrays["program"].dtype == np.uint8
    plain = path.with_name("plain.npz")
    assert path.stat().st_size - jc.save(plain, small) < 6000
    with pytest.raises(jc.ArtifactError, match="holds data alone, and no program"):
        jc.open_function(plain)


@pytest.mark.slow
def test_it_runs_in_a_process_without_the_code_and_without_flax(file):
    path, small = file
    program = (
        "import sys, numpy as np, jaxcompress as jc\n"
        f"net = jc.open_function({str(path)!r})\n"
        "print(np.asarray(net(np.ones((2, 16), 'f'))).tolist())\n"
        "assert 'flax' not in sys.modules\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    expected = jc.jit_for_inference(apply)(jc.dense(small), np.ones((2, 16), "f"))
    np.testing.assert_array_equal(np.array(eval(found.stdout), "f"), expected)


def test_compressed_leaves_are_run_as_they_are(tmp_path):
    tree = new_tree()
    tree["first"]["kernel"] = jc.quantize(tree["first"]["kernel"], 8)
    tree["last"]["kernel"] = jc.low_rank({"w": tree["last"]["kernel"]}, keep=0.5)["w"]
    jc.ship(tmp_path / "net.npz", apply, tree, X[:1], runs="compressed")
    net = jc.open_function(tmp_path / "net.npz")
    assert {str(each.dtype) for each in net.weights} >= {"int8"}
    np.testing.assert_allclose(net(X), jc.execute(apply)(tree, X), rtol=1e-5, atol=1e-6)


def test_trees_of_inputs_and_outputs_have_names(tmp_path):
    def both(tree, pair, shift):
        y = pair["left"] @ tree["w"] + pair["right"]
        return {"sum": y + shift, "all": (y, y.argmax(-1))}

    tree = {"w": np.eye(3, dtype="f")}
    pair = {"left": np.ones((2, 3), "f"), "right": np.zeros((2, 3), "f")}
    path = tmp_path / "net.npz"
    jc.ship(path, both, tree, pair, np.float32(2), outputs=["all", "total", "sum"])
    net = jc.open_function(path)
    assert [each.name for each in net.inputs] == ["pair/left", "pair/right", "shift"]
    assert [each.name for each in net.outputs] == ["all", "total", "sum"]
    found = net({name: np.repeat(each, 2, axis=0) for name, each in pair.items()}, np.float32(3))
    assert found["sum"].shape == (4, 3) and float(found["sum"][0, 0]) == 4
    assert type(found["all"]) is tuple and found["all"][1].dtype == jnp.int32
    with pytest.raises(ValueError, match="pair/right: must have 2 rows, as pair/left has, got 3"):
        net({"left": np.ones((2, 3), "f"), "right": np.ones((3, 3), "f")}, np.float32(3))
    with pytest.raises(ValueError, match="inputs: must be pair/left float32"):
        net(pair)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (X[:, :8], r"x: must be of shape \[batch, 16\], got \[5, 8\]"),
        (X[0], r"x: must be of shape \[batch, 16\], got \[16\]"),
        (X[:0], "x: must have rows, got 0"),
        (X.astype(np.float64), "x: must be float32, got float64"),
        (X.astype(np.int32), "x: must be float32, got int32"),
    ],
)
def test_inputs_of_other_shape_or_dtype_are_refused(file, given, message):
    with pytest.raises(ValueError, match=message):
        jc.open_function(file[0])(given)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"runs": "fast"}, "runs: must be dense or compressed"),
        ({"classes": ["a"]}, "classes: must be as many as the last axis"),
        ({"outputs": ["a", "b"]}, "outputs: must name 1 arrays, got 2"),
        ({"platforms": ["abacus"]}, "platforms: must be cpu or cuda or rocm or tpu, got .abacus."),
        ({"preprocessing": {"zoom": 2}}, "preprocessing: must be of size, fit, colour"),
        ({"preprocessing": {"size": 3}}, "preprocessing: size must be height and width"),
        ({"preprocessing": {"size": (2, 2), "std": 0}}, "preprocessing: std must not be 0"),
        ({"preprocessing": {"scale": 1}}, "preprocessing: must say the size"),
    ],
)
def test_what_cannot_be_shipped_is_refused_and_nothing_is_written(tmp_path, wanted, message):
    with pytest.raises(ValueError, match=message):
        jc.ship(tmp_path / "net.npz", apply, new_tree(), X[:1], **wanted)
    assert not list(tmp_path.iterdir())


def test_weights_that_the_function_holds_itself_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "MOST_CONSTANTS", 1000)
    held = new_tree()
    with pytest.raises(ValueError, match=r"got 2,688 bytes that it holds itself, 2,048 of them of"):
        jc.ship(tmp_path / "n.npz", lambda tree, x: apply(held, x) + tree["b"], {"b": X[0, :4]}, X)


def test_a_function_of_fixed_rows_says_how(tmp_path):
    def fixed(tree, x):
        return sum(x[n] @ tree["w"] for n in range(x.shape[0]))

    tree, path = {"w": np.ones((16, 2), "f")}, tmp_path / "net.npz"
    with pytest.raises(ValueError, match="any_batch=False if it needs to know the number of rows"):
        jc.ship(path, fixed, tree, X)
    jc.ship(path, fixed, tree, X, any_batch=False)
    assert jc.open_function(path).inputs[0].shape == (5, 16)


def test_gradients_are_there_if_they_are_asked_for(tmp_path):
    path = tmp_path / "net.npz"
    jc.ship(path, apply, new_tree(), X[:1], gradients=True)
    net = jc.open_function(path, compiled_by=jax.jit)
    found = jax.grad(lambda x: net.call(net.weights, [x])[0].sum())(X)
    expected = jax.grad(lambda x: apply(new_tree(), x).sum())(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def rewritten(path, change):
    """Return a file with another manifest, whose digest is right, or another program."""
    from jaxcompress.artifact.encoding import encoded_tree
    from jaxcompress.artifact.writer import Program, write

    with np.load(path) as arrays:
        data = arrays["program"].tobytes()
    told = jc.inspect(path)["program"]
    data, told = change(data, {name: each for name, each in told.items() if name != "sha256"})
    other = path.with_name("other.npz")
    parts, structure = encoded_tree(jc.load_compressed(path), "entropy")
    write(other, parts, structure, program=Program(data, told))
    return other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t: (d[:100], t), "the program, made by JAX .*, cannot be read by JAX"),
        (lambda d, t: (b"", t), "cannot be read"),
        (lambda d, t: (d, t | {"kind": "pickle"}), "a program of another kind"),
        (lambda d, t: (d, t | {"platforms": ["tpu"]}), "a program for other platforms"),
        (lambda d, t: (d, t | {"convention": 99}), "upgrade JAX"),
        (lambda d, t: (d, t | {"convention": 1}), "ship the network again"),
        (lambda d, t: (d, t | {"runs": "eval"}), "what is said of the program is not valid"),
        (lambda d, t: (d, t | {"inputs": 3}), "what is said of the program is not valid"),
        (lambda d, t: (d, t | {"classes": 3}), "what is said of the program is not valid"),
        (lambda d, t: (d, t | {"preprocessing": {"size": "x"}}), "size must be height and width"),
        (lambda d, t: (d, t | {"preprocessing": [1]}), "what is said of the program is not valid"),
        (
            lambda d, t: (
                d,
                t
                | {
                    "inputs": {
                        "tree": {"tuple": [0]},
                        "arrays": [{"name": "x", "shape": ["batch", 15], "dtype": "float32"}],
                    }
                },
            ),
            "takes other arrays than the file holds",
        ),
    ],
)
def test_programs_that_do_not_belong_there_are_refused(file, change, message):
    with pytest.raises(jc.ArtifactError, match=message):
        jc.open_function(rewritten(file[0], change))


def test_a_program_of_another_file_is_refused(file, tmp_path):
    """Its digest is in the manifest of the file that it was written for."""
    path, small = file
    other = tmp_path / "other.npz"
    jc.ship(other, lambda tree, x: -apply(tree, x), small, X[:1])
    mine, its = (dict(np.load(each)) for each in (path, other))
    archive, bytes_ = Archive(), b""
    members = mine | {"program": its["program"]}
    for name in (*[n for n in mine if n not in ("program", "manifest")], "program", "manifest"):
        bytes_ += b"".join(archive.member(name, deflate([members[name]])))
    comment = path.read_bytes()[-64:]
    mixed = tmp_path / "mixed.npz"
    mixed.write_bytes(bytes_ + b"".join(archive.end(comment)))
    jc.load(mixed)
    with pytest.raises(jc.ArtifactError, match="sha256 of the program differs"):
        jc.open_function(mixed)


def test_damage_and_memory(file, tmp_path):
    data = file[0].read_bytes()
    at = data.index(b"program.npy") + 300
    (tmp_path / "flipped.npz").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(jc.ArtifactError):
        jc.open_function(tmp_path / "flipped.npz")
    (tmp_path / "cut.npz").write_bytes(data[:-200])
    with pytest.raises(jc.ArtifactError):
        jc.open_function(tmp_path / "cut.npz")
    with pytest.raises(jc.ArtifactError, match="program takes more than max_bytes"):
        jc.open_function(file[0], max_bytes=100)


def test_preprocessing_by_hand():
    steps = checked({"layout": "nchw", "size": (1, 2), "mean": (1.0, 2.0, 3.0), "std": 2})
    assert list(steps) == ["size", "mean", "std", "layout"]
    pictures = np.array([[[[1, 2, 3], [5, 6, 7]]]], np.uint8)
    assert prepared(pictures, steps).tolist() == [[[[0.0, 2.0]], [[0.0, 2.0]], [[0.0, 2.0]]]]
    grey = prepared(pictures, checked({"size": (1, 2), "colour": "grey", "scale": 0.5}))
    assert grey.tolist() == [[[[1.0], [3.0]]]]


def test_weights_without_a_batch_of_inputs(tmp_path):
    with pytest.raises(ValueError, match="inputs: must be those of one call, got none"):
        jc.ship(tmp_path / "n.npz", apply, new_tree())
    assert _ship.DENSE == "dense"
