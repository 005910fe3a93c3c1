"""Files of Keras: what is in them, and nothing that they point to."""

import os
import pickle
import warnings
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.cli import refusals, sources
from tests.helpers.damage import damage, read_or_refused
from tests.helpers.program import refused, run

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(0)
KERNEL = "layers/dense/vars/0"
TREE = {
    KERNEL: RNG.normal(size=(6, 4)).astype("f"),
    "layers/dense/vars/1": RNG.normal(size=4).astype("f"),
    "optimizer/vars/0": np.int32(7),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(path="m.weights.h5", tree=TREE, **options):
    with h5py.File(path, "w") as file:
        for name, value in tree.items():
            file.create_dataset(name, data=value, **(options if np.ndim(value) == 2 else {}))
        file.create_group("vars")


def arrays(path):
    source = sources.open_source(Path(path))
    found = {name: source.load(index) for index, name in enumerate(source.paths)}
    for index, (leaf, array) in enumerate(zip(source.leaves, found.values(), strict=True)):
        assert (leaf.shape, leaf.dtype) == (array.shape, array.dtype)
        assert source.channel_axis(index) == -1
    return found


@pytest.mark.parametrize("options", [{}, {"chunks": (4, 3)}, {"compression": "gzip"}], ids=str)
def test_weights_are_packed_and_come_back(here, options):
    make(**options)
    run("pack", "m.weights.h5", "-o", "m.npz", "--lossless")
    run("unpack", "m.npz", "-o", "back.npz")
    back = np.load("back.npz")
    assert set(back) == set(TREE)
    assert all(back[name].tobytes() == np.asarray(TREE[name]).tobytes() for name in TREE)
    run("verify", "m.npz", "--against", "m.weights.h5")
    os.rename("m.weights.h5", "model.hdf5")
    assert set(arrays("model.hdf5")) == set(TREE)


def test_every_dtype(here):
    values = {
        "big": np.arange(3, dtype=">f4"),
        "bool": np.array([[True, False]]),
        "complex": np.array([1 + 2j], "c8"),
        "empty": np.zeros((0, 3), "f"),
        "scalar": np.float64(-0.0),
        **{name: np.arange(4).astype(name) for name in ("f2", "f8", "u1", "i1", "i8", "u8")},
    }
    make("m.h5", values)
    with h5py.File("m.h5", "a") as file:
        file["half"] = np.arange(3).astype(ml_dtypes.bfloat16)
        file["half"].attrs["dtype"] = "bfloat16"
    found = arrays("m.h5")
    assert found.pop("half").tolist() == [0, 1, 2]
    for name, array in found.items():
        native = values[name].astype(values[name].dtype.newbyteorder("="))
        assert array.dtype == native.dtype and array.tobytes() == native.tobytes()


@pytest.mark.filterwarnings("ignore")
def test_what_keras_itself_writes(here, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    net.save_weights("m.weights.h5")
    net.save("m.keras")
    same = arrays("m.keras")
    weights = [np.asarray(value) for value in net.get_weights()]
    found = list(arrays("m.weights.h5").values())
    assert [a.tobytes() for a in found] == [w.tobytes() for w in weights]
    assert [a.tobytes() for a in same.values()] == [w.tobytes() for w in weights]


def archive(path="m.keras", compression=zipfile.ZIP_STORED, members=("model.weights.h5",)):
    make()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("config.json", "{}")
        for name in members:
            file.write("m.weights.h5", name)


def test_weights_in_an_archive(here):
    archive()
    assert {name: a.tobytes() for name, a in arrays("m.keras").items()} == {
        name: np.asarray(value).tobytes() for name, value in TREE.items()
    }
    sent = pickle.dumps(sources.open_source(Path("m.keras")))
    assert pickle.loads(sent).load(0).tobytes() == TREE[KERNEL].tobytes()
    data = Path("m.keras").read_bytes()
    archive(compression=zipfile.ZIP_DEFLATED)
    assert "got a compressed one; unzip" in refused("pack", "m.keras")
    archive(members=("other.h5",))
    assert "m.keras: must hold model.weights.h5 as Keras writes it, got none" in refused(
        "pack", "m.keras"
    )
    archive(members=("model.weights.h5",) * 2)
    assert "names of members must be unique" in refused("pack", "m.keras", status=3)
    for part in (b"", data[:100], data[:-30], data.replace(b"\x89HDF", b"HDF5")):
        Path("m.keras").write_bytes(part)
        assert "m.keras: not " in refused("pack", "m.keras", status=3)


def test_texts_are_left_out_by_name(here):
    make(tree=TREE | {"layers/lookup/vocabulary": "a b c", "names": np.array([b"x", b"y"])})
    said = run("pack", "m.weights.h5", "-o", "m.npz").err
    assert "left out, since they are texts: names, layers/lookup/vocabulary" in said
    assert {entry["path"] for entry in jc.inspect("m.npz")["tensors"]} == set(TREE)


def external(file):
    make("other.h5")
    file["away"] = h5py.ExternalLink("other.h5", KERNEL)


def external_group(file):
    file["away"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(file):
    file["away"] = h5py.SoftLink(f"/{KERNEL}")


def virtual(file):
    make("other.h5")
    layout = h5py.VirtualLayout((6, 4), "f")
    layout[:] = h5py.VirtualSource("other.h5", KERNEL, (6, 4))
    file.create_virtual_dataset("away", layout)


def stored_elsewhere(file):
    Path("numbers").write_bytes(bytes(96))
    file.create_dataset("away", (6, 4), "f", external=[("numbers", 0, 96)])


def references(file):
    file["away"] = file[KERNEL].ref


def compound(file):
    file["away"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def ragged(file):
    file.create_dataset("away", (2,), h5py.vlen_dtype("f4"))


def rows(file):
    file.create_dataset("away", (2,), np.dtype(("f4", (2,))))


def raw(file):
    file["away"] = np.zeros(3, "V2")


def nothing(file):
    file["away"] = h5py.Empty("f4")


@pytest.mark.parametrize(
    "point",
    [
        *(external, external_group, soft, virtual, stored_elsewhere, references),
        *(compound, ragged, rows, raw, nothing),
    ],
    ids=lambda point: point.__name__,
)
def test_what_is_not_in_the_file_or_no_number(here, point):
    make()
    with h5py.File("m.weights.h5", "a") as file:
        point(file)
    said = refused("pack", "m.weights.h5", "-o", "m.npz")
    assert "m.weights.h5: away: " in said and " must " in said and not Path("m.npz").exists()


def test_filters_of_plugins(here, monkeypatch):
    make(compression="gzip")
    monkeypatch.setattr("jaxcompress.cli.formats.hdf5_datasets._OWN_FILTERS", frozenset({2}))
    said = refused("pack", "m.weights.h5", "-o", "m.npz")
    assert f"{KERNEL}: filters must be those of HDF5, got number 1; repack" in said


def test_numbers_that_were_never_written(here):
    for options, message in (({}, "96 bytes"), ({"chunks": (2, 4)}, "3 chunks, found 1")):
        with h5py.File("m.h5", "w") as file:
            away = file.create_dataset("away", (6, 4), "f", **options)
            if options:
                away[:2] = 1
        said = refused("pack", "m.h5", "-o", "m.npz", status=3)
        assert "m.h5: away: numbers were never written: expected " in said and message in said


def test_groups_that_hold_themselves(here):
    make()
    with h5py.File("m.weights.h5", "a") as file:
        file["layers/again"] = file["/"]
    said = refused("pack", "m.weights.h5", "-o", "m.npz", status=3)
    assert "layers/again: a group must be in one other" in said
    with h5py.File("deep.h5", "w") as file:
        file["/".join("a" * 100)] = np.ones(2)
    assert "not too deep" in refused("pack", "deep.h5", "-o", "m.npz", status=3)


def test_tied_datasets_are_both_there(here):
    make()
    with h5py.File("m.weights.h5", "a") as file:
        file["head"] = file[KERNEL]
    found = arrays("m.weights.h5")
    assert found["head"].tobytes() == found[KERNEL].tobytes()


def test_datasets_larger_than_memory(here, monkeypatch):
    with h5py.File("m.h5", "w") as file:
        file.create_dataset("away", data=np.zeros((300, 9), "f"), compression="gzip")
    monkeypatch.setattr(refusals, "free_bytes", lambda: 4000)
    assert "m.h5: away: must fit in memory, got 10,800 bytes" in refused("pack", "m.h5")


def test_files_of_others_and_pieces(here):
    make()
    data = Path("m.weights.h5").read_bytes()
    for part in (b"", b"hello" * 99, data[:8], data[:100], data[:-1], b"x" + data):
        Path("x.h5").write_bytes(part)
        said = refused("pack", "x.h5", status=3)
        assert "x.h5: not a whole HDF5 file: found " in said


def test_a_file_that_changes_is_named(here):
    make()
    source = sources.open_source(Path("m.weights.h5"))
    os.utime("m.weights.h5", ns=(0, 0))
    with pytest.raises(jc.ArtifactError, match=r"m.weights.h5: layers.*: the file changed while"):
        source.load(0)


def test_a_source_goes_to_other_processes_without_its_numbers(here):
    make(tree={"w": np.zeros((300, 300), "f")})
    sent = pickle.dumps(sources.open_source(Path("m.weights.h5")))
    assert len(sent) < 1000 and pickle.loads(sent).load(0).shape == (300, 300)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "hdf5"
    folder.mkdir(exist_ok=True)
    path = folder / "m.h5"
    make(path, **data.draw(st.sampled_from([{}, {"compression": "gzip"}])))
    damage(path, data)
    read_or_refused(path, arrays)
