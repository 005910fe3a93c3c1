"""Quantization: the accuracy that integers cost, the bytes and the time that they save.

    python -m benchmarks.quantization accuracy --seeds 0 1 2     # Fashion-MNIST
    taskset -c 0 python -m benchmarks.quantization latency

Accuracy: networks are trained as `run.py --recipe int8` trains them, and kept in `--folder`. The
rows of that recipe, of `--recipe qat` and its control start from the same network; those of other
ways to round are made with the library. Rows are written after each network; existing rows are not
made again.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxcompress as jc
from benchmarks.lib.networks import images, of_run
from benchmarks.lib.record import merge, rows_of, write
from benchmarks.lib.runs import run
from benchmarks.lib.timing import interleaved, ratio
from benchmarks.quantization.table import ACCURACY, LATENCY
from jaxcompress.quantization import Estimator, Granularity
from jaxcompress.typing import PyTree
from pipelines.data import load
from pipelines.data.dataset import Dataset, Split
from pipelines.models import MODELS
from pipelines.models.train import by_batches, score
from pipelines.options.plan import planned
from pipelines.options.settings import Settings
from pipelines.stages.files import BASELINE, read_plain
from pipelines.stages.stage import Work
from pipelines.stages.table import stages_of

DATA = "fashion_mnist"
CALIBRATED, FITTED, BATCH = 1024, 256, 128  # training images
NEAREST, FITTING, TRAINING = "nearest", "fitted to the inputs", "trained"


class Subject(NamedTuple):
    """A network to quantize: how long it is trained, and which weights are trained on in integers.

    Attributes:
        images: training images.
        epochs: of the float network.
        finetune: epochs with integers, and of the control.
        trained_bits: of weights in that training.
    """

    images: int
    epochs: int
    finetune: int
    trained_bits: tuple[int, ...]


SUBJECTS = {
    "cifar": Subject(20_000, 5, 2, (4, 2, 1)),
    "resnet20": Subject(12_000, 6, 2, (4,)),
    "cifar-wide": Subject(20_000, 3, 0, ()),
}


class Method(NamedTuple):
    """A way to round weights without training.

    Attributes:
        name: of the row.
        bits: of weights.
        options: of `quantize`.
        fits: whether the rounding is fitted to what the weights meet.
    """

    name: str
    bits: int
    options: dict[str, Granularity | Estimator] = {}
    fits: bool = False


METHODS = (
    Method(f"{NEAREST}, one grid a tensor", 8, {"granularity": jc.quantization.per_tensor}),
    Method(f"{NEAREST}, smallest to largest", 4, {"estimate": jc.quantization.min_max}),
    Method(NEAREST, 4),
    Method(FITTING, 4, fits=True),
    Method(NEAREST, 2),
    Method(FITTING, 2, fits=True),
    Method(NEAREST, 1),
    Method(FITTING, 1, fits=True),
)


def accuracy(seeds: list[int], models: list[str], folder: Path | None) -> None:
    """Train and quantize, for each network and seed."""
    done = {(row["model"], row["seed"]) for row in rows_of(ACCURACY)}
    for model in models:
        dataset = load(DATA, limit=SUBJECTS[model].images)
        for seed in seeds:
            if (model, seed) in done:
                continue
            with tempfile.TemporaryDirectory() as temporary:
                trained = (folder or Path(temporary)) / f"{model}-{seed}"
                found = _one(dataset, model, seed, trained, Path(temporary))
                merge(
                    ACCURACY,
                    {"model": model, "seed": seed} | found,
                    key=lambda row: (row["model"], row["seed"]),
                    command=_command,
                )


def _command(figures: list[dict[str, Any]]) -> str:
    seeds = " ".join(map(str, sorted({row["seed"] for row in figures})))
    return f"python -m benchmarks.quantization accuracy --seeds {seeds}"


def _one(dataset: Dataset, model: str, seed: int, trained: Path, folder: Path) -> dict[str, Any]:
    """Return the figures of one network, which is trained unless it is there."""
    subject = SUBJECTS[model]

    def plan(recipe: str, **more: Any) -> Settings:
        return planned(
            len(dataset.train),
            data=DATA,
            model=model,
            recipe=recipe,
            epochs=subject.epochs,
            finetune_epochs=subject.finetune or None,
            limit=subject.images,
            seed=seed,
            **more,
        )

    def rows(plan: Settings, without: tuple[str, ...] = ()) -> dict[str, Any]:
        copy = Path(shutil.copytree(trained, folder / f"{plan.recipe}-{plan.weight_bits}"))
        return {row.name: row for row in run(plan, dataset, copy, without=without)}

    first = plan("int8")
    if not trained.exists():
        run(first, dataset, trained, stop_before=stages_of(first)[1].name)
    integers = rows(first)
    figures: list[dict[str, Any]] = [
        _figure(8, NEAREST, integers["quantized"].accuracy),
        _figure(8, NEAREST, integers["onnx int8"].accuracy, "integers"),
    ]
    untrained = Untrained(dataset, model, read_plain(trained / BASELINE))
    figures += untrained.accuracies()
    control = None
    for bits in subject.trained_bits:
        with_control = bits == subject.trained_bits[0]
        found = rows(
            plan("qat", weight_bits=bits, control=with_control), ("onnx float32", "onnx int8")
        )
        figures.append(_figure(bits, TRAINING, found["quantized + tuned"].accuracy))
        control = found["control"].accuracy if with_control else control
    return {
        "images": subject.images,
        "epochs": subject.epochs,
        "finetune": subject.finetune,
        "float": integers["baseline"].accuracy,
        "control": control,
        "agreement": integers["onnx int8"].facts["agreement"],
        "float32_bytes": integers["baseline"].size_bytes,
        "int8_bytes": untrained.sizes(),
        "onnx_float32_bytes": integers["onnx float32"].size_bytes,
        "onnx_int8_bytes": integers["onnx int8"].size_bytes,
        "rounded": figures,
    }


def _figure(bits: int, how: str, accuracy: float, arithmetic: str = "simulated") -> dict[str, Any]:
    return {"weight_bits": bits, "how": how, "arithmetic": arithmetic, "accuracy": accuracy}


class Untrained:
    """A network that is rounded with the library, without training, and with int8 activations."""

    def __init__(self, dataset: Dataset, model: str, work: Work) -> None:
        net, view = of_run(model), MODELS[model].view
        inputs = np.asarray(MODELS[model].inputs(dataset.train.images[:CALIBRATED], 32))

        def apply(tree: PyTree, x: Any) -> Any:
            return net.apply(tree["params"], tree["stats"], view(x))

        def batches(count: int) -> list[np.ndarray]:
            return [inputs[start : start + BATCH] for start in range(0, count, BATCH)]

        self._tree = jc.fold_norms(apply, work.tree, inputs[:2])
        self._moments = jc.quantization.input_moments(apply, self._tree, batches(FITTED))
        ranges = jc.calibrate(apply, self._tree, batches(CALIBRATED))
        self._measure = _measure(jc.quantization.fake_quantized(apply, ranges), dataset.test, model)

    def accuracies(self) -> list[dict[str, Any]]:
        """Return a figure for each method, on test images."""
        figures = []
        for method in METHODS:
            rounded = jc.quantize(self._tree, method.bits, **method.options)  # type: ignore
            if method.fits:
                rounded = jc.fit_rounding(self._tree, rounded, self._moments)
            figures.append(_figure(method.bits, method.name, self._measure(rounded)))
        return figures

    def sizes(self) -> dict[str, int]:
        """Return the bytes of files of 8 bits."""
        grids = {"channel": jc.quantization.per_channel(), "tensor": jc.quantization.per_tensor}
        with tempfile.TemporaryDirectory() as folder:
            return {
                f"{layout}, {grid}": jc.save(
                    Path(folder) / "net.npz",
                    jc.quantize(self._tree, granularity=granularity),
                    layout=layout,
                )
                for layout in ("packed", "entropy")
                for grid, granularity in grids.items()
            }


def _measure(
    function: Callable[[PyTree, Any], Any], split: Split, model: str
) -> Callable[[PyTree], float]:
    """Return the accuracy of a function as a function of its parameters."""
    compiled = jc.jit_for_inference(function)
    inputs = np.asarray(MODELS[model].inputs(split.images, 32))

    def measure(tree: PyTree) -> float:
        logits = by_batches(lambda part: compiled(tree, part), inputs)
        return score(logits, split.labels).accuracy

    return measure


def latency(seeds: list[int], models: list[str], folder: Path | None) -> None:
    """Time ONNX Runtime in integers and floats, and JAX, in turn; untrained networks."""
    del seeds, models, folder
    figures = []
    for model in ("cifar-wide", "resnet20"):
        net, view = of_run(model), MODELS[model].view
        params, stats = net.init(jax.random.key(0))

        def apply(params: PyTree, x: Any) -> Any:
            return net.apply(params, stats, view(x))  # noqa: B023

        ranges = jc.calibrate(apply, params, [images(64)])
        with tempfile.TemporaryDirectory() as temporary:
            files = {"float32": None, "int8": ranges}
            written = {
                name: jc.export_onnx(
                    Path(temporary) / f"{name}.onnx", apply, params, images(64), int8=int8
                )
                for name, int8 in files.items()
            }
            runs = {name: jc.onnx_function(file.path, threads=1) for name, file in written.items()}
        compiled, on_device = jc.jit_for_inference(apply), jax.device_put(params)
        for batch in (1, 64):
            x = images(batch)
            peers: dict[str, Callable[[], Any]] = {
                "jax": lambda: jax.block_until_ready(compiled(on_device, x)),  # noqa: B023
                **{name: lambda call=call: call(x) for name, call in runs.items()},  # noqa: B023
            }
            seconds = interleaved(peers, 200 if batch == 1 else 20)
            figures.append(
                {
                    "model": model,
                    "batch": batch,
                    **{f"jax_times_{name}": ratio(seconds, "jax", name) for name in runs},
                    "integer_kernels": dict(written["int8"].integer_kernels),
                    "float32_bytes": written["float32"].size_bytes,
                    "int8_bytes": written["int8"].size_bytes,
                }
            )
    write(LATENCY, seeds=[0], figures=figures)


PARTS: dict[str, Callable[[list[int], list[str], Path | None], None]] = {
    "accuracy": accuracy,
    "latency": latency,
}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--folder", type=Path, help="of trained networks; default: kept nowhere")
    arguments = parser.parse_args()
    for part in arguments.parts:
        PARTS[part](arguments.seeds, arguments.models, arguments.folder)
