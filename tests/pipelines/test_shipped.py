"""`shipped.npz` of a run: the compressed network and its program, which needs no network's code."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import jaxcompress as jc
from jaxcompress.programs.pictures import read_pictures
from jaxcompress.scopes import named_leaves
from pipelines.data.dataset import DataError
from pipelines.data.pictures import read_picture
from pipelines.run.predict import Predictor
from pipelines.run.program import main
from pipelines.run.shipped import SHIPPED
from tests.helpers.commands import results_of, tiny

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


@pytest.mark.slow
def test_it_gives_the_logits_of_the_compressed_file(finished):
    net = jc.open_function(finished / SHIPPED)
    predictor = Predictor(finished / "compressed.npz")
    wanted = predictor.classifier.apply(
        jc.load(finished / "compressed.npz")["params"], {}, np.float32(PICTURES)
    )
    np.testing.assert_allclose(net(np.float32(PICTURES)), wanted, rtol=1e-5, atol=1e-5)
    assert net.classes == list(predictor.classifier.classes)
    assert net.preprocessing == {"size": [32, 32], "fit": "pad", "colour": "rgb"}


def test_its_leaves_and_metadata_are_those_of_the_compressed_file(finished):
    both = [finished / SHIPPED, finished / "compressed.npz"]
    mine, plain = (named_leaves(jc.load(path)) for path in both)
    assert mine.paths == plain.paths
    for one, other in zip(mine.leaves, plain.leaves, strict=True):
        np.testing.assert_array_equal(one, other)
    mine, plain = (jc.inspect(path)["metadata"] for path in both)
    assert mine == plain


def test_its_bytes_are_said(finished):
    result = results_of(finished)
    assert result["shipped_bytes"] == (finished / SHIPPED).stat().st_size
    assert 1000 < result["shipped_bytes"] - result["compressed_bytes"] < 6000
    said = (finished / "log.txt").read_text()
    assert f"{result['shipped_bytes'] - result['compressed_bytes']:,} bytes more" in said


def test_it_says_how_it_was_made(finished):
    """No times and no folders: the same run gives the same bytes."""
    told = jc.open_function(finished / SHIPPED).made
    assert told == jc.inspect(finished / SHIPPED)["program"]["made"]
    assert "--model lenet-300-100 " in told["command"] and told["command"].endswith("entropy")
    assert (told["seed"], told["data"], told["checks"]) == (3, "digits", [])
    rows = [(row["name"], row["accuracy"], row["bytes"]) for row in told["stages"]]
    wanted = results_of(finished)["stages"]
    assert rows == [(w["name"], round(w["accuracy"], 6), w["size_bytes"]) for w in wanted]
    assert str(finished.parent) not in str(told)


@pytest.mark.slow
def test_a_run_can_leave_it_out(tmp_path):
    out = tmp_path / "run"
    assert tiny(out, "--no-program") == 0
    assert not (out / SHIPPED).exists() and (out / "compressed.npz").exists()
    assert results_of(out)["shipped_bytes"] is None


@pytest.mark.slow
def test_the_command_names_what_run_py_names_without_its_code(finished, tmp_path, capsys):
    picture = tmp_path / "digit.png"
    Image.fromarray(PICTURES[0]).save(picture)
    weights = str(finished / "compressed.npz")
    words = ["--model", "lenet-300-100", "--predict", str(picture), "--weights", weights]
    assert main([*words, "--top", "1"]) == 0
    best = capsys.readouterr().out.removeprefix(f"{picture}: ").rpartition(" ")[0]
    blocked = "import sys; sys.modules.update(dict.fromkeys(['nets', 'pipelines', 'flax']))"
    code = f"{blocked}; from jaxcompress.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", code, "run", str(finished / SHIPPED), str(picture)],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=True,
    )
    assert ran.stdout.startswith(f"0: {best} ")


def pictures_of_all_kinds():
    random = np.random.default_rng(1)
    colour = random.integers(0, 256, (96, 64, 3)).astype(np.uint8)
    alpha = random.integers(0, 256, (20, 20, 1)).astype(np.uint8)
    yield "wide", Image.fromarray(colour.transpose(1, 0, 2))
    yield "high", Image.fromarray(colour)
    yield "small", Image.fromarray(colour[:10, :7])
    yield "transparent", Image.fromarray(np.concatenate([colour[:20, :20], alpha], axis=2), "RGBA")
    yield "grey of 16 bits", Image.fromarray(random.integers(0, 1 << 16, (32, 32)).astype("u2"))


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
def test_pictures_become_what_run_py_makes_of_them(tmp_path):
    for name, picture in pictures_of_all_kinds():
        path = tmp_path / f"{name}.png"
        picture.save(path)
        found = read_pictures([path], {"size": [32, 32], "fit": "pad", "colour": "rgb"})
        np.testing.assert_array_equal(found[0], read_picture(path, 32), err_msg=name)


def test_pictures_of_rare_kinds_are_read_and_refused_as_run_py_does(tmp_path):
    steps = {"size": [8, 8], "fit": "pad"}
    deep = Image.fromarray(np.arange(64, dtype="u2").reshape(8, 8) * 1000)
    deep.save(tmp_path / "deep.png", transparency=5000)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12"
    Image.new("RGB", (8, 4), "red").save(tmp_path / "damaged exif.png", exif=exif)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(PICTURES[0][:8, :5]).save(tmp_path / "turned.png", exif=turned)
    for path in sorted(tmp_path.glob("*.png")):
        wanted = read_picture(path, 8)
        np.testing.assert_array_equal(read_pictures([path], steps)[0], wanted, err_msg=path.name)
    for name, value in (("floats", np.float32(0.5)), ("greys", np.int32(70_000))):
        path = tmp_path / f"{name}.tif"
        Image.fromarray(np.full((2, 2), value)).save(path)
        with pytest.raises(DataError, match=name[:5]):
            read_picture(path, 8)
        with pytest.raises(ValueError, match=f"{name}.tif: must be a picture, got .*{name[:5]}"):
            read_pictures([path], steps)


@pytest.mark.slow
def test_a_program_that_cannot_be_written_leaves_all_else(tmp_path, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise ValueError("apply: must be another function.\nmore")

    monkeypatch.setattr(jc, "ship", refuse)
    out = tmp_path / "run"
    assert tiny(out) == 0
    assert results_of(out)["shipped_bytes"] is None and not (out / SHIPPED).exists()
    assert (
        "shipped.npz: is not written (apply: must be another function.)" in capsys.readouterr().out
    )


def test_a_network_of_features_names_its_branches(fruits):
    net = jc.open_function(fruits.out / SHIPPED)
    assert [told.name for told in net.inputs] == ["inputs/colour", "inputs/shape"]
    assert net.preprocessing is None and len(net.classes) == 3
