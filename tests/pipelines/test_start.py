"""Networks of a file in place of the first training: which are taken, and which are refused."""

import jax
import jax.numpy as jnp
import pytest

import jaxcompress as jc
from pipelines.models.classifier import Classifier
from pipelines.run.folder import FolderError
from pipelines.stages.start import read_start
from tests.helpers.commands import refusal

DIGITS = tuple("zero one two three four five six seven eight nine".split())


def classifier(model, classes=DIGITS, **sizes):
    return Classifier(
        model=model,
        classes=classes,
        image_size=32,
        branches=(),
        picture_size=32,
        data="digits",
        sizes=sizes,
    )


VIT, LENET = classifier("vit"), classifier("lenet-300-100")


def words(start, *, model="vit"):
    return ["--model", model, "--data", "digits", "--limit", "64", "--start", str(start)]


def zeros(of):
    return jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), of.blank()[0])


def write(path, params, of):
    jc.save(path, {"params": params}, metadata=of.as_metadata())


@pytest.fixture(scope="module")
def two_blocks(tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "two.npz"
    write(path, jc.drop_blocks(zeros(VIT), "blocks", keep=[0, 5]), VIT)
    return path


def test_blocks_may_be_gone(two_blocks):
    start = read_start(two_blocks, VIT)
    assert jc.prune.count_blocks(start.params, "blocks") == 2 and start.stats == {}


@pytest.mark.slow
def test_it_cannot_have_fewer_blocks_than_are_to_stay(two_blocks, tmp_path, capsys):
    recipe = ["--recipe", "drop", "--keep-blocks", "3"]
    error = refusal([*words(two_blocks), *recipe], tmp_path, capsys)
    assert "--keep-blocks: must be at most the 2 blocks of --start, got 3." in error


@pytest.mark.slow
def test_it_cannot_be_smaller_than_what_it_teaches(tmp_path, capsys):
    """Units of a teacher may be gone; ratios count from the whole network all the same."""
    start = tmp_path / "narrow.npz"
    write(start, zeros(classifier("lenet-300-100", widths=[20, 10])), LENET)
    recipe = ["--recipe", "distill", "--times-smaller", "2"]
    error = refusal([*words(start, model="lenet-300-100"), *recipe], tmp_path, capsys)
    mine = 28 * 28 * 20 + 20 + 20 * 10 + 10 + 10 * 10 + 10
    assert f"its teacher, of --start, only {mine:,}; pass a larger one, or fewer" in error


@pytest.mark.slow
def test_what_is_damaged_or_of_another_network_is_refused(two_blocks, tmp_path, capsys):
    error = refusal(words(two_blocks, model="lenet-5"), tmp_path, capsys)
    assert "its model must be lenet-5, got vit" in error
    torn = tmp_path / "torn.npz"
    torn.write_bytes(two_blocks.read_bytes()[:900])
    assert "run.py: --start: " in refusal(words(torn), tmp_path, capsys)


@pytest.mark.slow
def test_it_must_be_of_the_same_classes(tmp_path):
    letters = classifier("lenet-300-100", tuple("abcdefghij"))
    write(tmp_path / "letters.npz", zeros(letters), letters)
    with pytest.raises(FolderError, match="its classes must be .*; pass a compressed"):
        read_start(tmp_path / "letters.npz", LENET)
