"""What a network has twice, or does not need, layer by layer."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.bounds import check_fraction, check_positive
from jaxcompress.checks import check_concrete
from jaxcompress.leaves import dense
from jaxcompress.planner._cuts import groups_of
from jaxcompress.planner._damage import of_outputs
from jaxcompress.planner._task import Task, apply_of
from jaxcompress.planner._words import number
from jaxcompress.products.moments import Layer, input_moments
from jaxcompress.prune import UnitGroup, activation_score, nonzero_fraction
from jaxcompress.quantization import relative_error
from jaxcompress.text import as_html, shape_text, table_lines
from jaxcompress.trees import PyTree, named_leaves

_ENERGY = 0.99
_HALVINGS = 7  # fractions are told to 1/128


class LayerRedundancy(NamedTuple):
    """What a layer has twice, or does not need.

    Attributes:
        path: of its weights.
        shape: of its weights.
        filters: outputs, each the product of the inputs with its own weights.
        alike: filters whose outputs are nearly those of an earlier one.
        pair: the two filters that are most alike, by number; None with fewer than two.
        cosine: of the outputs of these two; NaN without a pair.
        effective_rank: `exp(-sum p log p)` of `p = s / sum(s)`, the singular values; the mean of
            the groups of a grouped convolution, or of stacked layers.
        energy_rank: singular values that hold 99 % of the sum of their squares, the mean likewise.
        full_rank: the most that it can be.
        idle: fraction of the weights, of this layer alone, that can be removed within the bound.
        dead: units whose outputs are always zero on the example; None where no units were found, or
            no product reads them.
    """

    path: str
    shape: tuple[int, ...]
    filters: int
    alike: int
    pair: tuple[int, int] | None
    cosine: float
    effective_rank: float
    energy_rank: float
    full_rank: int
    idle: float
    dead: int | None


class Redundancy(NamedTuple):
    """Redundancy by layer; `print` shows it.

    Attributes:
        layers: in the order of the parameters.
        left_out: why nothing is said of other weights, by path.
        similar: cosine from which filters count as alike.
        bound: of the damage to the outputs, up to which weights count as idle.
    """

    layers: list[LayerRedundancy]
    left_out: dict[str, str]
    similar: float
    bound: float

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        """Return a line a layer."""
        head = ["weights", "shape", "filters", f"cosine over {self.similar:g}", "most alike"]
        head += ["effective rank", "99 % energy", "of", f"idle at {self.bound:g}", "dead units"]
        rows = [
            [
                row.path,
                shape_text(row.shape),
                str(row.filters),
                str(row.alike),
                "" if row.pair is None else f"{row.pair[0]}, {row.pair[1]}: {row.cosine:.3f}",
                number(row.effective_rank),
                number(row.energy_rank),
                str(row.full_rank),
                f"{row.idle:.0%}",
                "?" if row.dead is None else str(row.dead),
            ]
            for row in self.layers
        ]
        lines = table_lines([head, *rows], left=2)
        return "\n".join([*lines, *(f"{path}: {why}" for path, why in self.left_out.items())])


def redundancy(task: Task, *, similar: float = 0.95, bound: float = 0.001) -> Redundancy:
    """Return what each layer of a network has twice, or does not need, on the example of a task.

    Let `W` be the weights of a layer, a column a filter, and `G = sum(x x^T)` the second moments of
    its inputs. The outputs of filters `i` and `j` over all samples and places, before bias and
    nonlinearity, have the cosine `C_ij / sqrt(C_ii C_jj)` with `C = W^T G W`. Weights are removed
    in the order of `w^2 G_kk`, the squared error of removing one; the fraction is found by halving
    and the damage of what it tells was measured on the outputs of the network.

    It takes the task, as a profile holds no outputs.

    Args:
        task: with `apply` and `example`; some hundred rows.
        similar: cosine from which filters are alike, in (0, 1].
        bound: damage to the outputs, as the task measures it (`relative_error` if it says nothing),
            with the idle weights of one layer at zero.

    Raises:
        ValueError: a task without `apply` or `example`, a value that is out of range, outputs that
            are not finite or all zero.

    Example:
        >>> params = {"w": np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "b": np.zeros(3)}
        >>> apply = lambda params, x: x @ params["w"] + params["b"]
        >>> task = Task(apply, params, example=(np.array([[1.0, 0.0], [0.0, 2.0]]),))
        >>> (layer,) = redundancy(task).layers
        >>> layer.alike, layer.pair, round(layer.cosine, 3), layer.full_rank, layer.energy_rank
        (1, (0, 1), 1.0, 2, 2.0)

    Source: Roy and Vetterli 2007, The effective rank; Sun et al. 2024, arXiv:2306.11695, for the
    order of weights.
    """
    if not task.is_run:
        lacking = [name for name in task.missing if name in ("apply", "example")]
        raise ValueError(f"redundancy: needs {' and '.join(lacking)}; give the task these.")
    check_fraction("similar", similar)
    check_positive("bound", bound, "0.001 is little")
    check_concrete("redundancy", task.params)
    apply, params = apply_of(task), dense(task.params)
    named = named_leaves(params)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    moments = input_moments(apply, params, [tuple(task.example)])
    damage = of_outputs(apply, params, task.example, task.damage or relative_error)
    dead = _dead(task, params)
    layers = []
    for path in filter(moments.layers.__contains__, named.paths):
        weights, parts = np.asarray(leaves[path]), moments.layers[path]
        alike, pair, cosine = _alike(weights, parts, similar)
        ranks = np.array([_ranks(matrix) for _, matrix in _matrices(weights, parts)]).mean(axis=0)
        layers.append(
            LayerRedundancy(
                path=path,
                shape=weights.shape,
                filters=sum(part.entries.shape[0] * part.entries.shape[2] for part in parts),
                alike=alike,
                pair=pair,
                cosine=cosine,
                effective_rank=float(ranks[0]),
                energy_rank=float(ranks[1]),
                full_rank=min(parts[0].entries.shape[1:]),
                idle=_idle(weights, parts, lambda leaf, path=path: damage(path, leaf) <= bound),
                dead=_of_layer(path, dead),
            )
        )
    return Redundancy(layers, moments.left_out, similar, bound)


def _matrices(weights: np.ndarray, parts: list[Layer]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return moments `[n, n]` and weights `[n, filters]` of each group."""
    flat = weights.astype(np.float64).ravel()
    return [
        (gram, flat[entries])
        for part in parts
        for gram, entries in zip(part.gram, part.entries, strict=True)
    ]


def _alike(
    weights: np.ndarray, parts: list[Layer], similar: float
) -> tuple[int, tuple[int, int] | None, float]:
    """Return how many filters are like an earlier one, the pair most alike, and its cosine.

    Filters whose outputs are zero are like none. Numbers of filters count on over groups.
    """
    count, first = 0, 0
    best: tuple[float, tuple[int, int] | None] = math.nan, None
    for gram, matrix in _matrices(weights, parts):
        both = matrix.T @ gram @ matrix
        norms = np.sqrt(np.maximum(np.diag(both), 0.0))
        cosines = both / np.where(norms > 0, norms, np.inf)[:, None]
        cosines = np.tril(cosines / np.where(norms > 0, norms, np.inf), -1)
        cosines[np.triu_indices(len(cosines))] = -np.inf
        count += int((cosines >= similar).any(axis=1).sum())
        later, earlier = np.unravel_index(int(np.argmax(cosines)), cosines.shape)
        found = float(cosines[later, earlier])
        if len(cosines) > 1 and not found <= best[0]:
            best = found, (first + int(earlier), first + int(later))
        first += len(cosines)
    return count, best[1], best[0]


def _ranks(matrix: np.ndarray) -> tuple[float, float]:
    """Return the effective rank, and how many singular values hold 99 % of the energy."""
    values = np.linalg.svd(matrix, compute_uv=False)
    if not values.any():
        return 0.0, 0.0
    parts = values[values > 0] / values.sum()
    kept = np.cumsum(values**2)
    enough = np.searchsorted(kept, _ENERGY * kept[-1] * (1 - 1e-12)) + 1
    return float(np.exp(-np.sum(parts * np.log(parts)))), float(enough)


def _idle(
    weights: np.ndarray, parts: list[Layer], is_little: Callable[[np.ndarray], bool]
) -> float:
    """Return the fraction of weights whose removal is little, as it was found by halving."""
    flat, scores = weights.ravel(), np.full(weights.size, np.inf)
    for part in parts:
        for gram, entries in zip(part.gram, part.entries, strict=True):
            scores[entries] = flat[entries].astype(np.float64) ** 2 * np.diag(gram)[:, None]
    order = np.argsort(scores, kind="stable")[: np.isfinite(scores).sum()]

    def without(count: int) -> np.ndarray:
        left = flat.copy()
        left[order[:count]] = 0
        return left.reshape(weights.shape)

    if is_little(without(len(order))):
        return len(order) / weights.size
    low, high = 0, len(order)
    for _ in range(_HALVINGS):
        middle = (low + high) // 2
        low, high = (middle, high) if is_little(without(middle)) else (low, middle)
    return low / weights.size


def _dead(task: Task, params: PyTree) -> dict[str, int]:
    """Return by name of the group how many units are always zero, for groups that are read."""
    groups = list(groups_of(task, task.apply, params))
    score = activation_score(apply_of(task), *task.example, statistic=nonzero_fraction)

    def counted(some: list[UnitGroup]) -> dict[str, int]:
        return {name: int((found == 0).sum()) for name, found in score(params, some).items()}

    try:
        return counted(groups)
    except ValueError:  # of one group no product reads a unit
        found: dict[str, int] = {}
        for group in groups:
            try:
                found |= counted([group])
            except ValueError:
                continue
        return found


def _of_layer(path: str, dead: dict[str, int]) -> int | None:
    names: list[Any] = [name for name in dead if path == name or path.startswith(f"{name}/")]
    return dead[max(names, key=len)] if names else None
