"""Models of ONNX: each tensor as the reference reads it, and copies with other numbers that run."""

import os
import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.cli.formats import wire
from jaxcompress.cli.formats.onnx import OnnxSource, write_onnx
from tests.helpers.program import refused, run

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(0)
HIDDEN, OUTPUT = (
    RNG.normal(size=(8, 6)).astype("f"),
    RNG.normal(size=(6, 5)).astype("f"),
)
NUMBERS = {"hidden": HIDDEN, "output": OUTPUT, "bias": np.arange(5, dtype="f")}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tensor(name, array, kind=None, *, raw=True):
    """A tensor with its numbers as bytes, or in the field of its dtype."""
    if raw:
        return numpy_helper.from_array(np.asarray(array), name)
    kind = kind or helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype)
    return helper.make_tensor(name, kind, np.shape(array), np.asarray(array).reshape(-1))


def two_layers(initializers):
    nodes = [
        helper.make_node("MatMul", ["x", "hidden"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "output", "bias"], ["y"]),
    ]
    return model(nodes, initializers, rows=2, features=8)


def model(nodes, initializers, rows=2, features=8, **extra):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializers,
        **extra,
    )
    opset = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def write(made, path="m.onnx"):
    Path(path).write_bytes(made.SerializeToString())
    return path


def read(path="m.onnx"):
    """All tensors by name."""
    source = OnnxSource(Path(path))
    return {name: source.load(index) for index, name in enumerate(source.paths)}


def axis(path, name):
    source = OnnxSource(Path(path))
    return source.channel_axis(source.paths.index(name))


# Tensors

KINDS = {
    "FLOAT": [0.5, -0.0, np.nan, 3e38],
    "DOUBLE": [0.5, -0.0, np.inf, 1e300],
    "FLOAT16": [0.5, -0.0, np.nan, 65504],
    "BFLOAT16": [0.5, -0.0, np.nan, 3e38],
    "COMPLEX64": [1 + 2j, -1j, 0, 5],
    "COMPLEX128": [1 + 2j, -1j, 0, 5],
    "UINT8": [0, 1, 128, 255],
    "INT8": [0, 1, -128, 127],
    "UINT16": [0, 1, 256, 65535],
    "INT16": [0, -1, -32768, 32767],
    "UINT32": [0, 1, 2**31, 2**32 - 1],
    "INT32": [0, -1, -(2**31), 2**31 - 1],
    "UINT64": [0, 1, 2**63, 2**64 - 1],
    "INT64": [0, -1, -(2**63), 2**63 - 1],
    "BOOL": [True, False, False, True],
    "FLOAT8E4M3FN": [0.5, -0.0, 448, 1],
    "FLOAT8E5M2": [0.5, -0.0, 57344, 1],
    "UINT4": [0, 1, 8, 15],
    "INT4": [0, -1, -8, 7],
}


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 3), (), (0, 3), (1,)])
def test_tensors_are_those_of_the_reference(here, kind, shape, raw):
    number = getattr(TensorProto, kind)
    dtype = helper.tensor_dtype_to_np_dtype(number)
    array = np.array(KINDS[kind], dtype)[: int(np.prod(shape))].reshape(shape)
    made = tensor("t", array, number, raw=raw)
    write(two_layers([made]))
    found, expected = read()["t"], numpy_helper.to_array(made)
    assert found.dtype.name == expected.dtype.name and found.shape == shape
    assert found.tobytes() == expected.tobytes() == array.tobytes()


@pytest.mark.parametrize("raw", [True, False])
def test_without_loss_the_model_comes_back_to_the_byte(here, raw):
    tensors = [tensor(name, array, raw=raw) for name, array in NUMBERS.items()]
    for kind, numbers in KINDS.items():
        number = getattr(TensorProto, kind)
        array = np.array(numbers, helper.tensor_dtype_to_np_dtype(number)).reshape(2, 2)
        tensors.append(tensor(kind, array, number, raw=raw))
    write(two_layers(tensors))
    run("pack", "m.onnx", "--lossless")
    run("unpack", "m.npz", "-o", "back.onnx", "--like", "m.onnx")
    assert Path("back.onnx").read_bytes() == Path("m.onnx").read_bytes()
    assert "whole, 22 tensors" in run("verify", "m.npz", "--against", "m.onnx").out


def test_dtypes_that_no_file_can_hold_are_refused_by_name(here):
    for kind in ("FLOAT8E4M3FNUZ", "FLOAT8E5M2FNUZ", "FLOAT4E2M1", "FLOAT8E8M0"):
        number = getattr(TensorProto, kind)
        array = np.ones((2, 2), helper.tensor_dtype_to_np_dtype(number))
        write(two_layers([tensor("odd", array, number)]))
        assert "m.onnx: odd: dtype must be one of" in refused("pack", "m.onnx")


def test_a_source_travels_as_its_path(here):
    write(two_layers([tensor("hidden", HIDDEN)]))
    data = pickle.dumps(OnnxSource(Path("m.onnx")))
    assert len(data) < 200 and pickle.loads(data).load(0).tobytes() == HIDDEN.tobytes()


def test_a_model_that_changes_while_it_is_read_is_named(here):
    write(two_layers([tensor("hidden", HIDDEN)]))
    source = OnnxSource(Path("m.onnx"))
    os.utime("m.onnx", ns=(0, 0))
    with pytest.raises(jc.ArtifactError, match="m.onnx: hidden: the file changed while it was"):
        source.load(0)


def test_tensors_of_inner_graphs_functions_and_constants(here):
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=tensor("", HIDDEN * 2))],
        "then",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)],
        [tensor("w", HIDDEN * 3)],
    )
    body = [helper.make_node("Constant", [], ["f"], value=tensor("inside", HIDDEN * 4))]
    nodes = [
        helper.make_node("Constant", [], ["large"], value=tensor("other", HIDDEN)),
        helper.make_node("Constant", [], ["vector"], value=tensor("v", HIDDEN[0])),
        helper.make_node("Constant", [], ["small"], value=tensor("small", HIDDEN[:1, :1])),
        helper.make_node("Constant", [], ["ints"], value=tensor("ints", np.ones((2, 2), int))),
        helper.make_node("Constant", [], ["text"], value_string=b"a"),
        helper.make_node("If", ["x"], ["y"], "a name", then_branch=inner, else_branch=inner),
    ]
    made = model(nodes, [tensor("w", HIDDEN * 5)])
    opset = [helper.make_opsetid("", 20)]
    made.functions.append(helper.make_function("local", "twice", [], ["f"], body, opset))
    write(made)
    factors = {"large": 1, "vector": 1, "w": 5, "local.twice/f": 4}
    for branch in ("then", "else"):
        factors |= {f"y/{branch}_branch/c": 2, f"y/{branch}_branch/w": 3}
    found = read()
    assert sorted(found) == sorted(factors)
    for name, factor in factors.items():
        expected = HIDDEN[0] if name == "vector" else HIDDEN
        assert np.array_equal(found[name], expected * np.float32(factor)), name
    run("pack", "m.onnx", "--lossless")
    run("unpack", "m.npz", "-o", "back.onnx", "--like", "m.onnx")
    assert Path("back.onnx").read_bytes() == Path("m.onnx").read_bytes()


def test_what_has_no_numbers_stays_in_the_graph_with_a_note(here):
    made = two_layers([tensor("hidden", HIDDEN), tensor("words", np.array(["a", "b"], object))])
    values, indices = tensor("s", np.ones(2, "f")), tensor("i", np.array([0, 3]))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 2]))
    write(made)
    said = run("pack", "m.onnx", "--lossless").err
    assert "left out, since they are in the graph alone: 1 strings" in said
    assert "left out, since they are in the graph alone: 1 sparse tensors" in said
    assert jc.load("m.npz").keys() == {"hidden"}
    run("unpack", "m.npz", "-o", "back.onnx", "--like", "m.onnx")
    assert Path("back.onnx").read_bytes() == Path("m.onnx").read_bytes()


# Axes


def weight(*shape):
    return np.zeros(shape, "f")


AXES = {
    "conv": ("Conv", ["x", "w"], {}, (4, 3, 2, 2), 0),
    "conv of one input": ("Conv", ["x", "w"], {}, (4, 1, 1, 1), 0),
    "conv, transposed": ("ConvTranspose", ["x", "w"], {}, (3, 4, 2, 2), 1),
    "matmul": ("MatMul", ["x", "w"], {}, (3, 4), -1),
    "matmul from the left": ("MatMul", ["w", "x"], {}, (4, 3), 0),
    "matmul of many from the left": ("MatMul", ["w", "x"], {}, (2, 4, 3), 1),
    "gemm": ("Gemm", ["x", "w"], {}, (3, 4), -1),
    "gemm, transposed": ("Gemm", ["x", "w"], {"transB": 1}, (4, 3), 0),
    "gemm, not transposed": ("Gemm", ["x", "w"], {"transB": 0}, (4, 3), -1),
    "gemm from the left": ("Gemm", ["w", "x"], {}, (4, 3), 0),
    "gemm from the left, transposed": ("Gemm", ["w", "x"], {"transA": 1}, (4, 3), -1),
    "lookup": ("Gather", ["w", "x"], {"axis": 0}, (9, 4), 0),
    "lstm": ("LSTM", ["x", "w", "r"], {}, (1, 16, 3), 1),
    "lstm, recurrent": ("LSTM", ["x", "v", "w"], {}, (1, 16, 4), 1),
    "unknown": ("Add", ["x", "w"], {}, (9, 4), -1),
    "a vector": ("MatMul", ["x", "w"], {}, (4,), -1),
    "the bias": ("Gemm", ["x", "v", "w"], {}, (3, 4), -1),
    "a wrong rank": ("Conv", ["x", "w"], {}, (), -1),
}


@pytest.mark.parametrize("case", AXES)
def test_the_axis_of_outputs_is_that_of_the_operator(here, case):
    operator, inputs, attributes, shape, expected = AXES[case]
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    write(model([node], [tensor("w", weight(*shape))]))
    assert axis("m.onnx", "w") == expected


def test_axes_are_followed_through_what_keeps_or_permutes_them(here):
    initializers = [tensor(name, weight(3, 4)) for name in ("a", "b", "c", "d")]
    initializers += [tensor("conv", weight(1, 2, 4, 3)), tensor("scale", np.float32(1))]
    nodes = [
        helper.make_node("Transpose", ["a"], ["a1"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "a1"], ["y1"]),
        helper.make_node("Cast", ["b"], ["b1"], to=1),
        helper.make_node("Transpose", ["b1"], ["b2"]),
        helper.make_node("Identity", ["b2"], ["b3"]),
        helper.make_node("Gemm", ["x", "b3"], ["y2"], transB=1),
        helper.make_node("Transpose", ["conv"], ["conv1"], perm=[3, 2, 0, 1]),
        helper.make_node("Conv", ["x", "conv1"], ["y3"]),
        helper.make_node("DequantizeLinear", ["c", "scale"], ["c1"]),
        helper.make_node("MatMul", ["c1", "x"], ["y4"]),
        helper.make_node("Add", ["d", "x"], ["d1"]),
        helper.make_node("Conv", ["x", "d1"], ["y5"]),
    ]
    write(model(nodes, initializers))
    expected = {"a": 0, "b": -1, "conv": -1, "c": 0, "d": -1, "scale": -1}
    assert {name: axis("m.onnx", name) for name in expected} == expected


def test_gates_of_an_lstm_may_be_ordered_anew(here):
    """As PyTorch writes it: slices of [gates * hidden, inputs], put together, and a new axis."""
    nodes = []
    for name in ("w", "r"):
        for k in range(2):
            nodes.append(helper.make_node("Slice", [name, "from", "to"], [f"{name}{k}"]))
        nodes.append(helper.make_node("Concat", [f"{name}1", f"{name}0"], [f"{name}2"], axis=0))
        nodes.append(helper.make_node("Unsqueeze", [f"{name}2", "new"], [f"{name}3"]))
    nodes.append(helper.make_node("LSTM", ["x", "w3", "r3"], ["y"]))
    write(model(nodes, [tensor("w", weight(16, 3)), tensor("r", weight(16, 4))]))
    assert axis("m.onnx", "w") == axis("m.onnx", "r") == 0


def test_a_product_decides_where_a_table_is_looked_up_too(here):
    nodes = [
        helper.make_node("Gather", ["w", "x"], ["y1"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    write(model(nodes, [tensor("w", weight(3, 4))]))
    assert axis("m.onnx", "w") == -1


def test_an_inner_graph_uses_the_weights_around_it(here):
    inner = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["i"])],
        "body",
        [],
        [helper.make_tensor_value_info("i", TensorProto.FLOAT, None)],
    )
    nodes = [helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)]
    write(model(nodes, [tensor("w", weight(4, 3, 2))]))
    assert axis("m.onnx", "w") == 0


def test_a_weight_far_away_is_not_looked_for(here):
    nodes = [helper.make_node("Identity", [f"v{k}"], [f"v{k + 1}"]) for k in range(1500)]
    nodes += [helper.make_node("Conv", ["x", name], ["y"]) for name in ("v1500", "v600")]
    write(model(nodes, [tensor("v0", weight(4, 3)), tensor("v600", weight(4, 3))]))
    assert axis("m.onnx", "v0") == -1 and axis("m.onnx", "v600") == 0


def test_a_circle_of_nodes_ends(here):
    nodes = [
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Identity", ["b"], ["a"]),
        helper.make_node("MatMul", ["x", "a"], ["y"]),
    ]
    write(model(nodes, [tensor("w", weight(3, 4))]))
    assert axis("m.onnx", "w") == -1


# Copies with other numbers


@pytest.mark.parametrize("raw", [True, False])
def test_a_model_with_its_weights_replaced_runs(here, raw):
    runtime = pytest.importorskip("onnxruntime")
    made = two_layers([tensor(name, array, raw=raw) for name, array in NUMBERS.items()])
    write(made)
    run("pack", "m.onnx", "--bits", 8)
    run("unpack", "m.npz", "-o", "small.onnx", "--like", "m.onnx")
    x = RNG.normal(size=(2, 8)).astype("f")
    before, after = (
        runtime.InferenceSession(name).run(None, {"x": x})[0] for name in ("m.onnx", "small.onnx")
    )
    assert 0 < np.abs(before - after).max() < 0.1
    expected = jc.load("m.npz")
    small = onnx.load("small.onnx")
    for found in small.graph.initializer:
        assert numpy_helper.to_array(found).tobytes() == np.asarray(expected[found.name]).tobytes()
    for each in (made, small):
        del each.graph.initializer[:]
    assert small.SerializeToString() == made.SerializeToString()


def nested(depth, array):
    """Graphs in graphs, each with numbers as those of protobuf, and with others behind them."""
    inner = {"then_branch": nested(depth - 1, array)} if depth else {}
    return helper.make_graph(
        [helper.make_node("If", ["x"], ["y"], **inner)],
        "g" * 100,
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [tensor("w", array, raw=False), tensor("after", np.float32([depth, 2]))],
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=200), st.data())
def test_numbers_that_change_their_length_move_all_that_follows(tmp_path_factory, bits, data):
    path = tmp_path_factory.mktemp("m") / "m.onnx"
    before = np.array(bits, np.uint16).view(ml_dtypes.bfloat16)
    limit = st.sampled_from([0, 127, 128, 2**14, 2**16 - 1])
    after = np.full(len(bits), data.draw(limit), np.uint16).view(ml_dtypes.bfloat16)
    write(helper.make_model(nested(2, before)), path)
    source = OnnxSource(path)
    new = {name: source.load(index) for index, name in enumerate(source.paths)}
    new = {name: after if name.endswith("w") else array for name, array in new.items()}
    assert len(new) == 6
    write_onnx(path.with_name("n.onnx"), path, new, new.__getitem__)
    assert onnx.load(path.with_name("n.onnx")) == helper.make_model(nested(2, after))
    found = read(path.with_name("n.onnx"))
    assert all(found[name].tobytes() == array.tobytes() for name, array in new.items())


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_numbers_of_protobuf_come_back(numbers):
    array = np.array(numbers, np.uint64)
    assert np.array_equal(wire.decoded(np.frombuffer(wire.encoded(array), np.uint8)), array)


def test_an_output_needs_the_graph_of_the_same_tensors(here):
    write(two_layers([tensor(name, array) for name, array in NUMBERS.items()]))
    jc.save("good.npz", NUMBERS)
    others = {
        "no graph": ("good.npz", [], "o.onnx: needs the graph; name the model"),
        "missing": ("a.npz", NUMBERS, "bias: must be as in m.onnx: float32[5], got none"),
        "more": ("b.npz", NUMBERS, "z: must be as in m.onnx: no such tensor, got float32[1]"),
        "shape": ("c.npz", NUMBERS, "bias: must be as in m.onnx: float32[5], got float32[4]"),
        "dtype": ("d.npz", NUMBERS, "bias: must be as in m.onnx: float32[5], got float16[5]"),
    }
    jc.save("a.npz", {name: NUMBERS[name] for name in ("hidden", "output")})
    jc.save("b.npz", NUMBERS | {"z": np.zeros(1, "f")})
    jc.save("c.npz", NUMBERS | {"bias": np.zeros(4, "f")})
    jc.save("d.npz", NUMBERS | {"bias": np.zeros(5, np.float16)})
    for name, like, said in others.values():
        words = ("--like", "m.onnx") if like else ()
        assert said in refused("unpack", name, "-o", "o.onnx", *words)
    assert "--like: only for .onnx and .gguf" in refused(
        "unpack", "good.npz", "-o", "o.npz", "--like", "m.onnx"
    )
    assert "--like: must be a .onnx" in refused(
        "unpack", "good.npz", "-o", "o.onnx", "--like", "good.npz"
    )
    assert "--gguf-type: only for .gguf" in refused(
        "unpack", "good.npz", "-o", "o.onnx", "--like", "m.onnx", "--gguf-type", "f16"
    )
    assert "the output must not be the input" in refused(
        "unpack", "good.npz", "-o", "m.onnx", "--like", "m.onnx"
    )
    assert not [name for name in os.listdir() if name.startswith((".", "o."))]


# External data


def external(name, array, **entries):
    """A tensor whose numbers are in another file."""
    made = TensorProto(name=name, dims=array.shape)
    made.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    made.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        made.external_data.add(key=key, value=str(value))
    return made


def with_files():
    os.makedirs("m/deep")
    Path("m/a.bin").write_bytes(b"before" + HIDDEN.tobytes() + b"after" + OUTPUT.tobytes())
    Path("m/deep/b.bin").write_bytes(NUMBERS["bias"].tobytes())
    entries = {
        "hidden": {"location": "a.bin", "offset": 6, "length": HIDDEN.nbytes},
        "output": {"location": "a.bin", "offset": 11 + HIDDEN.nbytes},
        "bias": {"location": "deep/b.bin"},
    }
    made = two_layers([external(n, NUMBERS[n], **entry) for n, entry in entries.items()])
    return write(made, "m/m.onnx")


def test_numbers_beside_the_model_are_read_and_written(here):
    runtime = pytest.importorskip("onnxruntime")
    with_files()
    found = read("m/m.onnx")
    assert all(found[name].tobytes() == array.tobytes() for name, array in NUMBERS.items())
    run("pack", "m/m.onnx", "-o", "m.npz", "--lossless")
    before = {path.name: path.read_bytes() for path in Path("m").rglob("*.*")}
    os.mkdir("o")
    run("unpack", "m.npz", "-o", "o/o.onnx", "--like", "m/m.onnx")
    assert sorted(os.listdir("o")) == ["o.onnx", "o.onnx.1.data", "o.onnx.data"]
    assert Path("o/o.onnx.data").read_bytes() == Path("m/a.bin").read_bytes()
    assert before == {path.name: path.read_bytes() for path in Path("m").rglob("*.*")}
    x = RNG.normal(size=(2, 8)).astype("f")
    results = [
        runtime.InferenceSession(name).run(None, {"x": x})[0] for name in ("m/m.onnx", "o/o.onnx")
    ]
    assert np.array_equal(*results)
    run("unpack", "m.npz", "-o", "o/o.onnx", "--like", "m/m.onnx")  # again, to the same files
    assert len(os.listdir("o")) == 3


def test_files_of_the_model_are_never_replaced(here):
    with_files()
    run("pack", "m/m.onnx", "-o", "m.npz", "--lossless")
    os.rename("m/a.bin", "m/o.onnx.data")
    write(
        two_layers([external("hidden", HIDDEN, location="o.onnx.data", offset=6, length=192)]),
        "m/m.onnx",
    )
    jc.save("h.npz", {"hidden": HIDDEN})
    content = Path("m/o.onnx.data").read_bytes()
    for output in ("m/o.onnx", "m/o.onnx.data"):
        words = ("pack", "m/m.onnx") if output.endswith("data") else ("unpack", "h.npz")
        words = (*words, "-o", output) + (("--like", "m/m.onnx") if words[0] == "unpack" else ())
        assert "the output must not be the input" in refused(*words)
    assert Path("m/o.onnx.data").read_bytes() == content and not os.path.exists("m/o.onnx")


OUTSIDE = ["/etc/hostname", "../secret", "deep/../../secret", "..", "a\\b", "c:secret", "a//b"]
OUTSIDE += ["", "a\0b"]


@pytest.mark.parametrize("location", OUTSIDE)
def test_numbers_outside_of_the_folder_are_refused(here, location):
    os.makedirs("m/deep")
    Path("secret").write_bytes(bytes(HIDDEN.nbytes))
    write(two_layers([external("hidden", HIDDEN, location=location)]), "m/m.onnx")
    said = refused("pack", "m/m.onnx", status=3)
    assert "hidden: external data must lie in the folder of the model" in said
    assert sorted(os.listdir("m")) == ["deep", "m.onnx"] and not os.path.exists("m.npz")


def test_links_that_lead_outside_are_refused_and_those_of_the_hub_are_read(here):
    os.makedirs("models/blobs")
    os.makedirs("models/snapshots/1/onnx")
    Path("secret").write_bytes(HIDDEN.tobytes())
    Path("models/blobs/x").write_bytes(HIDDEN.tobytes())
    made = two_layers([external("hidden", HIDDEN, location="h.bin")])
    write(made, "models/blobs/y")
    folder = Path("models/snapshots/1/onnx")
    os.symlink("../../../blobs/y", folder / "m.onnx")
    os.symlink("../../../blobs/x", folder / "h.bin")
    assert read(folder / "m.onnx")["hidden"].tobytes() == HIDDEN.tobytes()
    os.unlink(folder / "h.bin")
    os.symlink(here / "secret", folder / "h.bin")
    assert "external data must lie in" in refused("pack", folder / "m.onnx", status=3)
    os.unlink(folder / "h.bin")
    os.symlink(here, folder / "d")
    write(two_layers([external("hidden", HIDDEN, location="d/secret")]), "models/blobs/y")
    assert "external data must lie in" in refused("pack", folder / "m.onnx", status=3)


LYING = {
    "too long": {"location": "h", "length": 193},
    "too short": {"location": "h", "length": 191},
    "behind the end": {"location": "h", "offset": 1, "length": 192},
    "far behind the end": {"location": "h", "offset": 2**60},
    "not a number": {"location": "h", "offset": "-1"},
    "not ASCII": {"location": "h", "offset": "\N{ARABIC-INDIC DIGIT ONE}"},
    "no location": {"offset": 0},
}


@pytest.mark.parametrize("case", LYING)
def test_external_data_that_lies_is_refused(here, case):
    Path("h").write_bytes(HIDDEN.tobytes())
    write(two_layers([external("hidden", HIDDEN, **LYING[case])]))
    assert "m.onnx: hidden: " in refused("pack", "m.onnx", status=3)
    assert sorted(os.listdir()) == ["h", "m.onnx"]


def test_numbers_may_lie_beyond_4_gib(here):
    with open("h", "wb") as file:  # a hole on the disk
        file.seek(5 << 30)
        file.write(HIDDEN.tobytes())
    write(two_layers([external("hidden", HIDDEN, location="h", offset=5 << 30)]))
    assert read()["hidden"].tobytes() == HIDDEN.tobytes()


def test_the_model_is_not_its_own_external_data(here):
    os.symlink("m.onnx", "h")
    for location in ("m.onnx", "./m.onnx", "h"):
        write(two_layers([external("hidden", HIDDEN, location=location, length=192)]))
        said = refused("pack", "m.onnx", status=3)
        assert "hidden: external data must not lie in the model itself" in said


def test_tensors_may_share_their_external_data(here):
    Path("h").write_bytes(b"ab" + HIDDEN.tobytes() + b"cd")
    names = ("hidden", "again", "part")
    shapes = {"hidden": HIDDEN, "again": HIDDEN, "part": HIDDEN[:4]}
    write(
        two_layers(
            [external(n, shapes[n], location="h", offset=2, length=shapes[n].nbytes) for n in names]
        )
    )
    run("pack", "m.onnx", "--lossless")
    run("unpack", "m.npz", "-o", "o.onnx", "--like", "m.onnx")
    assert Path("o.onnx.data").read_bytes() == Path("h").read_bytes()
    assert all(array.tobytes() == shapes[name].tobytes() for name, array in read("o.onnx").items())


def test_external_data_that_is_no_file_or_missing_is_refused(here):
    write(two_layers([external("hidden", HIDDEN, location="h")]))
    assert "h: No such file" in refused("pack", "m.onnx")
    os.mkfifo("h")
    assert "h: hidden: a regular file is needed: found a pipe" in refused(
        "pack", "m.onnx", status=3
    )


@pytest.mark.parametrize("raw", [True, False])
def test_repeated_tensors_are_stored_once(here, raw):
    wide = RNG.normal(size=(8, 64)).astype("f")
    made = [tensor("wte", wide, raw=raw), tensor("head", wide, raw=raw), tensor("other", wide + 1)]
    write(model([helper.make_node("MatMul", ["x", "wte"], ["y"])], made))
    run("pack", "m.onnx", "--lossless")
    assert [entry.get("tensor") for entry in jc.inspect("m.npz")["tensors"]] == [None, None, 0]
    found = jc.load("m.npz")
    np.testing.assert_array_equal(found["head"], wide)
    np.testing.assert_array_equal(found["wte"], wide)
