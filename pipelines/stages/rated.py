"""Training for rate: the size of the file is met while training, with weights on learned grids."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.errors import MismatchError
from jaxcompress.nnx import Params, Stats
from jaxcompress.quantization import RateAware, free_numbers, rate_aware, with_numbers
from jaxcompress.scopes import named_leaves
from jaxcompress.typing import PyTree, Quantized
from pipelines.errors import SettingsError
from pipelines.models.classifier import Classifier
from pipelines.options.settings import Settings
from pipelines.stages.files import compressed_size, packed
from pipelines.stages.planning import work_of
from pipelines.stages.stage import Facts, Recipe, Trainer, Work
from pipelines.stages.training import adamw, pruned_epochs, schedule

_MOST_KEPT, _TURNS = 16, 200  # steps for which the gradient of the bits is kept; of a training
_STEPS_RATE, _DENSITIES_RATE = 3.0, 5.0  # of learning, over that of weights
_ROOM = 0.995  # of the size, as fine-tuning changes the bytes of the other numbers
_WIDEST, _TRIALS = 8.0, 10  # dead zone in steps, and halvings in the search for it
_NORMAL = 2.0**-14  # smaller numbers have fewer digits in float16


def train_rated(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train weights, grids and densities until a file of the size holds them.

    The price of a bit is found on the way.
    """
    epochs, net, size = pruned_epochs(job.plan), job.classifier.net, job.plan.size
    rate = rate_aware(net.apply_training)
    rated, steps = rate.init(work.params), job.steps(epochs)
    rest = compressed_size(job, _stored(_without_levels(rate.quantize(rated)), work.stats))
    every, limit = max(min(steps // _TURNS, _MOST_KEPT), 1), 8 * max(size - rest, 1)
    tx = optax.chain(
        jc.optim.limit_penalty(rate.bits, limit=limit, end=steps, every=every),
        optax.partition(
            {
                "params": adamw(job, epochs),
                "steps": optax.adam(schedule(_STEPS_RATE * job.plan.lr, steps)),
                "densities": optax.adam(schedule(_DENSITIES_RATE * job.plan.lr, steps)),
            },
            {name: name for name in rated},
        ),
    )
    trained = job.fit(
        work._replace(params=rated),
        tx,
        epochs=epochs,
        nets={epochs: net._replace(apply_training=rate.apply)},
    )
    expected = rest + float(rate.bits(trained.params)) / 8
    found, dead_zone = _fitted(job, rate, trained)
    return found, {"expected_bytes": round(expected), "dead_zone": dead_zone}


def tune_rest(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train biases, norms and steps on, with the levels frozen."""
    epochs, net = tuned_epochs(job.plan), job.classifier.net
    held = (work.coded or {})["params"]

    def frozen(free: Params, stats: Stats, x: Any) -> Any:
        return net.apply_training(jc.dense(with_numbers(held, free)), stats, x)

    tuned = job.fit(
        work._replace(params=free_numbers(held)),
        optax.adam(schedule(job.plan.lr, job.steps(epochs))),
        epochs=epochs,
        nets={epochs: net._replace(apply_training=frozen)},
    )
    result = _stored(with_numbers(held, tuned.params), tuned.stats)
    if compressed_size(job, result) > job.plan.size:
        return work, {"kept": "the numbers before: fine-tuning had made the file larger"}
    return result, {}


def tuned_epochs(plan: Settings) -> int:
    """Return the epochs with frozen levels: a third, for few trained numbers."""
    return max(plan.finetune_epochs // 3, 1)


def _fitted(job: Trainer, rate: RateAware, trained: Work) -> tuple[Work, float]:
    """Return the network in a file of the size, with the dead zone that it takes; usually none.

    Raises:
        MismatchError: no dead zone is wide enough.
    """

    def stored(dead_zone: float) -> Work:
        return _stored(rate.quantize(trained.params, dead_zone=dead_zone), trained.stats)

    def fitting(dead_zone: float) -> Work | None:
        job.tell(f"a dead zone of {dead_zone:.3f} steps")
        found = stored(dead_zone)
        return found if compressed_size(job, found) <= _ROOM * job.plan.size else None

    if (whole := fitting(0.0)) is not None:
        return whole, 0.0
    low, high = 0.0, _WIDEST
    if (best := fitting(high)) is None:
        raise MismatchError(
            f"--size: must hold the network, got {job.plan.size:,}, and weights up to {high:g} "
            f"steps were made 0 for {compressed_size(job, stored(high)):,}; raise it."
        )
    for _ in range(_TRIALS):
        middle = (low + high) / 2
        if (found := fitting(middle)) is None:
            low = middle
        else:
            high, best = middle, found
    return best, high


def _stored(params: PyTree, stats: Stats) -> Work:
    """Return the network with all numbers but the levels in sixteen bits."""
    tree: PyTree = {"params": params, "stats": stats} if stats else {"params": params}
    tree = jax.tree.map(np.asarray, tree)
    named = named_leaves(tree, is_leaf=jc.leaves.is_compressed)
    for dtype in (jnp.float16, jnp.bfloat16):
        chosen = {
            path
            for path, leaf in zip(named.paths, named.leaves, strict=True)
            if not jc.leaves.is_compressed(leaf) and _holds(dtype, leaf)
        }
        if chosen:
            tree = jc.leaves.half(tree, dtype=dtype, scope=lambda path, _: path in chosen)  # noqa: B023
            named = named_leaves(tree, is_leaf=jc.leaves.is_compressed)
    return work_of(jc.dense(tree))._replace(coded=tree)


def _holds(dtype: Any, leaf: np.ndarray) -> bool:
    """Return whether float16 has all digits of the numbers of a leaf; bfloat16 is for the rest."""
    if not jnp.issubdtype(leaf.dtype, jnp.floating) or not leaf.size:
        return False
    size = np.abs(leaf[leaf != 0])
    least, most = size.min(initial=1.0), size.max(initial=1.0)
    return dtype != jnp.float16 or (least >= _NORMAL and most <= np.finfo(np.float16).max)


def _without_levels(params: PyTree) -> PyTree:
    """Return params whose levels are all 0: the rest of a file is as large as theirs."""

    def emptied(leaf: Any) -> Any:
        if not isinstance(leaf, Quantized):
            return leaf
        return leaf.with_integers(np.zeros(leaf.shape, np.int8))

    return jax.tree.map(emptied, params, is_leaf=jc.leaves.is_compressed)


def reach(plan: Settings, model: Classifier, pictures: np.ndarray) -> None:
    """Refuse a size that is too small for what is stored beside the levels.

    Raises:
        SettingsError: it is.
    """
    del pictures
    rng = np.random.default_rng(0)
    params, stats = jax.tree.map(
        lambda leaf: rng.standard_normal(leaf.shape).astype(leaf.dtype), model.blank()
    )
    rate = rate_aware(model.net.apply_training)
    rest = _stored(_without_levels(rate.quantize(rate.init(params))), stats)
    least = jc.size_bytes(rest.coded, layout=plan.layout, metadata=model.as_metadata())
    if _ROOM * plan.size <= least:
        raise SettingsError(
            f"--size: must be above {math.ceil(least / _ROOM):,}, of biases, norms and the "
            f"description of the file alone, got {plan.size:,}; raise it."
        )


# Recipes


def _needs(settings: Settings) -> str:
    return "" if "size" in settings else "a size; pass --size"


OPTIONS = ()

RECIPES = {
    "rate": Recipe(
        "train weights, grids and densities to a size of the file; fine-tune the rest",
        ("size",),
        (
            packed("trained for rate", train_rated, pruned_epochs),
            packed("levels frozen + tuned", tune_rest, tuned_epochs),
        ),
        _needs,
        reach=reach,
    )
}
