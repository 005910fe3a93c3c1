"""The bytes that each quantizer needs for the accuracy of 16 values a layer; no fine-tuning.

    python -m benchmarks.quantizers                     # networks trained on Fashion-MNIST
    python -m benchmarks.quantizers --nncodec PYTHON    # and NNCodec, run by that interpreter

Every network is shared by K-Means, 16 values a layer: its entropy bound (`B16`) and its accuracy
on the 5 000 validation images (`A16`) are the reference. The other quantizers try step sizes from
coarse to fine, each a factor of 2^(1/4) apart, in root mean squares of the non-zero weights. The
first one that reaches `A16 - 0.002` is taken. 0.2 points are 10 images, so a setting may pass by
luck, ours as well as a peer's; test accuracies show it. (The first 1 000 images decide where a
setting is far off.) Test images are read once, for the setting that was taken.

`fit_levels` sees the first 1 024 training images, without labels, and damages of 1 to 0.001, each a
factor of 2^(1/2) apart: steps 2^(1/4) apart as well; `compress` makes its files.

Sizes are bytes of files in layout entropy, manifest and digests included. Only kernels are
quantized; other leaves are float32 in our files, and of 16 bits with `fit_levels`. NNCodec codes
these too, at its own choice of about 20 bits; `float32_rank1_bytes` is its size with 4 bytes each
instead. It is tried with dependent quantization and without, with `lambda_scale` 0 (its default)
and 0.5, and the smallest result is taken.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxcompress as jc
from benchmarks.lib.networks import SEED, TRAININGS, accuracy_of, networks, plain_arrays
from benchmarks.lib.nncodec import nncodec
from benchmarks.lib.record import merge
from benchmarks.quantizers.fitted import DAMAGES, Fitting, fitting
from benchmarks.quantizers.table import QUANTIZERS
from jaxcompress.artifact import encode
from jaxcompress.nnx import Params
from jaxcompress.oneshot import SHARING, weights_of
from pipelines.data import load
from pipelines.data.dataset import Split

SPARSITIES = [0.5, 0.9]
TOLERANCE = 0.002
STEP_SIZES = [2 ** (-i / 4) for i in range(-6, 13)]  # 2.83 to 0.13
LAMBDA_SCALES = [0.0, 0.5]
FAR, FEW = 0.05, 1000

Accuracy = Callable[[Params], float]
Accept = Callable[[Params], float | None]


class Candidate(NamedTuple):
    """A quantized network.

    Attributes:
        setting: how finely.
        params: its dense params.
        size: gives the fields of its row that say how large it is.
        more: other fields of its row.
    """

    setting: str
    params: Params
    size: Callable[[], dict[str, int]]
    more: Mapping[str, Any] = {}


def ours(name: str, setting: float, params: Params) -> Candidate:
    """Return what one of our quantizers makes of a network."""
    shared = SHARING[name].technique(setting, weights_of(params))(params)
    return _sized(f"{setting:.4g}", shared)


def without_importance(name: str, step_size: float, params: Params) -> Candidate:
    """Return the same with squared errors that count alike in all layers."""
    weights = weights_of(params).step_size(step_size)
    if name == "uniform":
        return _sized(f"{step_size:.4g}", jc.uniform(params, weights))
    return _sized(
        f"{step_size:.4g}", jc.entropy_constrained(params, jc.sharing.high_rate_weight(weights))
    )


def _sized(setting: str, shared: Params) -> Candidate:
    def size() -> dict[str, int]:
        return {
            "bound_bytes": round(jc.metrics.entropy_bound_bytes(shared)),
            "file_bytes": len(encode(shared, layout="entropy")),
        }

    return Candidate(setting, jc.dense(shared), size)


Quantize = Callable[[str, float, Params], Candidate]


def scan(quantize: Quantize, name: str, params: Params) -> Iterator[Candidate]:
    """Yield what a quantizer makes of a network, from coarse to fine."""
    for step_size in STEP_SIZES:
        yield quantize(name, step_size, params)


def fits(found: Fitting) -> Iterator[Candidate]:
    """Yield what a network becomes by data, from coarse to fine."""
    for damage in DAMAGES:
        tree = found.at(damage)
        more = {"gap_bits": round(found.gap(tree), 4)}
        yield _sized(f"{damage:.4g}", tree)._replace(more=more)


@contextmanager
def coded(python: Path, params: Params) -> Iterator[list[Iterable[Candidate]]]:
    """Give what NNCodec makes of a network, from coarse to fine for each way to run it.

    Args:
        python: an interpreter that has NNCodec.
        params: the network. Kernels are handed over with output channels first, as NNCodec is used
            to from PyTorch.
    """
    arrays = {name: _output_first(array) for name, array in plain_arrays(params).items()}
    rank1 = sum(array.nbytes for array in arrays.values() if array.ndim < 2)
    unit = 4 * math.log2(weights_of(params).step_size(1))
    qps = [round(unit + 4 * math.log2(s)) for s in STEP_SIZES]
    with nncodec(python, arrays) as code:

        def candidate(setting: str) -> Candidate:
            made = code(setting)
            whole = len(made.stream)
            size = {"file_bytes": whole, "float32_rank1_bytes": whole - made.rank1_bytes + rank1}
            leaves = [_output_last(made.arrays[name]) for name in arrays]
            tree = jax.tree.unflatten(jax.tree.structure(params), leaves)
            return Candidate(setting, tree, lambda: size)

        ways = [f"{kind} {scale:g}" for kind in ("dq", "scalar") for scale in LAMBDA_SCALES]
        yield [map(candidate, [f"{qp} {way}" for qp in qps]) for way in ways]


def _output_first(array: np.ndarray) -> np.ndarray:
    """Return a kernel of shape `[..., in, out]` as `[out, in, ...]`."""
    if array.ndim < 2:
        return array
    return np.ascontiguousarray(np.moveaxis(array, (-1, -2), (0, 1)))


def _output_last(array: np.ndarray) -> np.ndarray:
    return array if array.ndim < 2 else np.ascontiguousarray(np.moveaxis(array, (0, 1), (-1, -2)))


def chosen(
    candidates: Iterable[Candidate], passes: Accept, most_bytes: float = math.inf
) -> tuple[Candidate, float] | None:
    """Return the coarsest candidate that passes, and its accuracy.

    Args:
        candidates: from coarse to fine.
        passes: returns the accuracy, or None if it is too low.
        most_bytes: where finite, files that are not smaller need not be looked at.
    """
    for candidate in candidates:
        if most_bytes < math.inf and candidate.size()["file_bytes"] >= most_bytes:
            return None
        found = passes(candidate.params)
        if found is not None:
            return candidate, found
    return None


def smallest(ways: Iterable[Iterable[Candidate]], passes: Accept) -> tuple[Candidate, float] | None:
    """Return what is chosen in the way of the smallest file."""
    best: tuple[Candidate, float] | None = None
    for way in ways:
        most_bytes = math.inf if best is None else best[0].size()["file_bytes"]
        best = chosen(way, passes, most_bytes) or best
    return best


def compare(
    params: Params,
    validate: Accuracy,
    test: Accuracy,
    glance: Accuracy,
    python: Path | None,
    *,
    data: Fitting,
    equal_importance: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield one row for each method, K-Means first.

    Args:
        params: the network.
        validate: accuracy on what settings are chosen by.
        test: accuracy on what is reported.
        glance: accuracy on a few of the first.
        python: an interpreter that has NNCodec.
        data: what images say of the network.
        equal_importance: whether to try our quantizers without `size_importance` as well.
    """
    reference = ours("kmeans", 16, params)
    bound, reached = reference.size()["bound_bytes"], validate(reference.params)

    def row(method: str, candidate: Candidate, validation: float) -> dict[str, Any]:
        size = candidate.size()
        return {
            "method": method,
            "setting": candidate.setting,
            **size,
            **candidate.more,
            "times_kmeans16_bound": round(size["file_bytes"] / bound, 4),
            "validation_accuracy": validation,
            "test_accuracy": test(candidate.params),
        }

    def passes(candidate: Params) -> float | None:
        least = reached - TOLERANCE
        if glance(candidate) < least_glance:
            return None
        found = validate(candidate)
        return found if found >= least else None

    least_glance = glance(reference.params) - FAR
    methods: dict[str, list[Iterable[Candidate]]] = {}
    for name in ("uniform", "entropy"):
        methods[name] = [scan(ours, name, params)]
        if equal_importance:
            methods[f"{name}, equal importance"] = [scan(without_importance, name, params)]
    methods["fitted"] = [fits(data)]
    yield row("kmeans", reference, reached)
    chosen_of = {method: smallest(ways, passes) for method, ways in methods.items()}
    if python is not None:
        with coded(python, params) as ways:
            chosen_of["nncodec"] = smallest(ways, passes)
    for method, found in chosen_of.items():
        if found is None:
            print(f"{method}: no setting keeps the accuracy", file=sys.stderr)
        else:
            yield row(method, *found)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, default=Path("runs/networks"), metavar="DIR")
    parser.add_argument("--nncodec", type=Path, metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--equal-importance", action="store_true", help="try ours without it, too")
    parser.add_argument("--nets", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[SEED])
    arguments = parser.parse_args()
    more = " --equal-importance" if arguments.equal_importance else ""
    more += " --nncodec PYTHON" if arguments.nncodec else ""
    for name, seed in itertools.product(arguments.nets, arguments.seeds):
        measure(name, seed, arguments, more)


def measure(name: str, seed: int, arguments: argparse.Namespace, more: str) -> None:
    """Write the rows of a network, at each sparsity."""
    data = load("fashion_mnist")
    network = networks(name, SPARSITIES, arguments.networks, seed)
    few = Split(images=data.validation.images[:FEW], labels=data.validation.labels[:FEW])
    splits = (data.validation, data.test, few)
    on_validation, on_test, on_few = (accuracy_of(network, split) for split in splits)
    for sparsity, params in network.pruned.items():
        stats = network.stats[sparsity]
        rows = compare(
            params,
            lambda p, s=stats: on_validation(p, s),
            lambda p, s=stats: on_test(p, s),
            lambda p, s=stats: on_few(p, s),
            arguments.nncodec,
            data=fitting(network, sparsity, data.train),
            equal_importance=arguments.equal_importance,
        )
        for row in rows:
            row = {"net": name, "sparsity": sparsity, "seed": seed} | row
            print(row, flush=True)
            merge(QUANTIZERS, row, key=_place, command=lambda rows: _command(rows) + more)


_METHODS = ("kmeans", "uniform", "entropy", "fitted", "nncodec")


def _place(row: dict[str, Any]) -> tuple[int, float, int, int, str]:
    """Return where a row stands, and what it is told apart by."""
    method = row["method"].partition(",")[0]
    place = list(TRAININGS).index(row["net"]), row["sparsity"], row["seed"]
    return *place, _METHODS.index(method), row["method"]


def _command(rows: list[dict[str, Any]]) -> str:
    nets = " ".join(dict.fromkeys(row["net"] for row in rows))
    seeds = " ".join(map(str, sorted({row["seed"] for row in rows})))
    return f"python -m benchmarks.quantizers --nets {nets} --seeds {seeds}"
