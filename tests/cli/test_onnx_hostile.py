"""Models of ONNX that are damaged, or say what is not true."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.cli.formats.onnx import OnnxSource
from jaxcompress.cli.status import Refused
from tests.helpers.program import refused

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def proto(*, segment=False, **fields):
    made = TensorProto(name="t", data_type=1, dims=fields.pop("dims", [2]))
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    if segment:
        made.segment.end = 1
    return made


def model(*tensors, nodes=()):
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph(nodes, "g", [], [output], tensors))


def said(data):
    Path("m.onnx").write_bytes(data)
    found = refused("pack", "m.onnx", "--lossless", status=3)
    assert os.listdir() == ["m.onnx"]
    return found


WRONG = {
    "too few bytes": ({"raw_data": b"1234567"}, "as many bytes are needed as the shape says"),
    "too many bytes": ({"raw_data": b"123456789"}, "expected 8, found 9"),
    "no numbers": ({}, "expected 8, found 0"),
    "a huge shape": ({"dims": [2**40, 2**40], "raw_data": b"12345678"}, "as many bytes"),
    "a negative axis": ({"dims": [-1]}, "axes must not be negative"),
    "too many axes": ({"dims": [1] * 65, "raw_data": b"1234"}, "too many numbers"),
    "both fields": ({"raw_data": b"12345678", "float_data": [1, 2]}, "must be in one field"),
    "another field": ({"int32_data": [1, 2]}, "must be in one field"),
    "text": ({"string_data": [b"ab"]}, "must be in one field"),
    "no dtype": ({"data_type": 0}, "an unknown dtype: expected one of ONNX, found 0"),
    "an unknown dtype": ({"data_type": 99}, "found 99"),
    "too large": ({"data_type": 2, "int32_data": [1, 256]}, "that its dtype cannot hold"),
    "too small": ({"data_type": 3, "int32_data": [1, -129]}, "that its dtype cannot hold"),
    "not even": ({"data_type": 10, "int32_data": [1, -1]}, "that its dtype cannot hold"),
    "no truth": ({"data_type": 9, "raw_data": b"\1\2"}, "a truth value must be 0 or 1"),
    "too few numbers": ({"data_type": 2, "int32_data": [300]}, "that its dtype cannot hold"),
    "a segment": ({"raw_data": b"12345678", "segment": True}, "must be whole, found a segment"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_tensor_that_lies_is_named(here, case):
    fields, reason = WRONG[case]
    found = said(model(proto(**fields)).SerializeToString())
    assert found.startswith("jaxcompress: m.onnx: t: ") and reason in found


def test_tensors_have_names_of_their_own(here):
    twice = proto(raw_data=b"12345678")
    assert "a tensor must have a name of its own: found t" in said(
        model(twice, twice).SerializeToString()
    )
    twice.name = ""
    assert "a tensor must have a name of its own" in said(model(twice).SerializeToString())


def field(number, data):
    """A field of bytes."""
    assert number < 16 and len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


TENSOR = b"\x08\x02\x10\x01" + field(8, b"t") + field(9, b"12345678")  # dims, data_type
BROKEN = {
    "empty": (b"", "a model must have one graph: found 0"),
    "no graph": (b"\x08\x0a", "a model must have one graph: found 0"),
    "two graphs": (field(7, b"") * 2, "a model must have one graph: found 2"),
    "text": (b"not a model", "damaged"),
    "field 0": (b"\x00\x00", "a field of protobuf is damaged"),
    "a group": (b"\x3b\x3c", "a field of protobuf is damaged"),
    "an endless number": (b"\xff" * 30, "a number of protobuf is damaged"),
    "a number of 70 bits": (b"\x08" + b"\xff" * 9 + b"\x7f", "a number of protobuf is damaged"),
    "cut in a number": (b"\x08\x80", "a number of protobuf is damaged"),
    "longer than the file": (b"\x3a\x05\x2a", "a field of protobuf is damaged, or ends too late"),
    "longer than the graph": (field(7, b"\x2a\x7f") + bytes(200), "ends too late"),
    "a huge length": (b"\x3a" + b"\xff" * 9 + b"\x01", "ends too late"),
    "no text": (field(7, field(5, TENSOR[:4] + field(8, b"\xff"))), "not readable"),
    "a name twice": (field(7, field(5, TENSOR + field(8, b"u"))), "has a field twice: found 8"),
    "a name that is a number": (field(7, field(5, b"\x40\x01")), "field 8: of another kind"),
    "numbers cut": (
        field(7, field(5, b"\x08\x01\x10\x02" + field(8, b"t") + field(5, b"\x80"))),
        "numbers of protobuf are damaged",
    ),
    "numbers apart": (
        field(7, field(5, b"\x08\x01\x10\x02" + b"\x28\x01")),
        "numbers must be packed",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_message_is_refused(here, case):
    data, reason = BROKEN[case]
    assert reason in said(data)


def test_shapes_may_be_packed_and_numbers_longer_than_they_need(here):
    data = b"\x10\x01" + field(8, b"t") + field(9, b"12345678") + field(1, b"\x81\x00\x02")
    Path("m.onnx").write_bytes(field(7, field(5, data)))
    assert OnnxSource(Path("m.onnx")).load(0).shape == (1, 2)


def test_graphs_nested_without_end_are_refused(here):
    data = b""
    for _ in range(100):  # an attribute of a node of a graph
        data = inner(6, data)
        data = inner(1, inner(5, data))
    assert "graphs are nested too deep: expected <= 64" in said(inner(7, data))


def inner(number, data):
    """A field of bytes of any length."""
    head, length = bytes([number << 3 | 2]), len(data)
    while length > 127:
        head, length = head + bytes([length & 127 | 128]), length >> 7
    return head + bytes([length]) + data


def small():
    """A model of several kinds of tensors, in an inner graph too."""
    kinds = [numpy_helper.from_array(np.float32([[1, 2], [3, 4]]), "raw")]
    kinds += [helper.make_tensor("half", TensorProto.FLOAT16, [2], [0.5, -1])]
    kinds += [helper.make_tensor("ints", TensorProto.INT64, [3], [1, -1, 300])]
    inside = helper.make_graph([], "i", [], [], [kinds[0]])
    nodes = [helper.make_node("If", ["x"], ["y"], then_branch=inside)]
    nodes += [helper.make_node("Transpose", ["raw"], ["t"], perm=[1, 0])]
    return model(*kinds, nodes=nodes).SerializeToString()


SMALL = small()


def outcome(path):
    """What is read, or None if it is refused."""
    try:
        source = OnnxSource(path)
        axes = [source.channel_axis(index) for index in range(len(source.paths))]
        assert all(-1 <= axis < 64 for axis in axes)
        return {name: source.load(index) for index, name in enumerate(source.paths)}
    except (jc.ArtifactError, Refused):
        return None


def test_a_model_that_is_cut_is_refused_or_has_fewer_tensors(here):
    Path("m.onnx").write_bytes(SMALL)
    whole = outcome(Path("m.onnx"))
    assert sorted(whole) == ["half", "ints", "raw", "y/then_branch/raw"]
    for size in range(len(SMALL)):
        Path("m.onnx").write_bytes(SMALL[:size])
        found = outcome(Path("m.onnx"))
        # Only what stands behind the graph may be missing: it has the length of its own.
        assert found is None or found.keys() == whole.keys()


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4))
def test_a_damaged_model_is_refused_or_read_as_the_reference_reads_it(tmp_path_factory, changes):
    data = bytearray(SMALL)
    for place, byte in changes:
        data[place] = byte
    path = tmp_path_factory.mktemp("m") / "m.onnx"
    path.write_bytes(data)
    found = outcome(path)
    try:
        reference = onnx.ModelProto.FromString(bytes(data)).graph.initializer
        arrays = {each.name: numpy_helper.to_array(each) for each in reference}
    except Exception:
        return
    for name, array in arrays.items():
        if found and name in found and array.dtype == found[name].dtype:
            assert found[name].tobytes() == array.tobytes()
