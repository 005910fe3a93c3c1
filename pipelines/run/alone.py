"""The damage of each layer alone: the network as it was, with one layer as it is compressed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from jaxcompress.report import ALONE
from jaxcompress.scopes import named_leaves, nested
from pipelines.models.classifier import Classifier
from pipelines.models.examples import Examples
from pipelines.models.train import make_logits, score
from pipelines.run.folder import write_json
from pipelines.stages.files import BASELINE, COMPRESSED, read_plain

_OPERATIONS, _MOST_OPERATIONS = 2e10, 5e10  # of all layers together: a few seconds
_MOST_IMAGES, _LEAST_IMAGES = 512, 16

Arrays = Mapping[str, np.ndarray]


def write_alone(folder: Path, classifier: Classifier, data: Examples, *, flops: int) -> None:
    """Put each layer of `compressed.npz` into the first network, and write what that damages.

    A layer is all tensors of one name but for its last part, a kernel among them. Nothing is
    measured where shapes differ, or where it would take longer than some seconds.

    Args:
        folder: of the run.
        classifier: of the first network.
        data: for validation, of which as many images are used as a few seconds allow.
        flops: of one picture.
    """
    before = _named(read_plain(folder / BASELINE).tree)
    after = _named(jc.load(folder / COMPRESSED))
    differ = [path for path in before if path not in after or _differ(before[path], after[path])]
    if differ:
        why = f"{differ[0]} has another shape than before, so that its layer cannot be exchanged"
        _write(folder, why_not=why)
        return
    layers: dict[str, list[str]] = {}
    for path, tensor in before.items():
        if not np.array_equal(tensor, after[path]):
            layers.setdefault(layer_of(path), []).append(path)
    layers = {name: paths for name, paths in layers.items() if _has_kernel(before, paths)}
    if _LEAST_IMAGES * flops * (len(layers) + 1) > _MOST_OPERATIONS:
        _write(folder, why_not="it would take too long, with so many layers and operations")
        return
    most = int(_OPERATIONS / max(flops, 1) / (len(layers) + 1))
    count = min(len(data), max(min(most, _MOST_IMAGES), _LEAST_IMAGES))
    labels, inputs = data.labels[:count], jax.tree.map(lambda rows: rows[:count], data.inputs)
    compiled = make_logits(classifier.net, classifier.view, count)

    def logits(arrays: Arrays) -> np.ndarray:
        tree = nested(arrays.items())
        return compiled(tree.get("params", {}), tree.get("stats", {}), inputs)

    answers = logits(before)
    right, exact = score(answers, labels).accuracy, jnp.asarray(answers)
    rows = []
    for layer, paths in layers.items():
        found = logits({**before, **{path: after[path] for path in paths}})
        divergence = float(jc.planner.kl_divergence(jnp.asarray(found), exact))
        lost = 100 * (right - score(found, labels).accuracy)
        kl = divergence if np.isfinite(divergence) else None
        rows.append({"layer": layer, "tensors": paths, "kl": kl, "points_lost": lost})
    _write(folder, images=count, layers=rows)


def _write(folder: Path, *, why_not: str = "", images: int = 0, layers: Sequence[Any] = ()) -> None:
    told = {"version": 1, "why_not": why_not or None, "images": images, "layers": [*layers]}
    write_json(folder / ALONE, told)


def layer_of(path: str) -> str:
    """Return the layer of a tensor.

    Example:
        >>> layer_of("params/conv1/kernel"), layer_of("stats/bn1/mean"), layer_of("params/scale")
        ('conv1', 'bn1', 'scale')
    """
    first, _, rest = path.partition("/")
    return rest.rpartition("/")[0] or rest or first


def _has_kernel(arrays: Arrays, paths: Sequence[str]) -> bool:
    return any(arrays[path].ndim > 1 for path in paths)


def _named(tree: Any) -> dict[str, np.ndarray]:
    named = named_leaves(tree)
    return dict(zip(named.paths, map(np.asarray, named.leaves), strict=True))


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape != other.shape or one.dtype != other.dtype
