"""Calibration: the range of the inputs of each product of a function, on data."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import numpy as np

from jaxcompress.checks import check_concrete, check_together, nonempty_batches
from jaxcompress.compiled import jit_for_inference
from jaxcompress.kinds import native
from jaxcompress.leaves import dense
from jaxcompress.placement import exchanged, fetched
from jaxcompress.products.find import Product, trace_products
from jaxcompress.quantization._histogram import NOTHING, Histogram, Reading, histogram, read
from jaxcompress.quantization._least_error import mse_optimal
from jaxcompress.quantization.grids import Grid, QParams
from jaxcompress.quantization.ranges import Estimator, min_max
from jaxcompress.trace.inputs import as_inputs, check_inputs
from jaxcompress.trace.program import Equation, Program, bind
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import PyTree, is_floating


@dataclass(frozen=True, eq=False, repr=False)
class Ranges(Mapping[str, Histogram]):
    """Histograms of the inputs of each product, by name.

    The input of a product has the name of its weight. The operands of a product of two activations
    are `dot_general:0` and `dot_general:1`. Printed, it is a table.

    Attributes:
        histograms: by name.
        left_float: the reason for each input of a product without a histogram. It includes
            primitives that are not understood, such as a kernel of Pallas or a call of other code,
            by the path of each weight that they take, else by the name of the primitive.
    """

    histograms: Mapping[str, Histogram]
    left_float: Mapping[str, str]

    def __getitem__(self, name: str) -> Histogram:
        return self.histograms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.histograms)

    def __len__(self) -> int:
        return len(self.histograms)

    def qparams(self, grid: Grid, estimate: Estimator = min_max) -> dict[str, QParams]:
        """Return the scale of a grid on each range, float32, and the zero point if it is affine.

        Args:
            grid: the integers.
            estimate: chooses the range that a grid covers.
        """
        return {name: found.qparams(grid, estimate) for name, found in self.items()}

    def over_processes(self) -> Self:
        """Return the histograms of the data of all processes, where each took those of its own.

        All processes must call this. The sums are exact, since bins are as wide as a power of two
        and aligned to zero. Where `batches` were arrays that span processes, the histograms are
        already those of all.

        Gathered to the host: the histograms of all processes, 32 kB for each.
        """
        mine = {name: (found.as_json(), found.counts) for name, found in self.items()}
        told = json.dumps([{name: own for name, (own, _) in mine.items()}, dict(self.left_float)])
        every = [json.loads(text) for text in exchanged(told.encode())]
        counts = exchanged(b"".join(part.astype("<i8").tobytes() for _, part in mine.values()))
        found: dict[str, Histogram] = {}
        for (names, _), data in zip(every, counts, strict=True):
            rows = np.split(np.frombuffer(data, "<i8"), len(names)) if names else []
            for (name, own), row in zip(names.items(), rows, strict=True):
                found[name] = found.get(name, NOTHING) + Histogram(**own, counts=row)
        left = {name: why for _, reasons in every for name, why in reasons.items()}
        return replace(
            self,
            histograms={name: found[name] for name in [*self, *found]},
            left_float={name: why for name, why in left.items() if name not in found},
        )

    def __repr__(self) -> str:
        width = max(map(len, (*self, *self.left_float, "name")))
        rows = [f"{'name':{width}} {'low':>10} {'high':>10} {'zeros':>7} {'numbers':>12}"]
        rows += [
            f"{name:{width}} {found.low:10.4g} {found.high:10.4g} "
            f"{found.zeros / found.count:7.1%} {found.count:12,}"
            for name, found in self.items()
        ]
        rows += [f"{name:{width}} left float: {why}" for name, why in self.left_float.items()]
        return "\n".join(rows)


def usual_estimator(grid: Grid) -> Estimator:
    """Return the default estimator of activations: `min_max` for 5 bits and more.

    Example:
        >>> from jaxcompress.quantization import make_grid
        >>> usual_estimator(make_grid(8)).__name__, usual_estimator(make_grid(4)).__name__
        ('min_max', 'mse_optimal')
    """
    return min_max if grid.bits > 4 else mse_optimal


def calibrate(apply: Callable[..., PyTree], params: PyTree, batches: Iterable[Any]) -> Ranges:
    """Return histograms of the inputs of each product of a function, taken on data in one pass.

    Products are `dot_general` and convolutions. Their inputs are the operands that depend on the
    inputs of the function. The result does not depend on how the data are cut into batches, if
    the function computes each sample by itself. Memory does not grow with the data.

    Gathered to the host: for each batch the counts of each input of a product, 16 kB, in loops of
    each turn.

    Args:
        apply: `apply(params, *inputs)`, in inference mode.
        params: any pytree of arrays; compressed leaves are made dense.
        batches: of training data: the inputs after `params`, in a tuple if there are several.
            A few hundred samples are enough. A smaller last batch compiles once more.

    Raises:
        ValueError: no batches, batches that differ in more than the number of samples, NaN or
            infinite activations, a function without products or that does not run on the batches.
        TypeError: called under `jit`; leaves, inputs or results that are not arrays.

    Example:
        >>> apply = lambda params, x: jax.nn.relu(x @ params["in"]) @ params["out"]
        >>> params = {"in": np.array([[1.0, -1.0]], "f"), "out": np.ones((2, 1), "f")}
        >>> print(calibrate(apply, params, [np.array([[1.0], [-2.0]], "f")]))
        name        low       high   zeros      numbers
        in           -2          1    0.0%            2
        out           0          2   50.0%            4
    """
    check_concrete("calibrate", params)
    params = dense(params)
    observers: dict[Any, _Observer] = {}
    first: tuple[Any, ...] = ()
    found: dict[str, Histogram] = {}
    left: dict[str, str] = {}
    for number, batch in enumerate(nonempty_batches(batches, "pass training data")):
        inputs = as_inputs(batch)
        check_together(f"batches[{number}]", inputs, params)
        shapes = tuple(check_inputs(inputs))
        if not number:
            first = inputs
        _check_like(number, inputs, first)
        if shapes not in observers:
            observers[shapes] = _Observer(apply, params, inputs)
        readings = observers[shapes](params, inputs)
        left = left or observers[shapes].left_float(readings)
        for name, reading in readings.items():
            _check_finite(name, reading, number)
            found[name] = found.get(name, NOTHING) + histogram(reading)
    empty = {name: "it has no entries" for name in found if not found[name].count}
    return Ranges({n: h for n, h in found.items() if n not in empty}, left | empty)


class _Observer:
    """A function, compiled for inputs of one shape, that reads the inputs of its products."""

    def __init__(
        self, apply: Callable[..., PyTree], params: PyTree, inputs: tuple[Any, ...]
    ) -> None:
        self.program, self.products, self.left_out = trace_products(apply, params, *inputs)
        if not self.products:
            others = "".join(f"; {name}: {why}" for name, why in self.left_out.items())
            raise ValueError(
                "apply: must have products (dot_general, convolutions) of what depends on its "
                f"inputs, got none{others}; there is nothing to calibrate."
            )
        self.names = [name for product in self.products for name in product.entering]
        self.observe = jit_for_inference(
            lambda *given: _observe(self.program, self.products, jax.tree.leaves(given))
        )

    def __call__(self, params: PyTree, inputs: tuple[Any, ...]) -> dict[str, Reading]:
        readings = fetched(self.observe(params, *inputs))
        return {name: readings[name] for name in self.names if name in readings}

    def left_float(self, readings: Mapping[str, Reading]) -> dict[str, str]:
        """Return the reason for each operand without a reading."""
        return {
            product.operand_name(place): "it holds no floating-point numbers"
            if product.observable
            else "it lies in a branch or a while loop"
            for product in self.products
            for place in product.activations
            if product.operand_name(place) not in readings
        } | self.left_out


def _observe(program: Program, products: list[Product], inputs: list[Any]) -> dict[str, Reading]:
    by_key = {product.key: product for product in products if product.observable}

    def visit(key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
        if key not in by_key:
            return None
        readings = {
            by_key[key].operand_name(place): read(operands[place])
            for place in by_key[key].activations
            if is_floating(operands[place])
        }
        return Outcome(bind(equation, operands), readings)

    _, seen = run(program, inputs, visit)
    return {name: reading for readings in seen.values() for name, reading in readings.items()}


def _check_finite(name: str, reading: Reading, number: int) -> None:
    count = int(np.sum(reading.infinite))
    if count:
        raise ValueError(
            f"{name}: what enters must be finite, got {count} NaN or infinite in batch {number}; "
            "look for a diverged training run or samples that are not finite."
        )


def _check_like(number: int, inputs: tuple[Any, ...], first: tuple[Any, ...]) -> None:
    """Refuse a batch that differs from the first other than in the number of samples."""
    mine, others = jax.tree.structure(inputs), jax.tree.structure(first)
    if mine != others:
        raise ValueError(
            f"batches[{number}]: must have the structure of the first batch, {others}, got "
            f"{mine}; pass all inputs of the function, in a tuple if there are several."
        )
    named = jax.tree_util.tree_flatten_with_path(inputs)[0]
    for (path, leaf), other in zip(named, jax.tree.leaves(first), strict=True):
        got, wanted = (
            (np.shape(a)[1:], np.ndim(a), jax.dtypes.result_type(a))
            for a in map(native, (leaf, other))
        )
        if got != wanted:
            raise ValueError(
                f"batches[{number}]: inputs{jax.tree_util.keystr(path)} must be like that of the "
                f"first batch, {wanted[2]}{list(np.shape(other))}, but for the number of samples, "
                f"got {got[2]}{list(np.shape(leaf))}; make batches of one kind."
            )
