"""Files with programs: bytes above the plain ones, and opening beside `jax.export`, on one core.

    taskset -c 0 python -m benchmarks.ship

Weights are those of initialization, pruned to 10 % and shared by 16 values a layer: neither bytes
of the program nor the time to compile it depend on them. Both ways end with a function that is
compiled for one picture, and are called in turn. `open_function` reads, checks and decodes the
weights too. Its peer is given the program alone, in memory; a second peer reads the weights by
`load`. Times are in CPU-seconds, so that time taken by other processes does not count.
"""

import functools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from benchmarks.lib.record import minutes, write
from benchmarks.lib.timing import interleaved, ratio
from benchmarks.ship.table import OPENED, PEER, SHIP, WITH_LOAD
from pipelines.models.classifier import Classifier
from pipelines.options.plan import command_of, planned
from pipelines.options.settings import Settings

SEED, ROUNDS = 0, 5
NETWORKS = ("cifar", "lenet-300-100", "lenet-5", "resnet20")
LAYOUTS = ("entropy", "packed")
_STAGES = ("baseline", "pruned", "pruned + tuned", "shared", "shared + tuned", "reloaded")


def measure(name: str, layout: str, folder: Path) -> dict[str, Any]:
    """Return the figures of a network of `run.py` in a layout of the file."""
    plan = planned(1257, data="digits", model=name)
    classifier = Classifier(
        model=name,
        classes=tuple(f"class {n}" for n in range(10)),
        image_size=plan.image_size,
        branches=(),
        picture_size=32,
        data=plan.data,
    )
    params, stats = classifier.net.init(jax.random.key(SEED))
    small = jc.kmeans(params, 16, mask=jc.magnitude_mask(params, 0.9))
    tree = {"params": small, "stats": stats}
    x = jnp.float32(classifier.inputs(np.zeros((1, 32, 32, 3), np.uint8)))

    def apply(tree: Any, x: jax.Array) -> jax.Array:
        return classifier.apply(tree["params"], tree["stats"], x)

    path, metadata = folder / f"{name}.npz", classifier.as_metadata()
    ship = functools.partial(
        jc.ship,
        path,
        apply,
        tree,
        x,
        classes=classifier.classes,
        preprocessing={"size": [plan.image_size] * 2, "fit": "pad", "colour": "rgb"},
        layout=layout,
        metadata=metadata,
    )
    plain = jc.save(folder / "plain.npz", tree, layout=layout, metadata=metadata)
    unnoted = ship()
    noted = ship(made=_made(plan))
    with np.load(path) as arrays:
        program = arrays["program"].tobytes()
    weights = jax.tree.leaves(jc.dense(tree))
    calls = {
        PEER: functools.partial(_deserialized, program, weights, x),
        WITH_LOAD: functools.partial(_loaded, program, path, x),
        OPENED: functools.partial(_opened, path, x),
    }
    seconds = interleaved(calls, ROUNDS, time.process_time)
    return {
        "network": name,
        "layout": layout,
        "parameters": jc.count_parameters(params),
        "plain_bytes": plain,
        "program_bytes": unnoted - plain,
        "made_bytes": noted - unnoted,
        "times_as_long": {peer: ratio(seconds, OPENED, peer) for peer in (PEER, WITH_LOAD)},
        "seconds": {way: statistics.median(times) for way, times in seconds.items()},
        "minutes": minutes(),
    }


def _made(plan: Settings) -> dict[str, Any]:
    """Return what `run.py` says of a run without a budget."""
    stages = [
        {"name": stage, "accuracy": round(0.95 - n / 137, 6), "bytes": 1_155_390 // (n + 1)}
        for n, stage in enumerate(_STAGES)
    ]
    images = {"train": 1257, "test": 540}
    found = {"command": command_of(plan), "seed": plan.seed, "data": plan.data, "images": images}
    return found | {"stages": stages, "checks": []}


def _deserialized(program: bytes, weights: list[jax.Array], x: jax.Array) -> Any:
    call = jax.export.deserialize(bytearray(program)).call
    return jc.jit_for_inference(call).lower(weights, [x]).compile()


def _loaded(program: bytes, path: Path, x: jax.Array) -> Any:
    return _deserialized(program, jax.tree.leaves(jc.load(path)), x)


def _opened(path: Path, x: jax.Array) -> Any:
    net = jc.open_function(path)
    call: Any = net.call
    return call.lower(net.weights, [x]).compile()


def main() -> None:
    """Measure all networks and write them down."""
    with tempfile.TemporaryDirectory() as folder:
        figures = [measure(name, layout, Path(folder)) for name in NETWORKS for layout in LAYOUTS]
    print(write(SHIP, seeds=[SEED], figures=figures).read_text())
