"""`jaxcompress run`: arrays and pictures in, arrays and classes out."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import jaxcompress as jc
from jaxcompress.cli import cli

STEPS = {"size": (2, 2), "scale": 1 / 255}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tree = {"w": np.float32([[1, 0], [0, 2], [0, 0]])}

    def mean_colour(tree, x):
        return x.mean((1, 2)) @ tree["w"]

    x = np.zeros((1, 2, 2, 3), "f")
    jc.ship(folder / "net.npz", mean_colour, tree, x, classes=["red", "green"], preprocessing=STEPS)
    jc.ship(folder / "plain.npz", lambda tree, a, b: (a @ tree["w"], b), tree, x[0, 0], x[0, 0])
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0))):
        Image.new("RGB", (5, 4), colour).save(folder / f"{name}.png")
    return folder


def run(here, *arguments):
    result = CliRunner().invoke(cli, ["run", *(str(here / each) for each in arguments)])
    return result


def test_pictures_have_classes(here):
    result = run(here, "net.npz", "red.png", "green.png")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "0: red 1, green 0",
        "1: green 2, red 0",
        "output: float32[2, 2]",
    ]


def test_arrays_go_in_and_out_by_name(here):
    a, b = np.float32([[1, 2, 3]]), np.float32([[4, 5, 6]])
    np.savez(here / "in.npz", b=b, a=a)
    result = CliRunner().invoke(
        cli, ["run", *map(str, (here / "plain.npz", here / "in.npz", "-o", here / "out.npz"))]
    )
    assert result.exit_code == 0, result.output
    with np.load(here / "out.npz") as found:
        np.testing.assert_array_equal(found["0"], [[1, 4]])
        np.testing.assert_array_equal(found["1"], b)
    np.save(here / "one.npy", np.full((1, 2, 2, 3), 0.5, "f"))
    assert "0: green 1, red 0.5" in run(here, "net.npz", "one.npy").output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("plain.npz", "red.png"), 2, "as the file does not say how to prepare pictures"),
        (("plain.npz", "one.npy"), 2, "must hold a, b, got one array"),
        (("net.npz", "in.npz"), 2, "must hold x, got b, a; rename them"),
        (("net.npz", "one.npy", "one.npy"), 2, "arrays must be in one file"),
        (("net.npz", "wrong.npy"), 2, r"x: must be of shape [batch, 2, 2, 3], got [2, 2]"),
        (("net.npz", "damaged.png"), 2, "must be a picture"),
        (("net.npz", "damaged.npy"), 2, "must be arrays"),
        (("data.npz", "one.npy"), 3, "holds data alone, and no program"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(here, arguments, status, message):
    np.save(here / "one.npy", np.zeros((1, 2, 2, 3), "f"))
    np.save(here / "wrong.npy", np.zeros((2, 2), "f"))
    np.savez(here / "in.npz", b=np.zeros(1), a=np.zeros(1))
    (here / "damaged.png").write_bytes(b"\x89PNG")
    (here / "damaged.npy").write_bytes(b"\x93NUMPY")
    jc.save(here / "data.npz", {"w": np.ones(3, "f")})
    result = run(here, *arguments)
    assert result.exit_code == status and message in result.output, result.output
    assert result.output.count("\n") == 1


def test_verify_checks_the_program_too(here):
    data = (here / "net.npz").read_bytes()
    at = data.index(b"program.npy") + 400
    (here / "bad.npz").write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    for name, status in (("net.npz", 0), ("bad.npz", 3)):
        result = CliRunner().invoke(cli, ["verify", str(here / name)])
        assert result.exit_code == status, result.output
