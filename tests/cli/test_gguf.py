"""Files of GGUF: tensors as the reference reads them, and files that it reads with all values."""

import json
import os
import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.cli.formats import gguf_values
from jaxcompress.cli.formats.gguf import GgufSource
from jaxcompress.cli.formats.gguf_values import values_of
from tests.helpers.program import refused, run

gguf = pytest.importorskip("gguf")
from gguf import GGMLQuantizationType as Type  # noqa: E402
from gguf import GGUFReader, GGUFWriter  # noqa: E402

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(6, 256)).astype("f")
NORM = RNG.normal(size=5).astype("f")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(tensors, path="m.gguf", values=(), **raw):
    """Write a file with the reference; `raw` are tensors of bytes with their type."""
    writer = GGUFWriter(path, "llama")
    for add in values:
        add(writer)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    for name, (data, kind) in raw.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def read(path="m.gguf"):
    source = GgufSource(Path(path))
    return {name: source.load(index) for index, name in enumerate(source.paths)}


def dense(tensor):
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def reference(path):
    """The tensors as the reference reads them, and its values without the counts."""
    reader = GGUFReader(path)
    tensors = {
        t.name: (t.tensor_type, t.data if t.data.dtype == np.int64 else dense(t))
        for t in reader.tensors
    }
    fields = {
        name: (field.types, field.contents())
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }
    return tensors, fields


VALUES = [
    lambda w: w.add_name("a model \N{GREEK SMALL LETTER PI}"),
    lambda w: w.add_file_type(15),
    lambda w: w.add_block_count(3),
    lambda w: w.add_layer_norm_rms_eps(1e-5),
    lambda w: w.add_float32("x.nan", float("inf")),
    lambda w: w.add_float64("x.double", 0.1),
    lambda w: w.add_uint64("x.large", 2**63),
    lambda w: w.add_int8("x.small", -3),
    lambda w: w.add_bool("x.bool", True),
    lambda w: w.add_token_list(["<s>", "", "a b", "\N{GRINNING FACE}"]),
    lambda w: w.add_token_scores([0.0, -1.5, 3.25]),
    lambda w: w.add_array("x.ints", [1, 2, -3]),
]

PLAIN = [np.float32, np.float16, np.int8, np.int16, np.int32, np.int64, np.float64]


@pytest.mark.parametrize("dtype", PLAIN)
@pytest.mark.parametrize("shape", [(4,), (2, 3), (3, 1), (2, 2, 2, 2), ()])
def test_plain_numbers_are_those_of_the_reference(here, dtype, shape):
    array = (RNG.normal(size=shape) * 50).astype(dtype).reshape(shape)
    write({"a": array, "norm": NORM})
    found = read()["a"]
    assert found.dtype == dtype and found.shape == shape and found.tobytes() == array.tobytes()
    run("pack", "m.gguf", "--lossless")
    run("unpack", "m.npz", "-o", "back.gguf", "--like", "m.gguf")
    assert Path("back.gguf").read_bytes() == Path("m.gguf").read_bytes()


def test_bfloat16_stays_what_it_is(here):
    array = WEIGHT.astype(ml_dtypes.bfloat16)
    write({}, w=(array.view(np.uint8), Type.BF16))
    found = read()["w"]
    assert found.dtype == array.dtype and found.tobytes() == array.tobytes()
    run("pack", "m.gguf", "--lossless")
    run("unpack", "m.npz", "-o", "back.gguf", "--like", "m.gguf")
    assert Path("back.gguf").read_bytes() == Path("m.gguf").read_bytes()


def readable():
    """Types of blocks that the reference can read."""
    for kind in Type:
        try:
            gguf.quants.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
        except NotImplementedError:
            continue
        if gguf.GGML_QUANT_SIZES[kind][0] > 1:
            yield kind


@pytest.mark.parametrize("kind", list(readable()), ids=lambda kind: kind.name)
def test_blocks_become_the_numbers_of_the_reference(here, kind):
    count, size = gguf.GGML_QUANT_SIZES[kind]
    raw = RNG.integers(0, 256, (2, 3, 2 * size), dtype=np.uint8)
    write({"norm": NORM}, w=(raw, kind))
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(raw, kind)
    found = read()["w"]
    assert found.shape == (2, 3, 2 * count) and found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_types_that_the_reference_cannot_read_are_refused_by_name(here):
    for kind in (Type.Q8_1, Type.Q8_K):
        size = gguf.GGML_QUANT_SIZES[kind][1]
        write({}, w=(np.zeros((1, size), np.uint8), kind))
        said = refused("pack", "m.gguf")
        assert f"m.gguf: w: must be of a type that gguf can read, got {int(kind)}" in said


def test_a_source_travels_as_its_path(here):
    write({"w": WEIGHT}, values=VALUES)
    data = pickle.dumps(GgufSource(Path("m.gguf")))
    assert len(data) < 200 and pickle.loads(data).load(0).tobytes() == WEIGHT.tobytes()


def test_outputs_lie_along_the_first_axis_and_experts_before_it(here):
    experts = np.zeros((2, 3, 4), "f")
    write({"blk.0.ffn_up_exps.weight": experts, "conv.weight": experts, "norm": NORM})
    source = GgufSource(Path("m.gguf"))
    axes = {name: source.channel_axis(index) for index, name in enumerate(source.paths)}
    assert axes == {"blk.0.ffn_up_exps.weight": 1, "conv.weight": 0, "norm": 0}


def split(**values):
    """A model in three files, a tensor in each but the first, which has the values."""
    writer = GGUFWriter("m.gguf", "llama", split_max_tensors=1, small_first_shard=True)
    writer.add_block_count(3)
    for name, array in {"w": WEIGHT, "norm": NORM}.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return [f"m-0000{k}-of-00003.gguf" for k in (1, 2, 3)]


def test_a_model_in_several_files_is_read_by_any_of_them(here):
    names = split()
    assert sorted(os.listdir()) == names
    for name in names:
        found = read(name)
        assert found["w"].tobytes() == WEIGHT.tobytes() and len(found) == 2
        assert found["norm"].tobytes() == NORM.tobytes()
        assert [path.name for path in GgufSource(Path(name)).files] == names
    jc.save("small.npz", found, metadata=GgufSource(Path(names[1])).kept)
    run("unpack", "small.npz", "-o", "one.gguf")
    tensors, values = reference("one.gguf")
    assert len(tensors) == 2 and set(values) == {"general.architecture", "llama.block_count"}
    said = refused("pack", names[0], "-o", names[2])
    assert "the output must not be the input" in said


def test_files_of_a_model_that_are_missing_doubled_or_swapped_are_refused(here):
    names = split()
    third = Path(names[2]).read_bytes()
    Path(names[2]).rename("other.gguf")
    assert f"all 3 files must lie in one folder, missing {names[2]}" in refused("pack", names[0])
    assert "other.gguf: one of 3 files must be called NAME-00001" in refused("pack", "other.gguf")
    Path(names[2]).write_bytes(Path(names[1]).read_bytes())
    said = refused("pack", names[0], status=3)
    assert f"{names[2]}: must be the file that its name says: expected 2 of 3, found 1 of 3" in said
    os.mkdir("elsewhere")
    Path("elsewhere/x").write_bytes(third)
    os.unlink(names[2])
    os.symlink("elsewhere/x", names[2])
    assert read(names[0])["norm"].tobytes() == NORM.tobytes()
    os.rename("elsewhere", here.parent / f"{here.name}-x")
    os.unlink(names[2])
    os.symlink(f"../{here.name}-x/x", names[2])
    assert "a file of a model must lie in its folder" in refused("pack", names[0])


def test_a_tensor_is_in_one_file_of_a_model_and_none_is_missing(here):
    names = split()
    for values, said in (
        ({"v": NORM}, "the files must hold all tensors: expected 2, found 3"),
        ({}, "the files must hold all tensors: expected 2, found 1"),
        ({"w": WEIGHT}, "w: a tensor is in another file too"),
    ):
        add = [
            lambda w: w.add_uint16("split.no", 2),
            lambda w: w.add_uint16("split.count", 3),
        ]
        tensors = {"norm": NORM} | values if values else {}
        write(tensors, names[2], values=add)
        assert said in refused("pack", names[0], status=3)


def test_a_file_that_changes_while_it_is_read_is_named(here):
    write({"w": WEIGHT})
    source = GgufSource(Path("m.gguf"))
    os.utime("m.gguf", ns=(0, 0))
    with pytest.raises(jc.ArtifactError, match="m.gguf: w: the file changed while it was"):
        source.load(0)


# Values


def kept(tensors, path="small.npz"):
    """A compressed file with the values of m.gguf in its metadata."""
    source = GgufSource(Path("m.gguf"))
    jc.save(path, tensors, metadata={"pack": {}} | source.kept)
    return source


def test_values_come_back_from_the_metadata_to_the_byte(here):
    write({"w": WEIGHT, "norm": NORM}, values=VALUES)
    source = kept({"w": WEIGHT, "norm": NORM})
    metadata = json.loads(json.dumps(jc.inspect("small.npz")["metadata"]))
    assert values_of(Path("small.npz"), metadata) == source.values
    said = run("unpack", "small.npz", "-o", "back.gguf")
    assert not said.err
    before, after = reference("m.gguf")[1], reference("back.gguf")[1]
    assert before.pop("general.file_type")[1] == 15  # of the tensors, which are float32 now
    assert after.pop("general.file_type")[1] == 0
    assert before == after and len(before) == len(VALUES)
    for name, array in {"w": WEIGHT, "norm": NORM}.items():
        kind, found = reference("back.gguf")[0][name]
        assert kind == Type.F32 and found.tobytes() == array.tobytes()


def test_pack_keeps_the_values(here):
    write({"norm": NORM, "w": WEIGHT}, values=VALUES)
    run("pack", "m.gguf", "--lossless")
    said = run("unpack", "m.npz", "-o", "back.gguf")
    assert not said.err
    before, after = Path("m.gguf").read_bytes(), Path("back.gguf").read_bytes()
    place = before.index(b"general.file_type") + len("general.file_type") + 4
    assert before[place] == 15 and after[place] == 0  # its tensors are float32
    assert before[:place] + before[place + 1 :] == after[:place] + after[place + 1 :]


def test_values_are_taken_from_another_file(here):
    write({"v": WEIGHT}, values=VALUES)
    jc.save("small.npz", {"w": WEIGHT.astype(np.float16)})
    said = run("unpack", "small.npz", "-o", "back.gguf").err
    assert "has no general.architecture" in said
    assert not reference("back.gguf")[1]
    assert not run("unpack", "small.npz", "-o", "back.gguf", "--like", "m.gguf").err
    found = reference("back.gguf")[1]
    assert found["general.architecture"][1] == "llama" and found["general.file_type"][1] == 1
    said = refused("unpack", "small.npz", "-o", "m.gguf", "--like", "m.gguf")
    assert "the output must not be the input" in said


def test_values_without_end_are_left_out_with_a_note(here, monkeypatch, capsys):
    monkeypatch.setattr(gguf_values, "_MOST_KEPT", 2000)
    write({"w": WEIGHT}, values=[lambda w: w.add_array("x.noise", RNG.normal(size=500).tolist())])
    assert GgufSource(Path("m.gguf")).kept == {}
    assert "m.gguf: key-value metadata takes 2,0" in capsys.readouterr().err


def test_inspect_shows_the_beginning_of_long_metadata(here):
    write({"w": WEIGHT}, values=[lambda w: w.add_array("x.noise", RNG.normal(size=500).tolist())])
    kept({"w": WEIGHT})
    line = run("inspect", "small.npz").out.splitlines()[-1]
    assert (
        line.startswith("metadata: {'pack': {}, 'gguf': {")
        and len(line) < 2100
        and line.endswith("...")
    )
    metadata = json.loads(run("inspect", "small.npz", "--json").out)["metadata"]
    assert metadata == jc.inspect("small.npz")["metadata"] and len(str(metadata)) > 2100


WRONG = {
    "no object": 1,
    "other keys": {"count": 1},
    "no text": {"count": 1, "values": 1},
    "no base64": {"count": 1, "values": "?"},
    "not packed": {"count": 1, "values": "AAAA"},
    "too few": {"count": 2, "values": "eJwDAAAAAAE="},
    "a truth value": {"count": False, "values": "eJwDAAAAAAE="},
    "negative": {"count": -1, "values": "eJwDAAAAAAE="},
    "cut": {"count": 0, "values": "eJwDAAAA"},
}


@pytest.mark.parametrize("case", WRONG)
def test_damaged_values_are_refused(here, case):
    jc.save("small.npz", {"w": WEIGHT}, metadata={"gguf": WRONG[case]})
    said = refused("unpack", "small.npz", "-o", "o.gguf", status=3)
    assert said.startswith("jaxcompress: small.npz: ") and os.listdir() == ["small.npz"]


# Files of other types


@pytest.mark.parametrize("name", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_weights_are_written_in_the_type_that_is_wanted(here, name):
    odd = RNG.normal(size=(3, 33)).astype("f")
    tensors = {"w": WEIGHT, "norm": NORM, "odd": odd, "ids": np.arange(4).reshape(2, 2)}
    write({"v": WEIGHT}, values=VALUES)
    kept(tensors)
    run("unpack", "small.npz", "-o", "o.gguf", "--gguf-type", name)
    found, values = reference("o.gguf")
    kind = Type[name.upper()]
    assert found["w"][0] == kind and found["norm"][0] == Type.F32
    assert found["odd"][0] == (Type.F32 if name.startswith("q") else kind)
    assert found["ids"][0] == Type.I64
    expected = gguf.quants.dequantize(gguf.quants.quantize(WEIGHT, kind), kind)
    np.testing.assert_array_equal(found["w"][1], expected)
    file_type = getattr(gguf.LlamaFileType, f"MOSTLY_{name.upper()}", gguf.LlamaFileType.ALL_F32)
    assert values["general.file_type"][1] == (file_type if name != "f32" else 0)


HELD = {"f16": 7e4, "q8_0": 7e4, "q4_0": np.nan, "bf16": np.float32(3.4028e38)}


@pytest.mark.parametrize("name", HELD)
def test_numbers_that_a_type_cannot_hold_are_refused(here, name):
    jc.save("small.npz", {"w": np.full((2, 32), HELD[name], "f")})
    said = refused("unpack", "small.npz", "-o", "o.gguf", "--gguf-type", name)
    assert "o.gguf: w: has numbers that " in said and os.listdir() == ["small.npz"]


def test_infinities_stay_where_a_type_has_them(here):
    jc.save("small.npz", {"w": np.full((2, 32), -np.inf, "f")})
    run("unpack", "small.npz", "-o", "o.gguf", "--gguf-type", "f16")
    assert np.isneginf(reference("o.gguf")[0]["w"][1]).all()


def test_tensors_that_the_format_cannot_hold_are_refused(here):
    for array in (np.ones((2, 2), bool), np.ones((1,) * 5, "f"), np.ones(2, np.complex64)):
        jc.save("small.npz", {"w": array})
        said = refused("unpack", "small.npz", "-o", "o.gguf")
        assert "o.gguf: w: GGUF cannot hold it" in said
    assert os.listdir() == ["small.npz"]


def test_names_that_ggml_refuses_are_a_note(here):
    jc.save("small.npz", {"w" * 64: WEIGHT, "w" * 63: WEIGHT})
    assert "1 names have more than 63 bytes" in run("unpack", "small.npz", "-o", "o.gguf").err
    assert len(reference("o.gguf")[0]) == 2


def test_a_compressed_model_of_blocks_is_close(here):
    raw = gguf.quants.quantize(WEIGHT, Type.Q8_0)
    write({"norm": NORM}, w=(raw, Type.Q8_0))
    run("pack", "m.gguf", "--bits", 8)
    found = np.asarray(jc.load("m.npz")["w"])
    assert 0 < np.abs(found - WEIGHT).max() < 0.05
    assert "whole, 2 tensors" in run("verify", "m.npz", "--against", "m.gguf").out


def test_repeated_tensors_are_stored_once(here, monkeypatch):
    quantized = gguf.quants.quantize(WEIGHT, Type.Q8_0)
    write(
        {"output.weight": WEIGHT, "token_embd.weight": WEIGHT},
        a=(quantized, Type.Q8_0), b=(quantized, Type.Q8_0),
    )  # fmt: skip
    run("pack", "m.gguf", "--lossless")
    named = [entry.get("tensor") for entry in jc.inspect("m.npz")["tensors"]]
    assert named == [None, 0, None, 2]
    source = GgufSource(Path("m.gguf"))
    assert source.sample(0) == source.sample(1) == quantized.tobytes()
    monkeypatch.setattr("jaxcompress.cli.formats.extent.SAMPLE_BYTES", 9)
    assert source.sample(2) == WEIGHT.tobytes()[:9]
