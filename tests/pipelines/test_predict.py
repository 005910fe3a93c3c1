"""`run.py --predict`: what is in pictures, by a compressed file alone; every way to be refused."""

import argparse
import re

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

import jaxcompress as jc
import run
from pipelines.data.pictures import read_picture
from pipelines.models.classifier import Classifier
from pipelines.options import command
from pipelines.run.predict import Predictor


@pytest.fixture
def say(capsys):
    """Runs the command line: status, lines on stdout, lines on stderr."""

    def main(*words):
        capsys.readouterr()
        status = run.main(["--model", "fruits", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err.splitlines()

    return main


def guesses(line, path):
    """The names and percentages of a line of output."""
    assert line.startswith(f"{path}: ")
    found = re.findall(r"(.+?) (\d+\.\d)%(?:, |$)", line.removeprefix(f"{path}: "))
    return [(name, float(share)) for name, share in found]


# What is said


def test_a_line_for_each_picture_the_most_probable_first(fruits, say):
    labels, paths = zip(*fruits.test_pictures(), strict=True)
    status, out, err = say("--predict", *paths, "--weights", fruits.weights)
    assert (status, err, len(out)) == (0, [], 9)
    for label, path, line in zip(labels, paths, out, strict=True):
        found = guesses(line, path)
        assert found[0][0] == label
        assert sorted(name for name, _ in found) == ["bananas, ripe", "plum", "Äpfel"]
        shares = [share for _, share in found]
        assert shares == sorted(shares, reverse=True) and 99.8 < sum(shares) < 100.2


def test_top_says_how_many(fruits, say):
    label, path = fruits.test_pictures()[0]
    for top, count in ((1, 1), (2, 2), (99, 3)):
        _, out, _ = say("--predict", path, "--weights", fruits.weights, "--top", top)
        assert len(guesses(out[0], path)) == count and out[0].startswith(f"{path}: {label} ")


def by_hand(fruits, picture):
    """Probabilities, by NumPy, from what is in the file."""
    tree = jc.load(fruits.weights)
    classifier = Classifier.from_metadata(jc.inspect(fruits.weights)["metadata"])
    inputs, parts = classifier.inputs(picture[None]), []
    params, stats = tree["params"], tree["stats"]
    for name in ("shape", "colour"):
        norm, seen = params[name]["norm"], stats[name]["norm"]
        scaled = (inputs[name] - seen["mean"]) / np.sqrt(seen["var"] + 1e-5)
        parts.append(dense(scaled * norm["scale"] + norm["bias"], params[name]["dense"]))
    fused = np.concatenate([np.maximum(part, 0) for part in parts], axis=1)
    logits = dense(np.maximum(dense(fused, params["fuse"]), 0), params["classify"])[0]
    return dict(zip(classifier.classes, softmax(logits), strict=True))


def dense(x, layer):
    return x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])


@pytest.mark.slow
def test_probabilities_are_those_of_the_network(fruits):
    paths = [path for _, path in fruits.test_pictures()[::4]]
    for prediction in Predictor(fruits.weights).predict(paths, 3):
        expected = by_hand(fruits, read_picture(prediction.path, 100))
        for guess in prediction.guesses:
            assert guess.probability == pytest.approx(expected[guess.name], abs=1e-5)
        assert sum(guess.probability for guess in prediction.guesses) == pytest.approx(1)


def test_more_pictures_than_a_batch(fruits):
    (_, one), *_, (_, other) = fruits.test_pictures()
    paths = 40 * [one, other]
    found = list(Predictor(fruits.weights).predict(paths, 1))
    assert [prediction.path for prediction in found] == paths
    assert {p.guesses[0].name for p in found[::2]} == {"bananas, ripe"}
    assert {p.guesses[0].name for p in found[1::2]} == {"Äpfel"}


def test_bad_pictures_among_good_ones(fruits, say, tmp_path):
    (_, one), *_, (_, other) = fruits.test_pictures()
    (tmp_path / "text.png").write_text("hello")
    paths = [tmp_path / "none.png", one, tmp_path / "text.png", tmp_path, other]
    status, out, err = say("--predict", *paths, "--weights", fruits.weights)
    assert status == 1
    assert [line.split(":")[0] for line in out] == [str(one), str(other)]
    assert err == [
        f"run.py: {paths[0]}: does not exist; pass the path of a picture",
        f"run.py: {paths[2]}: is no JPEG, PNG, BMP, GIF, WebP or TIFF; replace it or take it away",
        f"run.py: {tmp_path}: is no file; pass the path of a picture",
    ]
    assert say("--predict", paths[0], "--weights", fruits.weights)[:2] == (1, [])


PICTURES = {
    "grey": Image.new("L", (30, 20), 90),
    "transparent": Image.new("RGBA", (20, 30), (200, 30, 30, 0)),
    "16 bits": Image.fromarray(np.full((9, 9), 40_000, np.uint16)),
    "palette": Image.new("P", (50, 50), 3),
    "1x1": Image.new("RGB", (1, 1), "red"),
    "3000x20": Image.new("RGB", (3000, 20), "green"),
    "white": Image.new("RGB", (100, 100), "white"),
}


def test_pictures_of_any_kind(fruits, say, tmp_path):
    paths = [tmp_path / f"{name}.png" for name in PICTURES]
    for path, picture in zip(paths, PICTURES.values(), strict=True):
        picture.save(path)
    status, out, err = say("--predict", *paths, "--weights", fruits.weights)
    assert (status, err) == (0, [])
    for path, line in zip(paths, out, strict=True):
        assert len(guesses(line, path)) == 3


# Files of the same network, changed


@pytest.fixture(scope="module")
def content(fruits):
    """The tree and the metadata of the file."""
    return jc.load(fruits.weights), jc.inspect(fruits.weights)["metadata"]


def test_a_stand_in_is_named(fruits, say, tmp_path, content):
    tree, metadata = content
    assert metadata["notice"] == "" and metadata["data"] == "folder"
    jc.save(tmp_path / "x.npz", tree, metadata=metadata | {"notice": "drawn, not Fruits-360"})
    _, path = fruits.test_pictures()[0]
    status, out, err = say("--predict", path, "--weights", tmp_path / "x.npz")
    assert (status, len(out), err) == (0, 1, ["learnt from: drawn, not Fruits-360"])


def test_nothing_in_a_file_steers_the_terminal(fruits, say, tmp_path, content):
    tree, metadata = content
    changes = {"notice": "a\nb\x1b[2J", "classes": ["a\x1b[2J", "b\nc", "d\r"]}
    jc.save(tmp_path / "x.npz", tree, metadata=metadata | changes)
    name = tmp_path / "pic\x1b[2Jture.png"
    name.write_bytes(fruits.test_pictures()[0][1].read_bytes())
    paths = [name, tmp_path / "no\x1b[2Jne.png"]
    status, out, err = say("--predict", *paths, "--weights", tmp_path / "x.npz")
    assert (status, len(out), len(err)) == (1, 1, 2)
    assert all(line.isprintable() for line in out + err)
    assert re.search(r"pic\\x1b\[2Jture.png: ", out[0]) and r"a\x1b[2J" in out[0]


def with_kernel(change):
    """Change the kernel of the last layer."""

    def apply(tree, metadata):
        classify = tree["params"]["classify"]
        params = tree["params"] | {"classify": classify | {"kernel": change(classify["kernel"])}}
        return tree | {"params": params}, metadata

    return apply


FILES = {
    "no metadata": lambda tree, metadata: (tree, None),
    "metadata of another program": lambda tree, metadata: (tree, {"model": "fruits", "epoch": 3}),
    "more classes": lambda tree, metadata: (tree, metadata | {"classes": list("abcd")}),
    "other branches": lambda tree, metadata: (tree, metadata | {"branches": ["shape"]}),
    "another model": lambda tree, metadata: (
        tree,
        metadata | {"model": "lenet-5", "image_size": 32, "branches": []},
    ),
    "no params": lambda tree, metadata: ({"stats": tree["stats"]}, metadata),
    "no stats": lambda tree, metadata: ({"params": tree["params"]}, metadata),
    "a list": lambda tree, metadata: ([tree["params"], tree["stats"]], metadata),
    "an array": lambda tree, metadata: (tree["params"]["classify"]["kernel"], metadata),
    "params a list": lambda tree, metadata: ({"params": [1.0 + np.zeros(3)]}, metadata),
    "a leaf in a dict": with_kernel(lambda kernel: {"value": kernel}),
    "a transposed leaf": with_kernel(lambda kernel: kernel.T),
    "a complex leaf": with_kernel(lambda kernel: kernel + 1j),
    "a leaf of integers": with_kernel(lambda kernel: kernel.astype(np.int8)),
    "paths as names": lambda tree, metadata: (
        {"stats": tree["stats"], "params": flat(tree["params"])},
        metadata,
    ),
}


def flat(params):
    """The last layer's leaves named by their paths."""
    rest = {name: branch for name, branch in params.items() if name != "classify"}
    return rest | {f"classify/{name}": leaf for name, leaf in params["classify"].items()}


@pytest.mark.slow
@pytest.mark.parametrize("change", FILES)
def test_a_file_of_another_network_is_refused(change, say, tmp_path, content, fruits):
    tree, metadata = FILES[change](*content)
    path = tmp_path / "x.npz"
    jc.save(path, tree, metadata=metadata)
    status, out, err = say("--predict", fruits.test_pictures()[0][1], "--weights", path)
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith(f"run.py: {path}: holds no network of run.py (")
    assert err[0].endswith("; pass a compressed.npz")


# Files that are none


def test_what_is_no_file_of_ours_is_refused(fruits, say, tmp_path):
    np.savez(tmp_path / "plain.npz", a=np.zeros(3))
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npz").write_text("hello")
    baseline = fruits.out / "baseline.npz"
    names = ("missing.npz", "plain.npz", "empty.npz", "text.npz", ".")
    for path in [*(tmp_path / name for name in names), baseline]:
        status, out, err = say("--predict", "a.png", "--weights", path)
        assert (status, out, len(err)) == (2, [], 1) and str(path) in err[0]


def test_a_damaged_file_is_refused(fruits, say, tmp_path):
    content, path = fruits.weights.read_bytes(), tmp_path / "x.npz"
    for place in range(100, len(content), len(content) // 12):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        status, out, err = say("--predict", "a.png", "--weights", path)
        assert (status, out, len(err)) == (2, [], 1), place
    path.write_bytes(content[:-1])
    assert say("--predict", "a.png", "--weights", path)[0] == 2


def test_the_model_must_be_that_of_the_file(fruits, say):
    status, out, err = say("--predict", "a.png", "--weights", fruits.weights, "--model", "cifar")
    assert (status, out) == (2, [])
    assert err == [
        f"run.py: --model: {fruits.weights} holds the network fruits, got cifar; pass --model"
        " fruits."
    ]


# The command line

NEEDED_TO_TRAIN = [
    "--trials 8",
    "--size 12KB",
    "--speedup 2",
    "--drop 1",
    "--data digits",
    "--data-dir .",
    "--recipe prune",
    "--sparsity 0.5",
    "--quantizer uniform",
    "--clusters 4",
    "--step-size 1",
    "--remove-channels 0.5",
    "--rounds 2",
    "--rewind-epoch 1",
    "--round-to 8",
    "--group-lasso 0.1",
    "--bits 8",
    "--weight-bits 4",
    "--times-smaller 8",
    "--students 2",
    "--temperature 4",
    "--soft-weight 0.5",
    "--keep-blocks 6",
    "--control",
    "--limit 5",
    "--image-size 48",
    "--branches shape",
    "--start x.npz",
    "--epochs 3",
    "--finetune-epochs 3",
    "--batch-size 8",
    "--lr 0.1",
    "--seed 3",
    "--devices 2",
    "--coordinator h:1",
    "--process 1",
    "--processes 2",
    "--out x",
    "--layout csr",
    "--no-program",
    "--tensorboard",
    "--resume",
]


@pytest.mark.parametrize("words", NEEDED_TO_TRAIN)
def test_what_only_training_needs_is_refused(words, say):
    flag = words.split()[0]
    refusal = f"run.py: {flag}: --predict has no use for it; leave it out."
    assert say("--predict", "a.png", "--weights", "x.npz", *words.split()) == (2, [], [refusal])


def test_every_flag_of_training_is_tried():
    actions = [a for a in command.parser()._actions if not isinstance(a, argparse._HelpAction)]
    used = {"--model", "--predict", "--weights", "--top", "--device"}
    flags = {action.option_strings[0] for action in actions}
    assert flags - used == {words.split()[0] for words in NEEDED_TO_TRAIN}


@pytest.mark.parametrize("words", ["--predict a.png", "--weights x.npz", "--top 1"])
def test_pictures_and_weights_are_needed_together(words, say):
    refusal = "run.py: --predict: needs pictures, and --weights a compressed.npz."
    assert say(*words.split()) == (2, [], [refusal])


@pytest.mark.parametrize("top", [0, -1])
def test_top_must_be_positive(top, say):
    refusal = f"run.py: --top: must be at least 1, got {top}."
    assert say("--predict", "a.png", "--weights", "x.npz", "--top", top) == (2, [], [refusal])
