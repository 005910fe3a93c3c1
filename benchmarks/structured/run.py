"""Structured pruning: how fast it traces, how fast the result runs, and the accuracy that it costs.

    python -m benchmarks.structured accuracy --seeds 0 1     # Fashion-MNIST, ResNet-20
    taskset -c 0 python -m benchmarks.structured latency tracing
    taskset -c 0 python -m benchmarks.structured widths

Accuracy: every row is what `python run.py --model resnet20 --data fashion_mnist --recipe R
--remove-channels C --rounds N` gives with the epochs and images below. Runs of one seed have
the same baseline. A row is written after each run; existing rows are not made again.
"""

import argparse
import importlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

import jaxcompress as jc
from benchmarks.lib.networks import images, of_run
from benchmarks.lib.record import merge, rows_of, write
from benchmarks.lib.runs import run
from benchmarks.lib.timing import interleaved, ratio
from benchmarks.structured.table import ACCURACY, KEPT, LATENCY, MULTIPLES, TRACING, WIDTHS
from jaxcompress import jit_for_inference
from jaxcompress.nnx import Net, functional
from nets.resnet import ResNet, ResNetConfig
from pipelines.data import load
from pipelines.data.dataset import Dataset
from pipelines.models import MODELS
from pipelines.options.plan import planned
from pipelines.options.settings import Settings
from pipelines.stages.table import stages_of

MODEL, DATA = "resnet20", "fashion_mnist"
IMAGES, EPOCHS = 12_000, 6
DENSE, SMALL = "control", "small from scratch"


class Method(NamedTuple):
    """A row of the table.

    Attributes:
        name: what is cut, and when.
        recipe: of `run.py`.
        rounds: of cutting; None for as many as remove at most a fifth each.
        finetune_epochs: shared out among the rounds.
        reduction: times fewer FLOPs.
        controls: that are trained beside it; others with as many epochs share the dense one.
    """

    name: str
    recipe: str
    rounds: int | None
    finetune_epochs: int
    reduction: float
    controls: tuple[str, ...] = ()


_ROUNDS, _ONCE, _RANDOM = "L1, in rounds", "L1, at once", "random, at once"
METHODS = (
    Method(_ROUNDS, "structured", None, 4, 2.1, (DENSE, SMALL)),
    Method(_ONCE, "structured", 1, 4, 2.1),
    Method(_RANDOM, "structured-random", 1, 4, 2.1),
    Method(_ROUNDS, "structured", None, 8, 2.1, (DENSE,)),
    Method(_ROUNDS, "structured", None, 4, 5.0, (SMALL,)),
    Method(_ONCE, "structured", 1, 4, 5.0),
    Method(_RANDOM, "structured-random", 1, 4, 5.0),
    Method(_ROUNDS, "structured", None, 8, 5.0),
)


class Subject(NamedTuple):
    """A network to cut.

    Attributes:
        apply: `apply(tree, images)`.
        tree: its parameters and statistics, newly initialised.
        groups: its units.
    """

    apply: Callable[[Any, Any], Any]
    tree: dict[str, Any]
    groups: jc.prune.UnitGroups

    def cut(self, fraction: float, multiple: int = 1) -> dict[str, Any]:
        """Return the tree without that fraction of the units of each group.

        Args:
            fraction: to remove.
            multiple: to which the units kept are rounded.
        """
        keep = jc.choose_units(self.tree, self.groups, remove=fraction, round_to=multiple)
        return jc.shrink(self.tree, self.groups, keep)

    def flops(self, tree: dict[str, Any]) -> int:
        """Return the operations of one image."""
        return jc.flops(self.apply, tree, images(1)).total


def subject(net: Net) -> Subject:
    """Return an untrained network: values change neither operations nor speed."""
    params, stats = net.init(jax.random.key(0))
    view = MODELS[MODEL].view
    tree = {"params": params, "stats": stats}

    def apply(tree: dict[str, Any], x: Any) -> Any:
        return net.apply(tree["params"], tree["stats"], view(x))

    return Subject(apply, tree, jc.unit_groups(apply, tree, images(1)))


def wide_resnet() -> Net:
    """Return ResNet-20 with four times the channels: a quarter of them are those of ResNet-20."""
    config = ResNetConfig(widths=(64, 128, 256))
    return functional(lambda rngs: ResNet(config, rngs=rngs))


def fraction_for(reduction: float) -> float:
    """Return the smallest fraction, in hundredths, that divides the operations by `reduction`."""
    net = subject(of_run(MODEL))
    full = net.flops(net.tree)
    fractions = (k / 100 for k in range(1, 100))
    return next(f for f in fractions if full >= reduction * net.flops(net.cut(f)))


def accuracy(seeds: list[int]) -> None:
    """Train, cut and fine-tune, for each seed, reduction and method."""
    dataset = load(DATA, limit=IMAGES)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as temporary:
            _one_seed(dataset, seed, Path(temporary))


def _one_seed(dataset: Dataset, seed: int, folder: Path) -> None:
    done = {(row["order"], row["seed"]) for row in rows_of(ACCURACY)}
    trained = folder / "trained"
    fractions = {reduction: fraction_for(reduction) for reduction in {m.reduction for m in METHODS}}
    for number, method in enumerate(METHODS):
        if (number, seed) in done:
            continue
        plan = planned(
            len(dataset.train),
            data=DATA,
            model=MODEL,
            recipe=method.recipe,
            remove_channels=fractions[method.reduction],
            rounds=method.rounds,
            epochs=EPOCHS,
            finetune_epochs=method.finetune_epochs,
            limit=IMAGES,
            seed=seed,
            control=bool(method.controls),
        )
        if not trained.exists():
            run(plan, dataset, trained, stop_before=stages_of(plan)[1].name)
        of_run = Path(shutil.copytree(trained, folder / str(number)))
        without = {DENSE, SMALL} - set(method.controls)
        rows = {row.name: row for row in run(plan, dataset, of_run, without=without)}
        merge(
            ACCURACY,
            _figure(plan, method, rows),
            key=lambda row: (row["order"], row["seed"]),
            command=_command,
        )


def _figure(plan: Settings, method: Method, rows: dict[str, Any]) -> dict[str, Any]:
    after_cut = [row for name, row in rows.items() if name.startswith("cut") and "+" not in name]
    return {
        "order": METHODS.index(method),
        "reduction": method.reduction,
        "method": method.name,
        "seed": plan.seed,
        "channels": plan.remove_channels,
        "rounds": plan.rounds,
        "images": plan.limit,
        "epochs": plan.epochs,
        "finetune_epochs": plan.finetune_epochs,
        "times_fewer_flops": round(rows["baseline"].flops / rows["reloaded"].flops, 3),
        "ratio_bytes": round(rows["baseline"].size_bytes / rows["reloaded"].size_bytes, 3),
        "silenced_difference": max(row.facts.get("silenced_difference", 0.0) for row in after_cut),
        "accuracy": {name: row.accuracy for name, row in rows.items()},
        "validation": {name: row.validation_accuracy for name, row in rows.items()},
        "seconds": round(sum(row.seconds for row in rows.values()), 1),
    }


def _command(figures: list[dict[str, Any]]) -> str:
    seeds = " ".join(map(str, sorted({row["seed"] for row in figures})))
    return f"python -m benchmarks.structured accuracy --seeds {seeds}"


def latency(seeds: list[int]) -> None:
    """Time networks with all, half and a quarter of the channels in turn."""
    del seeds
    figures = []
    for model, build in (
        ("cifar-wide", lambda: of_run("cifar-wide")),
        ("resnet20", lambda: of_run("resnet20")),
        ("resnet20, 4 times as wide", wide_resnet),
    ):
        net = subject(build())
        trees = {"full": net.tree, "half": net.cut(0.5), "quarter": net.cut(0.75)}
        for batch in (1, 64):
            compiled, x = jit_for_inference(net.apply), jax.device_put(images(batch))
            peers = {
                name: lambda tree=tree: jax.block_until_ready(compiled(tree, x))  # noqa: B023
                for name, tree in jax.device_put(trees).items()
            }
            seconds = interleaved(peers, 200 if batch == 1 else 20)
            figures.append(
                {
                    "model": model,
                    "batch": batch,
                    **{f"times_full_{n}": ratio(seconds, n, "full") for n in ("half", "quarter")},
                    "flops_full": net.flops(trees["full"]),
                    "flops_half": net.flops(trees["half"]),
                    "flops_quarter": net.flops(trees["quarter"]),
                }
            )
    write(LATENCY, seeds=[0], figures=figures)


def widths(seeds: list[int]) -> None:
    """Time networks in turn whose widths are multiples of different numbers."""
    del seeds
    figures = []
    for model in ("cifar", "resnet20"):
        net = subject(of_run(model))
        trees = {"full": net.tree}
        trees |= {f"{f} of {m}": net.cut(1 - f, m) for f in KEPT for m in MULTIPLES}
        variants = {name: (net.apply, tree) for name, tree in trees.items()}
        for batch, rounds in ((1, 60), (64, 12)):
            found = jc.compare_latency(variants, images(batch), rounds=rounds)
            figures += [
                {
                    "model": model,
                    "batch": batch,
                    "kept": fraction,
                    "parameters": {m: size_of(trees[f"{fraction} of {m}"]) for m in MULTIPLES},
                    "times_faster": {
                        m: found.speedup(f"{fraction} of {m}", batch) for m in MULTIPLES
                    },
                }
                for fraction in KEPT
            ]
    write(WIDTHS, seeds=[0], figures=figures)


def size_of(tree: dict[str, Any]) -> int:
    """Return the parameters of a tree, without statistics."""
    return jc.count_parameters(tree["params"])


def tracing(seeds: list[int]) -> None:
    """Time how long groups are looked for in well-known networks at full size."""
    del seeds
    known = importlib.import_module("tests.helpers.full_size_nets").FULL_SIZE
    figures = []
    for name, build in known.items():
        apply, params, inputs, groups = build()
        peers = {
            "groups": lambda: jc.unit_groups(apply, params, inputs),  # noqa: B023
            "jaxpr": lambda: jax.make_jaxpr(lambda p, x: apply(p, x))(params, inputs),  # noqa: B023
        }
        seconds = interleaved(peers, 5, time.process_time)
        figures.append(
            {
                "network": name,
                "groups": groups,
                "cpu_seconds": round(statistics.median(seconds["groups"]), 3),
                "times_make_jaxpr": ratio(seconds, "groups", "jaxpr"),
            }
        )
    write(TRACING, seeds=[0], figures=figures)


PARTS: dict[str, Callable[[list[int]], None]] = {
    "accuracy": accuracy,
    "latency": latency,
    "tracing": tracing,
    "widths": widths,
}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments = parser.parse_args()
    for part in arguments.parts:
        PARTS[part](arguments.seeds)
