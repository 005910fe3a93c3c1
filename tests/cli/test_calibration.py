"""`pack --calibrate`: outputs of a model of ONNX before and after."""

import numpy as np
import pytest

from tests.helpers.program import refused, run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weight = RNG.normal(size=(40, 30)).astype("f")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 30])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, "m.onnx")
    np.savez("x.npz", x=RNG.normal(size=(5, 40)).astype("f"))
    return tmp_path


def error_of(said):
    line = said.out.splitlines()[-1]
    assert line.endswith("  y")
    return float(line.split("relative error ")[1].split(",")[0])


def test_outputs_are_as_far_off_as_the_weights():
    assert 0.1 < error_of(run("pack", "m.onnx", "--bits", 3, "--calibrate", "x.npz")) < 0.4
    fine = run("pack", "m.onnx", "-o", "m.npz", "--calibrate", "x.npz")
    assert 0.01 < error_of(fine) < 0.05
    exact = run("pack", "m.onnx", "-o", "m.npz", "--lossless", "--calibrate", "x.npz")
    assert error_of(exact) == 0


def test_wrong_models_and_inputs_are_refused_before_anything_is_packed(here):
    np.savez("other.npz", z=np.ones(3))
    np.savez("narrow.npz", x=np.ones((5, 7), "f"))
    words = ["pack", "m.onnx", "-o", "m.npz", "--calibrate"]
    assert "must hold the inputs of the model, x, got z" in refused(*words, "other.npz")
    assert "--calibrate: the model must be .onnx" in refused(
        "pack", "x.npz", "-o", "m.npz", "--calibrate", "x.npz"
    )
    assert "ONNX Runtime must run the model" in refused(*words, "narrow.npz")
    np.save("one.npy", np.ones(3))
    assert "not an archive of arrays" in refused(*words, "one.npy", status=3)
    assert not (here / "m.npz").exists()
