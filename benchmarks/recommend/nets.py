"""The networks with their tasks, trained before if a folder holds them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxcompress as jc
from benchmarks.lib.networks import networks, trained
from benchmarks.recommend.kinds import KINDS, Kind
from jaxcompress.planner import Task
from jaxcompress.typing import PyTree
from pipelines.data import load
from pipelines.data.dataset import Split
from pipelines.models.train import score

_EXAMPLES, _EVALUATED, _JUDGED = 128, 2000, 5000
_KEPT = ("cifar", "lenet-5", "lenet-300-100")
"""Networks of other benchmarks."""


class Subject(NamedTuple):
    """A network to compress.

    Attributes:
        task: without training.
            judge: accuracy in percent on test pictures, of a function and parameters.
    """

    task: Task
    judge: Callable[[Callable[..., Any] | None, PyTree], float]


def subject(name: str, folder: Path) -> Subject:
    """Return a network: quality is accuracy in percent on validation pictures.

    Args:
        name: of it.
        folder: of trained networks.
    """
    kind, data = KINDS[name], load("fashion_mnist")
    net, tree = _trained(name, kind, folder)

    def apply(tree: PyTree, images: jax.Array) -> jax.Array:
        return net.apply(tree["params"], tree["stats"], kind.view(images))

    task = Task(
        apply,
        tree,
        example=(data.train.images[:_EXAMPLES],),
        evaluate=lambda apply, tree: _accuracy(apply, tree, data.validation, _EVALUATED),
        blocks=kind.blocks,
    )
    return Subject(task, lambda apply, tree: _accuracy(apply, tree, data.test, _JUDGED))


def _trained(name: str, kind: Kind, folder: Path) -> tuple[Any, PyTree]:
    if name in _KEPT:
        found = networks(name, [0.0], folder)
        return found.net, {"params": found.pruned[0.0], "stats": found.stats[0.0]}
    net, path = kind.net(), folder / f"recommend-{name}.npz"
    params, stats = jax.eval_shape(net.init, jax.random.key(0))
    like = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), {"params": params, "stats": stats}
    )
    if not path.exists():
        data = load("fashion_mnist", limit=kind.images)
        params, stats = trained(net, kind.view, data.train, kind.epochs)
        folder.mkdir(parents=True, exist_ok=True)
        jc.save(path, {"params": params, "stats": stats})
    return net, jc.load_into(path, like)


def _accuracy(apply: Callable[..., Any] | None, tree: PyTree, split: Split, count: int) -> float:
    assert apply is not None
    compiled, tree = jc.jit_for_inference(apply), jc.dense(tree)
    parts = [split.images[at : min(at + 500, count)] for at in range(0, count, 500)]
    logits = np.concatenate([np.asarray(compiled(tree, part)) for part in parts])
    return 100 * score(logits, split.labels[:count]).accuracy
