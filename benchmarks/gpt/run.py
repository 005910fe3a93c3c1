"""The language model made smaller after training, beside GGUF's formats: bytes, perplexity, KL.

    apt-get download manpages manpages-dev
    python -m benchmarks.gpt.train --packages . --out runs/gpt
    python -m benchmarks.gpt --packages . --network runs/gpt/gpt.npz --ggml ggml/bin/libggml-base.so

Pages for training calibrate both sides, one draw of them a seed; pages for testing judge. GGUF's
importance matrix is of the same tokens as our moments. Rows are written one by one; existing rows
are not made again. `benchmarks.gpt.ggml` says where the library of GGUF's quantizers comes from.
"""

import argparse
import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import jaxcompress as jc
from benchmarks.gpt import ggml, mixtures
from benchmarks.gpt.methods import Given, divergence, fitted
from benchmarks.gpt.table import GPT
from benchmarks.gpt.train import CONFIG, texts
from benchmarks.lib.record import merge, rows_of
from jaxcompress.typing import PyTree
from nets.families import build
from pipelines.models.train import cross_entropy

COMMAND = (
    "python -m benchmarks.gpt --packages . --network runs/gpt/gpt.npz "
    "--ggml ggml/bin/libggml-base.so"
)
WINDOWS, JUDGED, ROWS = 256, 128, 16
SEEDS = (0, 1)

DAMAGES = {0.0001: (0,), 0.0003: SEEDS, 0.001: (0,), 0.003: SEEDS, 0.01: (0,), 0.03: SEEDS}
"""Divergences that the step sizes of all tensors shall add up to, and the seeds of each."""

OF_GGUF = ("Q8_0", "Q4_0")
OF_GGML = ("Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "IQ4_XS", "IQ3_S", "IQ3_XXS")
BUDGETS = (2.75, 3.25, 4.25, 5.5)
"""Bits a weight of matrices, of mixtures by measured damage."""


class Way(NamedTuple):
    """A row of the table.

    Attributes:
        name: of the row.
        quantizer: who rounds: `ours`, `gguf` or `ggml`.
        small: writes a file and returns what it holds, dense.
        seeds: draws of calibration that it is made with.
    """

    name: str
    quantizer: str
    small: Callable[["Study", Path], PyTree]
    seeds: tuple[int, ...] = (0,)


class Study:
    """What one draw of pages for calibration gives.

    Args:
        given: of our way, whose moments serve GGUF as well.
        library: quantizers of ggml.
    """

    def __init__(self, given: Given, library: ggml.Quantize) -> None:
        self.given, self.library = given, library

    @functools.cached_property
    def matrices(self) -> dict[str, ggml.Matrix]:
        """Kernels and tables as GGUF has them."""
        return ggml.matrices(self.given.params, self.given.moments)

    @functools.cached_property
    def choices(self) -> dict[str, list[mixtures.Choice]]:
        """What each format of GGUF makes of each matrix."""
        compiled = jc.jit_for_inference(self.given.apply)
        few = self.given.batches[0]
        exact = compiled(self.given.params, few)

        def damage(params: PyTree) -> float:
            return float(divergence(compiled(params, few), exact))

        return mixtures.choices(self.given.params, self.matrices, self.library, damage)

    def gguf(self, path: Path, kinds: ggml.Kinds, quantize: ggml.Quantize) -> PyTree:
        """Write a GGUF file and return what it holds."""
        ggml.save(path, self.given.params, self.matrices, quantize, kinds)
        return ggml.load(path, self.given.params)


def _ours(damage: float, study: Study, path: Path) -> PyTree:
    jc.save(path, fitted(study.given, damage), layout="entropy")
    return jc.load(path)


def _gguf(kind: str, study: Study, path: Path) -> PyTree:
    return study.gguf(path, mixtures.pure(kind), ggml.by_gguf)


def _ggml(kinds: ggml.Kinds, study: Study, path: Path) -> PyTree:
    return study.gguf(path, kinds, study.library)


def _chosen(bits: float, study: Study, path: Path) -> PyTree:
    weights = sum(matrix.rows.size for matrix in study.matrices.values())
    kinds = mixtures.by_damage(study.choices, bits / 8 * weights)
    return study.gguf(path, kinds, study.library)


def ways() -> Iterator[Way]:
    """Yield the rows of the table."""
    for damage, seeds in DAMAGES.items():
        yield Way(f"damage {damage}", "ours", functools.partial(_ours, damage), seeds)
    for kind in OF_GGUF:
        yield Way(kind, "gguf", functools.partial(_gguf, kind))
    for kind in OF_GGML:
        small = functools.partial(_ggml, mixtures.pure(kind))
        yield Way(kind, "ggml", small)
    for name, kinds in mixtures.MIXTURES.items():
        small = functools.partial(_ggml, kinds)
        yield Way(f"{name}, mixed as llama.cpp does", "ggml", small)
    for bits in BUDGETS:
        name = f"mixed by measured damage, {bits} bits"
        yield Way(name, "ggml", functools.partial(_chosen, bits))


class Judge:
    """Measures networks on test pages.

    Args:
        apply: of the network.
        params: of the network in float32.
        windows: `[n, t + 1]` tokens.
    """

    def __init__(self, apply: Callable, params: PyTree, windows: np.ndarray) -> None:
        self._compiled = jc.jit_for_inference(apply)
        self._batches = [windows[at : at + ROWS] for at in range(0, len(windows), ROWS)]
        self._exact = [self._logits(params, batch) for batch in self._batches]
        self._measure = jax.jit(
            lambda found, exact, next_ones: (
                cross_entropy(found, next_ones),
                divergence(found, exact),
            )
        )

    def _logits(self, params: PyTree, batch: np.ndarray) -> jax.Array:
        return self._compiled(params, batch[:, :-1])

    def __call__(self, params: PyTree) -> tuple[float, float]:
        """Return perplexity and mean KL to the float32 network, in nats."""
        pairs = zip(self._batches, self._exact, strict=True)
        found = [self._measure(self._logits(params, b), exact, b[:, 1:]) for b, exact in pairs]
        loss, divergence = np.mean(np.asarray(found, np.float64), axis=0)
        return float(np.exp(loss)), float(divergence)


def main() -> int:
    """Compress the network in every way and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the .deb files")
    parser.add_argument("--network", type=Path, required=True, help="from benchmarks.gpt.train")
    parser.add_argument("--ggml", type=Path, required=True, help="libggml-base.so")
    parser.add_argument("--only", default="", help="ways whose names have this in them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))
    return 0


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Write the figures of each way down, but of those that are there."""
    data, params, net = texts(arguments.packages), jc.load(arguments.network), build(CONFIG)

    def apply(params: PyTree, tokens: jax.Array) -> jax.Array:
        return net.apply(params, {}, tokens)

    judge = Judge(apply, params, data.test[:: len(data.test) // JUDGED][:JUDGED])
    perplexity, _ = judge(params)
    counts = np.bincount(data.train[:, 1:].ravel(), minlength=CONFIG.vocabulary)
    library = ggml.by_library(arguments.ggml)
    order = [way.name for way in ways()]
    done = {(row["name"], row["seed"]) for row in rows_of(GPT)}
    for seed in SEEDS:
        chosen = np.random.default_rng(seed).choice(len(data.train), WINDOWS, replace=False)
        tokens = data.train[chosen, :-1]
        batches = [tokens[at : at + ROWS] for at in range(0, WINDOWS, ROWS)]
        study = Study(Given(apply, params, batches, counts), library)
        for way in ways():
            if seed not in way.seeds or (way.name, seed) in done or arguments.only not in way.name:
                continue
            path = folder / "small.npz"
            found = judge(way.small(study, path))
            row = {
                "name": way.name,
                "quantizer": way.quantizer,
                "seed": seed,
                "weights": sum(leaf.size for leaf in jax.tree.leaves(params)),
                "file_bytes": path.stat().st_size,
                "perplexity": found[0],
                "divergence": found[1],
                "perplexity_float32": perplexity,
                "tokens": JUDGED * data.test[:, 1:].shape[1],
            }
            print(json.dumps(row), flush=True)
            key = lambda row: (order.index(row["name"]), row["seed"])  # noqa: E731
            merge(GPT, row, key=key, command=lambda _: COMMAND)
