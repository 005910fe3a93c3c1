"""Several processes of one machine, and what the library makes of arrays that span them.

`python -m tests.helpers.processes HOST:PORT COUNT NUMBER FOLDER` is one of them. It writes what it
found to `FOLDER/COUNT-NUMBER.npz`.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def together(
    commands: Sequence[Sequence[str]], folder: Path, *, devices: int = 1, seconds: float = 400
) -> list[str]:
    """Run commands at once, with some devices each; return what they print.

    Raises:
        AssertionError: one fails or takes too long; the others are killed.
    """
    flags = f"--xla_force_host_platform_device_count={devices}"
    set_here = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    logs = [folder / f"{number}.log" for number in range(len(commands))]
    running: list[subprocess.Popen[bytes]] = []
    end = time.monotonic() + seconds
    try:
        for command, log in zip(commands, logs, strict=True):
            with log.open("wb") as out:
                running.append(
                    subprocess.Popen(
                        command, cwd=folder, env=os.environ | set_here, stdout=out, stderr=out
                    )
                )
        while any(one.poll() is None for one in running):
            said = "\n".join(log.read_text()[-3000:] for log in logs)
            assert not any(one.poll() for one in running), said
            assert time.monotonic() < end, f"not done after {seconds} s:\n{said}"
            time.sleep(0.1)
    finally:
        for one in running:
            one.kill()
            one.wait()
    said = [log.read_text() for log in logs]
    assert not any(one.returncode for one in running), "\n".join(said)
    return said


class Given(NamedTuple):
    """What a process computes with: arrays that span all, and its own part of the data."""

    params: Any
    places: Any
    batch: Any
    mine: Any
    host: Any
    folder: str


def apply(params: Any, x: Any) -> Any:
    import jax

    return jax.nn.relu(x @ params["in"]) @ params["out"] + params["bias"]


def given(count: int, number: int, folder: str) -> Given:
    """Return weights and data; the weights are whole numbers, so that sums of them are exact."""
    import jax
    import numpy as np
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    mesh = jax.make_mesh((len(jax.devices()),), ("x",), axis_types=(AxisType.Auto,))
    rng = np.random.default_rng(0)
    host = {
        "in": np.rint(8 * rng.normal(size=(16, 32))).astype("f"),
        "out": np.rint(8 * rng.normal(size=(32, 8))).astype("f"),
        "bias": np.rint(8 * rng.normal(size=8)).astype("f"),
    }
    places = {
        "in": NamedSharding(mesh, PartitionSpec("x")),
        "out": NamedSharding(mesh, PartitionSpec(None, "x")),
        "bias": NamedSharding(mesh, PartitionSpec()),
    }
    x = np.rint(4 * rng.normal(size=(32, 16))).astype("f")
    mine = np.split(x, count)[number]
    split = NamedSharding(mesh, PartitionSpec("x"))
    batch = jax.make_array_from_process_local_data(split, mine)
    return Given(jax.device_put(host, places), places, batch, mine, host, folder)


def trained(own: Given, tx: Any, params: Any) -> Any:
    import jax
    import optax

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> Any:
        slopes = jax.grad(lambda p: (apply(p, batch) ** 2).mean() / 1e4)(params)
        updates, state = tx.update(slopes, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(3):
        params, state = step(params, state, own.batch)
    return params


def shared(own: Given) -> Any:
    """Train centroids; return the tree of shared weights, and what is counted of it."""
    import optax

    import jaxcompress as jc

    start = jc.kmeans(own.params, 4)
    params = trained(own, jc.share_centroids(optax.adam(1e-2), start), jc.dense(start))
    leaves = jc.leaves.update_codebooks(start, params)
    return jc.dense(leaves), jc.metrics.count_distinct(params), jc.measure_sparsity(params)


def pruned(own: Given) -> Any:
    import optax

    import jaxcompress as jc

    mask = jc.magnitude_mask(own.params, 0.5)
    held = optax.chain(optax.adam(1e-2), jc.hold_mask(mask))
    gradual = optax.chain(optax.adam(1e-2), jc.gradual_pruning(0.5, begin=0, end=2))
    return trained(own, held, jc.apply_mask(own.params, mask)), trained(own, gradual, own.params)


def counted(own: Given) -> Any:
    """Calibrate over arrays that span processes, and over those of each, added."""
    import jax
    import numpy as np

    import jaxcompress as jc

    whole = jc.calibrate(apply, own.params, [own.batch])
    parts = jc.calibrate(apply, own.host, np.split(own.mine, 2)).over_processes()
    moments = jc.quantization.input_moments
    grams = moments(apply, own.params, [own.batch])
    added = moments(apply, own.host, np.split(own.mine, 2)).over_processes()
    refused = False
    if jax.process_count() > 1:
        for look in (jc.calibrate, moments):
            try:
                look(apply, own.params, [own.mine])
            except ValueError as error:
                refused = "make_array_from_process_local_data" in str(error)
            assert refused
    return [
        {name: (h.counts, h.zeros, h.exponent, h.low, h.high) for name, h in found.items()}
        for found in (whole, parts)
    ], [{path: [x.gram for x in own] for path, own in m.layers.items()} for m in (grams, added)]


def aware(own: Given) -> Any:
    import jax

    import jaxcompress as jc

    made = jc.quantization_aware(apply, jc.calibrate(apply, own.params, [own.batch]))
    trainable = made.init(own.params, own.batch)
    return jax.jit(made.apply)(trainable, own.batch), jc.dense(made.quantize(trainable))


def saved(own: Given) -> Any:
    """Save by the first process, load in all; a folder that is not there is an error in all."""
    import jax
    import numpy as np

    import jaxcompress as jc

    path = f"{own.folder}/model-{jax.process_count()}.npz"
    size = jc.save(path, jc.kmeans(own.params, 4), metadata={"by": "all"})
    assert size == os.path.getsize(path)
    failed = 0
    try:
        jc.save(f"{own.folder}/none/model.npz", own.params)
    except OSError:
        failed = 1
    gone = own.params["in"] + 0
    gone.delete()  # as a step of training does with what is donated to it
    try:
        jc.save(path + ".none", {"in": own.params["in"], "gone": gone})
    except (OSError, RuntimeError):
        failed += 1
    one = own.params["in"] + 0
    local = np.asarray(own.host["in"]) + jax.process_index()  # equal to it in the first alone
    jc.save(path + ".mixed", {"a": local, "b": one, "c": one + 0})
    template = jax.tree.map(lambda leaf: leaf + 0, own.params)
    return size, failed, jc.load(path, sharding=own.places), jc.load_into(path, template)


def erred(own: Given) -> Any:
    """Compare outputs; halves of a batch lie as the batch does."""
    import jaxcompress as jc
    from jaxcompress.oneshot import output_error
    from jaxcompress.products.shrinkage import halves

    parts = [part for half in halves([own.batch]) for part in half]
    assert all(part.sharding == own.batch.sharding for part in parts)
    return output_error(apply, own.params, jc.quantize(own.params, 4), parts)


def found(own: Given) -> dict[str, Any]:
    """Return what there is to compare, by name."""
    import jax

    import jaxcompress as jc

    return {
        "mask": jc.magnitude_mask(own.params, 0.5),
        "mask, compiled": jax.jit(lambda p: jc.magnitude_mask(p, 0.5))(own.params),
        "kmeans": jc.dense(jc.kmeans(own.params, 4)),
        "uniform": jc.dense(jc.uniform(own.params, 3.0)),
        "quantize": jc.dense(jc.quantize(own.params, 4)),
        "low rank": jc.dense(jc.low_rank(own.params, keep=0.5)),
        "execute": jax.jit(jc.execute(apply))(jc.quantize(own.params), own.batch),
        "counts": counted(own),
        "aware": aware(own),
        "pruned": pruned(own),
        "shared": shared(own),
        "output error": erred(own),
        "saved": saved(own),
    }


def main() -> None:
    coordinator, count, number, folder = sys.argv[1:]
    import jax

    if int(count) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, int(count), int(number))
    import numpy as np

    from jaxcompress.placement import on_host

    results = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(
        found(given(int(count), int(number), folder))
    ):
        results[jax.tree_util.keystr(keys, simple=True, separator=".")] = on_host(leaf)
    np.savez(f"{folder}/{count}-{number}.npz", **results)


if __name__ == "__main__":
    main()
