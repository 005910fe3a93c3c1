"""A vision transformer with fewer blocks, heads or ranks, and the accuracy after recovery.

    python -m benchmarks.vit accuracy --seeds 0 1 2     # Fashion-MNIST, the `vit` of run.py
    taskset -c 0 python -m benchmarks.vit latency

Accuracy: a network is trained, made smaller, and trained again, with labels and the logits of the
large network, or with labels alone. Its controls are the large network, trained for as many further
epochs, and one of half the blocks, trained from scratch for as many epochs in all. Trained networks
are kept in `--folder`, and rows are written after each; existing ones are not made again.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxcompress as jc
from benchmarks.lib.networks import images, trained
from benchmarks.lib.record import merge, rows_of, write
from benchmarks.lib.timing import interleaved, ratio
from benchmarks.vit.table import VIT_ACCURACY, VIT_LATENCY
from jaxcompress import jit_for_inference
from jaxcompress.nnx import Params
from nets.families import build
from nets.students import parameters_in
from nets.vit import ViTConfig
from pipelines.data import load
from pipelines.data.dataset import Dataset, Split
from pipelines.models import MODELS
from pipelines.models.train import (
    FROM_LABELS,
    Score,
    cross_entropy,
    make_logits,
    score,
)
from pipelines.options.table import OPTIONS
from pipelines.stages.distilling import taught_by
from pipelines.stages.dropping import MEASURED

IMAGES, EPOCHS, RECOVERY = 12_000, 10, 4
FULL = ViTConfig()
HALF = FULL.depth // 2
PLAIN, VIEW = build(FULL), MODELS["vit"].view
NET = PLAIN._replace(  # runs thin products as they are
    apply=jc.execute(PLAIN.apply), apply_training=jc.execute(PLAIN.apply_training)
)


class Method(NamedTuple):
    """A row of the table.

    Attributes:
        name: what is done.
        start: from the full network, data and seed to the parameters that training starts from.
        taught: whether the full network teaches.
        epochs: of training.
    """

    name: str
    start: Callable[[Params, Dataset, int], Params]
    taught: bool
    epochs: int = RECOVERY


def apply(params: Params, x: Any) -> jax.Array:
    """Return the logits of a network of any sizes."""
    return NET.apply(params, {}, VIEW(x))


def as_it_is(full: Params, data: Dataset, seed: int) -> Params:
    """Return the full network."""
    del data, seed
    return full


def half_from_scratch(full: Params, data: Dataset, seed: int) -> Params:
    """Return a new network of half the blocks."""
    del full, data
    return build(replace(FULL, depth=HALF)).init(jax.random.key(seed))[0]


def spread_out(full: Params, data: Dataset, seed: int) -> Params:
    """Drop half the blocks, at even distances."""
    del data, seed
    return _half(full, jc.prune.spread_out)


def at_random(full: Params, data: Dataset, seed: int) -> Params:
    """Drop half the blocks, any."""
    del data
    return _half(full, jc.prune.random_blocks(jax.random.key(seed)))


def least_important(full: Params, data: Dataset, seed: int) -> Params:
    """Drop the half of the blocks without which the loss grows least."""
    del seed
    x, labels = data.train.images[:MEASURED], data.train.labels[:MEASURED]
    loss = jit_for_inference(lambda params: cross_entropy(apply(params, x), jnp.asarray(labels)))
    return _half(full, jc.prune.important_blocks(jc.prune.block_importance(loss, full, "blocks")))


def _half(full: Params, rule: Any) -> Params:
    keep = jc.choose_blocks(full, "blocks", keep=HALF, rule=rule)
    return jc.drop_blocks(full, "blocks", keep=keep)


def half_the_heads(full: Params, data: Dataset, seed: int) -> Params:
    """Cut out half of the heads of each block, by L1 norm."""
    del data, seed
    groups = jc.unit_groups(lambda params, x: PLAIN.apply(params, {}, VIEW(x)), full, images(1))
    keep = jc.choose_units(full, groups, remove=dict.fromkeys(heads_of(groups), 0.5))
    return jc.shrink(full, groups, keep)


def heads_of(groups: jc.prune.UnitGroups) -> list[str]:
    """Return the names of the groups whose units are heads."""
    return [
        group.name
        for group in groups
        if any(s.path.endswith("query/kernel") and s.axis == 1 for s in group.slices)
    ]


def low_rank_mlp(full: Params, data: Dataset, seed: int) -> Params:
    """Put products of half the parameters in place of the kernels of every MLP."""
    del data, seed
    return jc.low_rank(full, keep=0.5, scope=jc.scopes.matching("dense"))


TAUGHT, LABELS = "labels and the full network", "labels"
METHODS = (
    Method("all 12 blocks, trained on", as_it_is, taught=False),
    Method("6 blocks, spread out", spread_out, taught=True),
    Method("6 blocks, spread out", spread_out, taught=False),
    Method("6 blocks from scratch", half_from_scratch, taught=False, epochs=EPOCHS + RECOVERY),
    Method("half of the heads", half_the_heads, taught=True),
    Method("6 blocks, most important", least_important, taught=True),
    Method("6 blocks, any", at_random, taught=True),
    Method("MLP of low rank", low_rank_mlp, taught=True),
)


def tuned(params: Params, data: Dataset, seed: int, epochs: int, teacher: Params | None) -> Params:
    """Return the parameters after training, from labels and from a teacher if there is one."""
    compiled = jit_for_inference(apply)
    lesson = FROM_LABELS
    if teacher is not None:
        lesson = taught_by(
            lambda x: compiled(teacher, x),
            temperature=OPTIONS["temperature"].default,
            soft_weight=OPTIONS["soft_weight"].default,
        )
    start = (params, {})
    settings = {"lesson": lesson, "augment": data.augment, "seed": seed}
    return trained(NET, VIEW, data.train, epochs, start, **settings)[0]


def measured(params: Params, split: Split) -> Score:
    """Return accuracy and loss on a split."""
    logits = make_logits(NET, VIEW)
    return score(logits(params, {}, split.images), split.labels)


def accuracy(seeds: list[int], folder: Path) -> None:
    """Train, make smaller and train on, for each seed and method."""
    data = load("fashion_mnist", limit=IMAGES)
    for seed in seeds:
        _one_seed(data, seed, folder)


def _one_seed(data: Dataset, seed: int, folder: Path) -> None:
    done = {(row["order"], row["seed"]) for row in rows_of(VIT_ACCURACY)}
    new = partial(NET.init, jax.random.key(seed))
    full = _kept(folder / f"full-{seed}", lambda: tuned(new()[0], data, seed, EPOCHS, None))
    for order, method in enumerate(METHODS):
        if (order, seed) in done:
            continue
        start = method.start(full, data, seed)
        teacher = full if method.taught else None
        params = _kept(
            folder / f"{order}-{seed}",
            lambda: tuned(start, data, seed + 1000, method.epochs, teacher),  # noqa: B023
        )
        row = {
            "order": order,
            "seed": seed,
            "method": method.name,
            "from": TAUGHT if method.taught else LABELS,
            "images": IMAGES,
            "epochs": method.epochs,
            "parameters": parameters_in(params),
            "flops": jc.flops(apply, params, images(1)).total,
            "full": measured(full, data.test).accuracy,
            "before": measured(start, data.test).accuracy,
            "accuracy": measured(params, data.test).accuracy,
            "validation": measured(params, data.validation).accuracy,
        }
        merge(VIT_ACCURACY, row, key=lambda row: (row["order"], row["seed"]), command=_command)


def _kept(path: Path, make: Callable[[], Params]) -> Params:
    """Return the parameters in a file, made and written there if it is missing."""
    file = path.with_suffix(".npz")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        jc.save(file, make())
    return jc.load_compressed(file)


def _command(figures: list[dict[str, Any]]) -> str:
    seeds = " ".join(map(str, sorted({row["seed"] for row in figures})))
    return f"python -m benchmarks.vit accuracy --seeds {seeds}"


def latency(seeds: list[int], folder: Path) -> None:
    """Time the full network, and with half its blocks, half its heads or thin products."""
    del seeds, folder
    full = NET.init(jax.random.key(0))[0]
    nothing: Any = None  # values change no speed
    trees = {
        "full": full,
        "half the blocks": spread_out(full, nothing, 0),
        "half the heads": half_the_heads(full, nothing, 0),
        "MLP of low rank": low_rank_mlp(full, nothing, 0),
    }
    figures = []
    for batch in (1, 64):
        x = jax.device_put(images(batch))
        compiled = jit_for_inference(apply)
        peers = {
            name: lambda tree=tree: jax.block_until_ready(compiled(tree, x))  # noqa: B023
            for name, tree in jax.device_put(trees).items()
        }
        again = interleaved(peers, 30, calls=40 if batch == 1 else 10)
        in_turn = interleaved(peers, 400 if batch == 1 else 60)
        figures += [
            {
                "what": name,
                "batch": batch,
                "times_full": ratio(again, name, "full"),
                "times_full_in_turn": ratio(in_turn, name, "full"),
                "times_full_flops": round(_flops(trees[name]) / _flops(full), 3),
            }
            for name in trees
            if name != "full"
        ]
    write(VIT_LATENCY, seeds=[0], figures=figures)


def _flops(tree: Params) -> int:
    return jc.flops(apply, tree, images(1)).total


PARTS: dict[str, Callable[[list[int], Path], None]] = {"accuracy": accuracy, "latency": latency}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-vit"))
    arguments = parser.parse_args()
    for part in arguments.parts:
        PARTS[part](arguments.seeds, arguments.folder)
