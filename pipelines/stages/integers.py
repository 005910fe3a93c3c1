"""Quantization: integers in place of floats, simulated, trained and run."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress import jit_for_inference as jit
from jaxcompress.costs import threads, times_ms
from jaxcompress.nnx import Params
from jaxcompress.onnx import OnnxFile, export_onnx, onnx_function
from jaxcompress.quantization import (
    MOST_BITS,
    Grid,
    QParams,
    histogram,
    make_grid,
    read,
    usual_estimator,
)
from jaxcompress.scopes import named_leaves, nested
from jaxcompress.typing import PyTree
from pipelines.models import Inputs
from pipelines.models.train import by_batches
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.stages.files import (
    BASELINE,
    read_plain,
    size_of,
    write_compressed,
    write_plain,
)
from pipelines.stages.stage import Execution, Facts, Recipe, Run, Stage, Trainer, Work
from pipelines.stages.training import adamw, pruned_epochs, schedule

MODULES = ("jax2onnx", "onnxruntime")
TRACED = 2  # pictures; their number does not change the result
CALIBRATION = 1024  # training images for calibration
FITTED = 256  # training images for fitting the rounding to fewer than 8 bits
EXPORTED = 64  # training images on which a file is compared with its network


def fold(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Fold norms into the weights before them; without norms nothing changes."""
    tree = jc.fold_norms(job.apply, work.tree, job.sample(EXPORTED))
    return work._replace(params=tree["params"], stats=tree["stats"]), {}


def quantize_weights(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Round weights to integers, and calibrate the inputs of layers, without training."""
    apply, plan = _with_stats(job, work), job.plan
    axes = jc.quantization.channel_axes(apply, work.params, job.sample(TRACED))
    quantized = jc.quantize(
        work.params,
        plan.weight_bits,
        granularity=jc.quantization.per_channel(axes),
        scope=lambda path, leaf: path in axes,
    )
    if plan.weight_bits < 8:
        moments = jc.quantization.input_moments(apply, work.params, job.batches(FITTED))
        quantized = jc.fit_rounding(work.params, quantized, moments)
    ranges = jc.calibrate(apply, work.params, job.batches(CALIBRATION))
    grid = _grid(plan)
    qparams = ranges.qparams(grid, usual_estimator(grid))
    return rounded_work(work, quantized, qparams, grid), {"left_float": dict(ranges.left_float)}


def tune_quantized(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the float weights on with everything rounded, statistics frozen at the end."""
    epochs, ends = pruned_epochs(job.plan), work.ends
    start, net = read_plain(job.folder / BASELINE), job.classifier.net

    def frozen(params: Params, stats: Params, x: Any) -> tuple[jax.Array, Params]:
        return net.apply(params, stats, x), stats

    live, settled = (
        jc.quantization_aware(
            function, ranges_of(ends), bits=job.plan.bits, weight_bits=job.plan.weight_bits
        )
        for function in (net.apply_training, frozen)
    )
    x = job.classifier.view(job.sample(TRACED))
    trainable = settled.init(start.params, start.stats, x)
    rate = schedule(job.plan.lr, job.steps(epochs))
    tx = optax.partition(
        {"params": adamw(job, epochs), "steps": optax.adam(rate)},
        {"params": "params", "steps": "steps"},
    )
    nets = {epochs: net._replace(apply_training=settled.apply)}
    if start.stats:
        nets = {epochs * 2 // 3: net._replace(apply_training=live.apply)} | nets
    trained = job.fit(start._replace(params=trainable), tx, epochs=epochs, nets=nets)
    qparams = jax.device_get(settled.activation_qparams(trained.params))
    return rounded_work(trained, settled.quantize(trained.params), qparams, _grid(job.plan)), {}


def simulate(job: Trainer, work: Work) -> Execution:
    """Return the execution of the network with simulated integers."""
    plan = job.plan
    sim = jc.quantization.fake_quantized(
        _with_stats(job, work), ranges_of(work.ends), bits=plan.bits, weight_bits=plan.weight_bits
    )
    compiled, quantized, devices = jit(sim), job.devices.whole(work.quantized), job.devices
    return Execution(
        "simulated",
        lambda inputs: by_batches(lambda x: compiled(quantized, x), inputs, devices=devices),
    )


FLOAT_FILE, INTEGER_FILE = "float32.onnx", "int8.onnx"


def export_floats(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Write the network for ONNX Runtime in floats."""
    x = job.sample(EXPORTED)
    return work, _facts(
        export_onnx(job.folder / FLOAT_FILE, _with_stats(job, work), work.params, x)
    )


def export_integers(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Write the network for ONNX Runtime with integers, and compare it with the simulation."""
    written = export_onnx(
        job.folder / INTEGER_FILE,
        _with_stats(job, work),
        work.quantized,
        job.sample(EXPORTED),
        int8=ranges_of(work.ends),
    )
    x = job.sample(CALIBRATION)
    real, simulated = (
        how(job, work).logits(x).argmax(axis=1) for how in (run_file(INTEGER_FILE), simulate)
    )
    return work, _facts(written) | {"agreement": float(np.mean(real == simulated))}


def run_file(file: str) -> Callable[[Trainer, Work], Execution]:
    """Return the execution of a file by ONNX Runtime."""

    def execute(job: Trainer, work: Work) -> Execution:
        del work
        function = onnx_function(job.folder / file, threads=threads())

        return Execution(
            "integers" if file == INTEGER_FILE else "float",
            lambda inputs: by_batches(function, inputs, EXPORTED),
            lambda inputs: times_ms(lambda: function(inputs)),
        )

    return execute


def _exported(name: str, run: Run, file: str) -> Stage:
    return Stage(name, run, size_of, file, execute=run_file(file))


_FOLD = Stage("folded", fold, write_plain, "stages/folded.npz")
_QUANTIZE = Stage(
    "quantized", quantize_weights, write_compressed, "stages/quantized.npz", execute=simulate
)
_TUNE = Stage(
    "quantized + tuned",
    tune_quantized,
    write_compressed,
    "stages/quantized_tuned.npz",
    pruned_epochs,
    simulate,
)
_EXPORT_FLOATS = _exported("onnx float32", export_floats, FLOAT_FILE)
_EXPORT_INTEGERS = _exported("onnx int8", export_integers, INTEGER_FILE)


def trained(plan: Settings) -> Sequence[Stage]:
    """Return the stages of training with integers; only those of 8 bits can be run."""
    rounded = (_QUANTIZE, _TUNE)
    return (_EXPORT_FLOATS, *rounded, _EXPORT_INTEGERS) if plan.bits == 8 else rounded


def _with_stats(job: Trainer, work: Work) -> Callable[[Params, Inputs], Any]:
    """Return the network as a function of parameters and inputs alone."""
    return lambda params, inputs: job.apply(work._replace(params=params).tree, inputs)


def rounded_work(work: Work, quantized: PyTree, qparams: Mapping[str, QParams], grid: Grid) -> Work:
    """Return `work` with rounded weights, and the ends of grids, from which all else follows."""
    ends = {
        name: np.float32(scale) * (np.array([grid.lowest, grid.highest], np.float32) - zero_point)
        for name, (scale, zero_point) in qparams.items()
    }
    return work._replace(params=jc.dense(quantized), quantized=quantized, ends=nested(ends.items()))


def ranges_of(ends: Params | None) -> jc.quantization.Ranges:
    """Return ranges of two numbers each, which give the same grids again."""
    named = named_leaves(ends)
    readings = jax.device_get([read(jnp.asarray(pair)) for pair in named.leaves])
    return jc.quantization.Ranges(dict(zip(named.paths, map(histogram, readings), strict=True)), {})


def _grid(plan: Settings) -> Grid:
    return make_grid(plan.bits, symmetric=False)


def _facts(written: OnnxFile) -> Facts:
    return {
        "difference": written.difference,
        "difference_simulated": written.difference_simulated,
        "integer_kernels": dict(written.integer_kernels),
        "left_float": dict(written.left_float),
    }


# Options and recipes

_BITS = 8

OPTIONS = (
    Option(
        name="bits",
        kind="whole",
        default=_BITS,
        bounds=(2, MOST_BITS),
        metavar="N",
        help="of the integers that layers take as inputs, 2 to 8; only those of 8 run",
        recorded="bits",
        unused=0,
    ),
    Option(
        name="weight_bits",
        kind="whole",
        default=lambda settings: settings.get("weight_bits") or settings.get("bits", _BITS),
        shown="as --bits",
        bounds=(1, MOST_BITS),
        metavar="N",
        help="of the integers that weights are rounded to, 1 to 8; 1 is binary, 2 is ternary",
        recorded="weight_bits",
        unused=0,
    ),
)


def _needs(settings: Settings) -> str:
    missing = [module for module in MODULES if find_spec(module) is None]
    if not missing or settings.get("bits", _BITS) < _BITS:
        return ""
    return (
        f"{', '.join(missing)} to run integers of 8 bits, which is not installed; "
        "pip install -e '.[run,onnx]'"
    )


RECIPES = {
    "int8": Recipe(
        "fold norms, calibrate, round to integers, export to ONNX and run that",
        ("weight_bits",),
        (_FOLD, _EXPORT_FLOATS, _QUANTIZE, _EXPORT_INTEGERS),
        _needs,
        fixed={"bits": _BITS},
    ),
    "qat": Recipe(
        "int8, with training that sees the rounding, to any number of bits",
        ("bits", "weight_bits"),
        (trained,),
        _needs,
    ),
}
