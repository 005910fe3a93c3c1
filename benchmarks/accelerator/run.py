"""The library on a GPU or TPU: what is the same as on the processor, and what it costs there.

    python -m benchmarks.accelerator

Without an accelerator it says so and measures nothing. Times are ratios to a peer on the same
device, called in turn.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from benchmarks.accelerator.table import ACCELERATOR
from benchmarks.lib.code import ROOT
from benchmarks.lib.record import write
from benchmarks.lib.steps import training_steps
from benchmarks.lib.timing import interleaved, ratio
from jaxcompress import jit_for_inference
from jaxcompress.leaves import Quantized

SEED = 0
TESTS = ("tests/promises", "tests/leaves", "tests/sharing", "tests/optim", "tests/execution")


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
        width: of square weights.
        batches: of inputs.
        model: that is trained.
        rounds: of calls.
    """

    width: int = 4096
    batches: tuple[int, ...] = (1, 32, 256)
    model: str = "cifar-wide"
    rounds: int = 30


SMALL = Sizes(64, (2,), "lenet-300-100", 2)
"""To try the program itself."""

Rows = list[dict[str, Any]]


def row(
    what: str, peer: str, found: Any, expected: Any, times_peer: float | None = None
) -> dict[str, Any]:
    """Return a row: how far a result is from the expected one, and how long it took."""
    pairs = [
        (np.asarray(one), np.asarray(other))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    ]
    differences = [np.abs(np.float64(one) - np.float64(other)).max() for one, other in pairs]
    return {
        "what": what,
        "peer": peer,
        "same_bits": all(one.tobytes() == other.tobytes() for one, other in pairs),
        "largest_difference": float(max(differences)),
        "times_peer": times_peer,
    }


def weights(width: int) -> Quantized:
    """Return random weights of 4 bits, about 3 bits of entropy each."""
    values = np.random.default_rng(SEED).standard_normal((width, width), np.float32)
    scale = np.full((1, width), 0.4 / np.sqrt(width), np.float32)
    rounded = np.round(2.5 * values).clip(-8, 7).astype(np.int8)
    return Quantized(values=rounded, scale=scale, bits=4)


def on(device: Any, function: Callable[[], Any]) -> Any:
    """Return the result of a function that JAX runs on a device, on the host."""
    with jax.default_device(device):
        return jax.device_get(function())


def decoding(device: Any, host: Any, sizes: Sizes) -> Rows:
    """Decode entropy-coded words to weights on the device, and use them there."""
    rows = []

    def layer(params: Any, x: jax.Array) -> jax.Array:
        return x @ params["kernel"]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        jc.save(path, {"kernel": weights(sizes.width)})
        plain = jc.load(path)

        def decoded() -> Any:
            coded = jc.load_compressed(path, coded=True)
            return jax.jit(jc.execute(layer))(coded, jnp.eye(sizes.width))

        rows.append(row("coded words -> weights", "the processor", on(device, decoded), plain))
        with jax.default_device(device):
            coded = jax.device_put(jc.load_compressed(path, coded=True), device)
            dense = jax.device_put(plain, device)
    for batch in sizes.batches:
        x = jax.device_put(np.float32(np.random.default_rng(1).normal(size=(batch, sizes.width))))
        x = jax.device_put(x, device)
        ways = {
            "coded": (jit_for_inference(jc.execute(layer)), coded),
            "float32": (jit_for_inference(layer), dense),
        }
        rows.append(_beside(f"product of {batch} rows, coded weights", ways, x, sizes))
    return rows


def products(device: Any, host: Any, sizes: Sizes) -> Rows:
    """Multiply with 8-bit weights that keep a byte each."""
    del host
    rng = np.random.default_rng(SEED)
    values = rng.integers(-127, 128, (sizes.width, sizes.width)).astype(np.int8)
    scale = rng.uniform(0.5, 1, (1, sizes.width)).astype(np.float32) / 127
    leaf = jax.device_put(
        Quantized(values=jnp.asarray(values), scale=jnp.asarray(scale), bits=8), device
    )
    rows = []
    for batch in sizes.batches:
        x = jax.device_put(np.float32(rng.normal(size=(batch, sizes.width))), device)
        product = jc.execute(lambda kernel, x: x @ kernel)
        pair = {
            "8 bits": (jit_for_inference(product), leaf),
            "float32": (jit_for_inference(lambda kernel, x: x @ kernel), jc.dense(leaf)),
        }
        rows.append(_beside(f"product of {batch} rows, 8-bit weights", pair, x, sizes))
    return rows


def _beside(what: str, ways: dict[str, Any], x: Any, sizes: Sizes) -> dict[str, Any]:
    """Return the row of the first way beside the second, on the same device."""
    calls = {
        name: lambda call=call, params=params: jax.block_until_ready(call(params, x))
        for name, (call, params) in ways.items()
    }
    first, second = calls
    seconds = interleaved(calls, sizes.rounds)
    found, expected = calls[first](), calls[second]()
    return row(what, f"{second} weights", found, expected, ratio(seconds, first, second))


def choices(device: Any, host: Any, sizes: Sizes) -> Rows:
    """Choose masks and shared values where the weights lie."""
    shape = (sizes.width, sizes.width)
    values = np.random.default_rng(2).standard_normal(shape).astype(np.float32)

    def mask() -> Any:
        return jc.magnitude_mask({"w": jnp.asarray(values)}, 0.9)

    def codes() -> Any:
        return jc.kmeans({"w": jnp.asarray(values)}, 16)

    return [
        row(name, "the processor", on(device, function), on(host, function))
        for name, function in (("magnitude_mask, 0.9", mask), ("kmeans, 16 values", codes))
    ]


def steps(device: Any, host: Any, sizes: Sizes) -> Rows:
    """Train with masks and shared weights beside the plain step."""
    del host
    with jax.default_device(device):
        calls, states, mask, shared = training_steps(sizes.model, seed=3)
        seconds = interleaved(calls, sizes.rounds)
        pruned = jax.tree.map(lambda leaf, kept: leaf * ~kept, states["hold_mask"].params, mask)
    nothing = jax.tree.map(np.zeros_like, pruned)
    sharing = jc.metrics.count_distinct(states["share_centroids"].params)
    return [
        row(
            f"step of {sizes.model} with hold_mask: removed weights are 0",
            "the plain step",
            pruned,
            nothing,
            ratio(seconds, "hold_mask", "plain"),
        ),
        row(
            f"step of {sizes.model} with share_centroids: as many values",
            "the plain step",
            np.int64(sharing),
            np.int64(jc.metrics.count_distinct(jc.dense(shared))),
            ratio(seconds, "share_centroids", "plain"),
        ),
    ]


PARTS: tuple[Callable[[Any, Any, Sizes], Rows], ...] = (decoding, products, choices, steps)


def tests(places: Sequence[str] = TESTS) -> dict[str, Any]:
    """Run tests of the core on what JAX chooses; return how many passed and failed, and which."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    last = (done.stdout.strip().splitlines() or [done.stderr])[-1]
    found = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed)", last)}
    return {
        "passed": found.get("passed", 0),
        "failed": found.get("failed", 0),
        "names": re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure where there is an accelerator, else say that there is none; return the status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator")
    parser.add_argument("--platform", default="", help=argparse.SUPPRESS)  # to try the program
    asked = parser.parse_args(argv)
    device = jax.devices(asked.platform or None)[0]
    if device.platform == "cpu" and not asked.platform:
        print("no GPU or TPU that JAX can use was found: nothing is measured, nothing is written")
        return 0
    host = jax.local_devices(backend="cpu")[0]
    sizes = SMALL if asked.platform == "cpu" else Sizes()
    parts = [found for part in PARTS for found in part(device, host, sizes)]
    figures = {"device": device.device_kind, "parts": parts}
    if asked.platform == "cpu":
        print(figures)
        return 0
    write(ACCELERATOR, seeds=[SEED], figures=figures | {"tests": tests()})
    return 0
