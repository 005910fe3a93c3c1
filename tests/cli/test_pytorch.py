"""Files of PyTorch: read by its reader of weights only, and nothing believed that they say."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import ml_dtypes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import jaxcompress as jc
from jaxcompress.cli import refusals, sources
from tests.helpers.damage import damage, read_or_refused
from tests.helpers.program import refused, run

torch = pytest.importorskip("torch")
INDEX = "pytorch_model.bin.index.json"
ONE, TWO = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrays(path):
    source = sources.open_source(Path(path))
    assert [source.channel_axis(index) for index in range(len(source.paths))] == [0] * len(
        source.paths
    )
    found = {path: source.load(index) for index, path in enumerate(source.paths)}
    for leaf, array in zip(source.leaves, found.values(), strict=True):
        assert (leaf.shape, leaf.dtype) == (array.shape, array.dtype) and array.flags.c_contiguous
    return found


TREE = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.tensor([-0.0, 1.5, 2.0])}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", ["pt", "pth", "bin"])
def test_a_state_dict_is_packed_and_comes_back(here, suffix, zipped):
    torch.save(TREE, f"m.{suffix}", _use_new_zipfile_serialization=zipped)
    run("pack", f"m.{suffix}", "--lossless")
    run("unpack", "m.npz", "-o", "m.safetensors")
    back = load_file("m.safetensors")
    assert {name: array.tobytes() for name, array in back.items()} == {
        name: tensor.numpy().tobytes() for name, tensor in TREE.items()
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["m.pth.tar", "m.pt.tar", "last.ckpt", "m.model", "blob"])
def test_a_file_of_pytorch_is_known_by_its_content_where_its_suffix_says_nothing(
    here, name, zipped
):
    torch.save(TREE, name, _use_new_zipfile_serialization=zipped)
    assert set(arrays(name)) == set(TREE)
    said = run("pack", name, "--lossless", "-o", "out.npz")
    assert "left out" not in said.err and jc.load("out.npz")["a.bias"].tolist() == [0, 1.5, 2]
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) // 2])
    assert f"{name}: " in refused("pack", name, "-o", "cut.npz", status=3)


def test_other_suffixes_keep_their_meaning(here):
    torch.save(TREE, "m.safetensors")
    assert "not a whole safetensors file" in refused("pack", "m.safetensors", status=3)


@pytest.mark.parametrize("zipped", [True, False])
def test_every_dtype_and_any_strides(here, zipped):
    base = torch.arange(24.0).reshape(2, 3, 4)
    values = {
        "transposed": base.permute(2, 0, 1),
        "part": base[:, 1:, ::2],
        "repeated": torch.tensor([[1.0], [2.0]]).expand(2, 3),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[0]),
        "complex": torch.complex(base, -base),
        "conjugate": torch.complex(base, -base).conj().mT,
        "negative": torch.complex(base, base).conj().imag,
    }
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float64"):
        values[name] = base.mT.to(getattr(torch, name))
    torch.save(values, "m.pt", _use_new_zipfile_serialization=zipped)
    for name, array in arrays("m.pt").items():
        wanted = values[name].detach().resolve_conj().resolve_neg().numpy()
        assert array.dtype == wanted.dtype and array.tobytes() == wanted.tobytes(), name
    for name in ("bfloat16", *(("float8_e4m3fn", "float8_e5m2") if zipped else ())):
        small = base.mT.to(getattr(torch, name))
        torch.save({"w": small}, "s.pt", _use_new_zipfile_serialization=zipped)
        found = arrays("s.pt")["w"]
        assert found.dtype == getattr(ml_dtypes, name)
        assert found.astype("f").tolist() == small.float().tolist()


def test_containers_become_paths_and_what_is_no_tensor_is_named(here):
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tree = {
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "list": [torch.ones(2), (torch.zeros(1),)],
        "epoch": 5,
        "arch": "linear",
    }
    torch.save(tree, "m.pt")
    said = run("pack", "m.pt", "--lossless").err
    assert "m.pt: left out, since they are no tensors: optimizer/param_groups/0/lr, " in said
    names = {entry["path"] for entry in jc.inspect("m.npz")["tensors"]}
    state = {f"optimizer/state/{n}/{k}" for n in "01" for k in ("step", "exp_avg", "exp_avg_sq")}
    assert names == {"model/weight", "model/bias", "list/0", "list/1/0"} | state
    assert "the state of an optimizer" in run("pack", "m.pt", "-o", "small.npz").err


def test_storages_that_are_shared_and_torn(here):
    base = torch.arange(10.0)
    torch.save({"all": base, "tied": base, "end": base[6:], "every": base[1::4]}, "m.pt")
    found = arrays("m.pt")
    assert found["tied"].tolist() == list(range(10)) and found["end"].tolist() == [6, 7, 8, 9]
    assert found["every"].tolist() == [1, 5, 9]


class Call:
    def __reduce__(self):
        return os.mkdir, ("called",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_calls_is_refused_and_never_called(here, zipped):
    torch.save({"w": torch.ones(2), "x": Call()}, "m.pt", _use_new_zipfile_serialization=zipped)
    said = refused("pack", "m.pt")
    assert "m.pt: must hold tensors and plain values, got " in said and ".mkdir, which" in said
    assert "never run; save the state dict with safetensors" in said
    assert not Path("called").exists() and not Path("m.npz").exists()
    Path("p.pt").write_bytes(pickle.dumps(Call(), protocol=2))
    refused("pack", "p.pt")
    assert not Path("called").exists()


@pytest.mark.filterwarnings("ignore")
def test_networks_and_programs_are_refused(here):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), "s.pt")
    assert "got a program of TorchScript, which is never run" in refused("pack", "s.pt")
    torch.save(torch.nn.Linear(2, 2), "m.pt")
    assert "got torch.nn.modules.linear.Linear, which is never run" in refused("pack", "m.pt")


OTHERS = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed": lambda: torch.eye(3).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "without numbers": lambda: torch.ones(3, device="meta"),
    "of another dtype": lambda: torch.ones(3, dtype=torch.float8_e8m0fnu),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", OTHERS)
def test_tensors_that_are_no_arrays(here, kind, zipped):
    torch.save({"w": OTHERS[kind]()}, "m.pt", _use_new_zipfile_serialization=zipped)
    old = kind == "of another dtype" and not zipped  # which old files cannot have
    said = refused("pack", "m.pt", status=3 if old else 2)
    assert "m.pt: " in said and ("must " in said or old)


REMEDIES = {
    "sparse": "a tensor of layout torch.sparse_coo; save tensor.to_dense() instead",
    "compressed": "a tensor of layout torch.sparse_csr; save tensor.to_dense() instead",
    "quantized": "a quantized tensor of torch.qint8; save tensor.dequantize() instead",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", REMEDIES)
def test_a_tensor_that_is_not_dense_is_named_with_its_layout(here, kind, zipped, monkeypatch):
    tree = {"a": torch.ones(2), "layer": {"w": OTHERS[kind]()}}
    torch.save(tree, "m.pt", _use_new_zipfile_serialization=zipped)
    said = refused("pack", "m.pt")
    assert f"m.pt: layer/w: must be dense, got {REMEDIES[kind]}" in said
    monkeypatch.setattr(refusals, "free_bytes", lambda: 500)
    lean = zipped and kind == "sparse"  # PyTorch reads only these without their numbers
    assert ("must be dense" if lean else "m.pt: must fit in memory") in refused("pack", "m.pt")


@pytest.mark.filterwarnings("ignore")
def test_a_nested_tensor_is_named(here):
    ragged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    torch.save({"w": ragged}, "m.pt")
    assert "m.pt: w: must be dense, got a nested tensor; save the tensors of" in refused(
        "pack", "m.pt"
    )


def test_nothing_to_pack(here):
    torch.save({"epoch": 5}, "m.pt")
    assert "m.pt: must hold tensors, got none" in refused("pack", "m.pt")
    torch.save({"a": {"b": torch.ones(2)}, "a/b": torch.ones(2)}, "m.pt")
    assert "a/b: a name must mean one tensor" in refused("pack", "m.pt")


def edited(change, *, source="m.pt", output="x.pt", compression=zipfile.ZIP_STORED):
    """Write a file of which the members are changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(output, "w", compression) as new:
        for info in old.infolist():
            data = change(info.filename.partition("/")[2], old.read(info))
            if data is not None:
                new.writestr(info.filename, data)


def pickled(*changes):
    def change(name, data):
        for old, new in changes if name == "data.pkl" else ():
            assert old in data
            data = data.replace(old, new)
        return data

    return change


STORAGE, SHAPE, STRIDE = b"cpuq\x06K\x0a", b"K\x00K\x0a\x85", b"K\x01\x85"
LIES = {
    "a longer storage": pickled((STORAGE, b"cpuq\x06K\x64"), (SHAPE, b"K\x00K\x64\x85")),
    "a giant storage": pickled(
        (STORAGE, b"cpuq\x06\x8a\x05\0\0\0\0\x10"), (SHAPE, b"K\0\x8a\x05\0\0\0\0\x10\x85")
    ),
    "a longer shape": pickled((SHAPE, b"K\x00K\x0b\x85")),
    "an offset": pickled((SHAPE, b"K\x01K\x0a\x85")),
    "a negative offset": pickled((SHAPE, b"J\xff\xff\xff\xffK\x0a\x85")),
    "a wide stride": pickled((STRIDE, b"J\xff\xff\xff\x7f\x85")),
    "another storage": pickled((b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x007")),
    "no storage": lambda name, data: None if name == "data/0" else data,
    "a short storage": lambda name, data: data[:-1] if name == "data/0" else data,
    "no pickle": lambda name, data: None if name == "data.pkl" else data,
    "half a pickle": lambda name, data: data[:90] if name == "data.pkl" else data,
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_files_that_lie(here, lie):
    torch.save({"w": torch.arange(10.0)}, "m.pt")
    edited(LIES[lie])
    said = refused("pack", "x.pt", "--lossless", status=3)
    assert "x.pt: " in said and not Path("x.npz").exists()


def test_zips_that_torch_does_not_write(here):
    torch.save({"w": torch.arange(10.0)}, "m.pt")
    edited(lambda name, data: data, compression=zipfile.ZIP_DEFLATED)
    assert "encrypted or compressed" in refused("pack", "x.pt", status=3)
    edited(lambda name, data: data)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile("x.pt", "a") as archive:
        archive.writestr("m/data/0", b"\0" * 40)
    assert "names of members must be unique" in refused("pack", "x.pt", status=3)
    edited(lambda name, data: data + b" " * (1 << 24) if name == "data.pkl" else data)
    assert "too long: expected <= 16777216 bytes, found data.pkl" in refused(
        "pack", "x.pt", status=3
    )
    for content in (b"", b"PK\3\4", b"hello" * 9, b"\x80\2", b"\x80\2}q\0."):
        Path("x.pt").write_bytes(content)
        assert "x.pt: " in refused("pack", "x.pt", status=3)


@pytest.mark.parametrize("order", ["big", "middle", "x" * 200])
def test_numbers_of_other_machines(here, order):
    torch.save({"w": torch.arange(10.0)}, "m.pt")
    edited(lambda name, data: order.encode() if name == "byteorder" else data)
    said = refused("pack", "x.pt")
    assert "x.pt: bytes must be in the order of this machine (little), got " + order[:6] in said


def test_few_bytes_that_describe_more_than_there_is(here, monkeypatch):
    torch.save({"w": torch.ones(1).expand(10**13)}, "m.pt")
    assert "m.pt: w: must fit in memory" in refused("pack", "m.pt")
    tree = [torch.ones(1)]
    for _ in range(40):
        tree = [tree, tree]
    torch.save(tree, "m.pt")
    assert "too many values, or nested too deep" in refused("pack", "m.pt", status=3)
    circle = {}
    circle["again"] = circle
    torch.save(circle, "m.pt")
    assert "too many values, or nested too deep" in refused("pack", "m.pt", status=3)
    torch.save(TREE, "m.pt", _use_new_zipfile_serialization=False)
    monkeypatch.setattr(refusals, "free_bytes", lambda: 500)
    assert "m.pt: must fit in memory" in refused("pack", "m.pt")


def test_a_file_that_changes_is_named(here):
    torch.save(TREE, "m.pt")
    source = sources.open_source(Path("m.pt"))
    os.utime("m.pt", ns=(0, 0))
    with pytest.raises(jc.ArtifactError, match=r"m.pt: a.bias: the file changed while it was read"):
        source.load(0)


def test_a_source_goes_to_other_processes_without_its_numbers(here):
    torch.save({"w": torch.zeros(10**5)}, "m.pt")
    sent = pickle.dumps(sources.open_source(Path("m.pt")))
    assert len(sent) < 10**4 and pickle.loads(sent).load(0).shape == (10**5,)


def make_shards(placed=None):
    Path("m").mkdir()
    torch.save({"a": torch.ones(2, 3)}, f"m/{ONE}")
    torch.save({"b": torch.zeros(4)}, f"m/{TWO}")
    Path("m", INDEX).write_text(json.dumps({"weight_map": placed or {"a": ONE, "b": TWO}}))


def test_folders_of_the_hub(here):
    make_shards()
    torch.save({"x": torch.ones(1)}, "m/training_args.bin")
    for name in ("m", f"m/{INDEX}"):
        said = run("pack", name, "--lossless", "-o", "m.npz")
        assert not said.err and jc.load("m.npz")["b"].tolist() == [0] * 4
    Path("one").mkdir()
    torch.save(TREE, "one/pytorch_model.bin")
    torch.save(TREE, "one/optimizer.bin")
    assert set(arrays("one")) == set(TREE)
    os.rename("one/pytorch_model.bin", "one/network.bin")
    assert "one file, got network.bin, optimizer.bin; name" in refused("pack", "one")


def test_an_index_that_lies(here):
    make_shards({"a": TWO, "b": TWO})
    assert f"m/{INDEX}: a: " in refused("pack", "m", status=3)
    Path("m", INDEX).write_text(json.dumps({"weight_map": {"a": "../x.bin", "b": TWO}}))
    assert "must be the name of a .bin beside the index" in refused("pack", "m", status=3)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "torch"
    folder.mkdir(exist_ok=True)
    path = folder / "m.pt"
    torch.save(TREE, path, _use_new_zipfile_serialization=data.draw(st.booleans()))
    damage(path, data)
    read_or_refused(path, arrays)
