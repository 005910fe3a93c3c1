"""Second moments of the inputs of weights, which determine the error of a layer's output."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcompress.checks import check_concrete, check_finite, check_together, nonempty_batches
from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense
from jaxcompress.placement import exchanged, fetched
from jaxcompress.products._im2col import ARRANGEMENTS
from jaxcompress.products.find import Product, Weight, find_products
from jaxcompress.products.unknown import find_unknown
from jaxcompress.trace.inputs import as_inputs
from jaxcompress.trace.moves import moved
from jaxcompress.trace.program import Equation, Program, bind, trace
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import NamedLeaves, PyTree, kernels, named_leaves

MOST_ENTRIES = 4096**2
"""Most entries of the moments of a layer: 64 MB of float32 on the device, 128 MB on the host."""


class Layer(NamedTuple):
    """Weights with the same inputs, and the moments of those inputs.

    Let `x` be the inputs of the weights of a channel and `d` an error of the weights. Then the
    squared error of the channel's output, summed over the data, is `d^T gram d`.

    Attributes:
        entries: `[groups, n, channels]` numbers of the weights in their flat (C order) leaf. There
            are more groups than one in grouped convolutions, batched products and stacked layers.
        gram: `[groups, n, n]` sum of `x x^T`.
    """

    entries: np.ndarray
    gram: np.ndarray


class Moments(NamedTuple):
    """Second moments of the inputs of the weights of a network.

    Attributes:
        layers: by path of the weights; most have one layer.
        left_out: the reason for weights without moments, by path.
    """

    layers: dict[str, list[Layer]]
    left_out: dict[str, str]

    def over_processes(self) -> Self:
        """Return the moments of the data of all processes, where each took those of its own.

        All processes must call this. Where `batches` were arrays that span processes, the moments
        are already those of all.

        Gathered to the host: the matrices of one layer from each process at a time, 8 bytes for
        each of their entries.

        Raises:
            ValueError: processes with moments of other layers.

        Example:
            >>> Moments({}, {}).over_processes()
            Moments(layers={}, left_out={})
        """
        mine = repr([(p, [x.gram.shape for x in found]) for p, found in self.layers.items()])
        if set(exchanged(mine.encode())) != {mine.encode()}:
            raise ValueError(
                "moments: must be of the same layers in all processes, got others; take them of "
                "one function and batches of one kind."
            )
        return self._replace(
            layers={path: list(map(_of_all, found)) for path, found in self.layers.items()}
        )


def _of_all(layer: Layer) -> Layer:
    """Return a layer with the sum of the moments of all processes, added in their order."""
    grams = (np.frombuffer(data) for data in exchanged(layer.gram.astype(np.float64).tobytes()))
    return layer._replace(gram=sum(grams, np.zeros(layer.gram.size)).reshape(layer.gram.shape))


def input_moments(
    apply: Callable[..., PyTree], params: PyTree, batches: Iterable[PyTree]
) -> Moments:
    """Return the second moments of the inputs of each output channel, `sum(x x^T)`.

    For a dense layer `x` is its input, for a convolution a patch of its input of the size of the
    kernel. They are summed over all samples and places in one pass. Memory does not depend on the
    number of batches. It is 8 bytes for each entry of the `[n, n]` matrices: 2.7 MB for a 3x3
    kernel of 64 channels (n = 576), 79 MB for a dense layer of 3136 inputs. A convolution also
    takes memory for the patches of all places of one batch. A layer is left out if its matrices
    have more than 4096^2 entries together (of all groups, and all turns of a scan). Also left out
    are weights in `while` loops and branches, weights that are changed before the product, and
    weights that a primitive takes that is not understood, even if they are in products too.

    Gathered to the host: for each batch the matrices of all layers, 4 bytes for each entry.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays; compressed leaves are made dense.
        batches: of training data, each an input or a tuple of inputs; a few hundred samples are
            usually enough.

    Raises:
        TypeError: inputs or results that are not arrays; called under `jit`.
        ValueError: no batches, a function that cannot be traced, NaN or infinity.

    Example:
        >>> apply = lambda params, x: x @ params["kernel"]
        >>> batches = [np.array([[1.0, 2.0]]), np.array([[3.0, 0.0]])]
        >>> (layer,) = input_moments(apply, {"kernel": np.ones((2, 3))}, batches).layers["kernel"]
        >>> layer.gram.tolist()
        [[[10.0, 2.0], [2.0, 4.0]]]
    """
    check_concrete("input_moments", params)
    params = dense(params)
    named = named_leaves(params)
    plans: list[_Plan] = []  # one for each shape of batches, made on compilation

    def grams(params: PyTree, *inputs: PyTree) -> dict[str, Any]:
        plans.append(_plan(trace(apply, params, *inputs), named))
        return _grams(plans[-1], jax.tree.leaves((params, inputs)))

    compiled, sums = jit_for_inference(grams), {}
    for batch in nonempty_batches(batches, "some hundred samples do"):
        inputs = as_inputs(batch)
        check_together("batches", inputs, params)
        for name, gram in fetched(compiled(params, *inputs)).items():
            check_finite(f"{name}: moments of its inputs", gram)
            sums.setdefault(name, np.zeros(gram.shape))
            sums[name] += gram
    return _gathered(plans[-1], sums, named)


class _Seen(NamedTuple):
    """A product whose inputs are measured.

    Attributes:
        product: the product.
        place: of its weights.
        loops: the scans around it, the outermost first.
    """

    product: Product
    place: int
    loops: list[Equation]

    @property
    def weight(self) -> Weight:
        """Its weights."""
        return self.product.weights[self.place]

    def own(self) -> list[bool]:
        """Return for each loop whether each turn has weights of its own."""
        moves = self.weight.moves or ()
        return [any(move is loop for move in moves) for loop in self.loops]

    def entries(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the `entries` of the layer; turns of loops are groups."""
        loops = [loop for loop, own in zip(self.loops, self.own(), strict=True) if own]
        arrange = ARRANGEMENTS[self.product.equation.name].weights
        integer = np.int32 if math.prod(shape) < 2**31 else np.int64
        groups = []
        for turns in np.ndindex(*(loop.params["length"] for loop in loops)):
            array = np.arange(math.prod(shape), dtype=integer).reshape(shape)
            left = list(turns)
            for move in self.weight.moves or ():
                array = array[left.pop(0)] if move.name == "scan" else moved(array, [move])
            groups.append(arrange(self.product.equation, self.place, array))
        return np.concatenate(groups)

    def gram(self, operands: list[Any]) -> Any:
        """Return the moments of one run of the product."""
        arrange = ARRANGEMENTS[self.product.equation.name].inputs
        x = operands[1 - self.place].astype(jnp.float32)
        rows = arrange(self.product.equation, 1 - self.place, x, operands[self.place].shape)
        return jnp.einsum("gns,gks->gnk", rows, rows, precision=lax.Precision.HIGHEST)


class _Plan(NamedTuple):
    program: Program
    seen: dict[Key, _Seen]
    left_out: dict[str, str]
    unknown: dict[str, str]


def _plan(program: Program, named: NamedLeaves) -> _Plan:
    seen, left_out = {}, {}
    for product in find_products(program, named.paths):
        for place, weight in product.weights.items():
            candidate = _Seen(product, place, _loops(program, product.key))
            why = _why_not(candidate, named.leaves[weight.leaf].shape)
            if why:
                left_out[named.paths[weight.leaf]] = why
            else:
                seen[product.key] = candidate
    unknown = {path: one.reason for one in find_unknown(program, named.paths) for path in one.paths}
    return _Plan(program, seen, left_out, unknown)


def _loops(program: Program, key: Key) -> list[Equation]:
    loops = []
    for number, which in zip(key[:-1:2], key[1::2], strict=True):
        loops.append(program.equations[number])
        program = loops[-1].bodies[which]
    return loops


def _why_not(seen: _Seen, shape: tuple[int, ...]) -> str | None:
    if not seen.product.observable:
        return "it stands in a while loop or a branch"
    if seen.weight.moves is None:
        return "something is computed with it before it meets inputs"
    equation = seen.product.equation
    why = ARRANGEMENTS[equation.name].why_not(equation, seen.place)
    if why:
        return why
    entries = seen.entries(shape)
    if np.bincount(entries.ravel(), minlength=1).max() > 1:
        return "its entries are repeated before they meet inputs"
    others = [
        loop.params["length"] for loop, own in zip(seen.loops, seen.own(), strict=True) if not own
    ]
    size = int(np.prod(others, dtype=int)) * entries.shape[0] * entries.shape[1] ** 2
    if size > MOST_ENTRIES:
        return f"its moments would have {size:,} entries, more than {MOST_ENTRIES:,}"
    return None


def _grams(plan: _Plan, inputs: list[Any]) -> dict[str, Any]:
    def visit(key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
        if key not in plan.seen:
            return None
        return Outcome(bind(equation, operands), plan.seen[key].gram(operands))

    found = {}
    for key, gram in run(plan.program, inputs, visit)[1].items():
        seen = plan.seen[key]
        same = tuple(axis for axis, own in enumerate(seen.own()) if not own)
        found[seen.product.name] = gram.sum(axis=same)
    return found


def _gathered(plan: _Plan, sums: dict[str, np.ndarray], named: NamedLeaves) -> Moments:
    """Return the moments by path, added up for products that share weights."""
    layers: dict[str, list[Layer]] = {}
    left_out = dict(plan.left_out)
    for seen in plan.seen.values():
        path, leaf = named.paths[seen.weight.leaf], named.leaves[seen.weight.leaf]
        gram, entries = sums[seen.product.name], seen.entries(leaf.shape)
        layer = Layer(entries, gram.reshape(-1, *gram.shape[-2:]))
        layers[path] = _added(layers.get(path, []), layer)
    left_out |= plan.unknown
    for path in plan.unknown:
        layers.pop(path, None)  # its inputs there are not in its moments
    for path, mine in list(layers.items()):
        used = np.concatenate([layer.entries.ravel() for layer in mine])
        if np.bincount(used, minlength=1).max() > 1:
            left_out[path] = "it meets inputs in more than one arrangement"
            del layers[path]
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        if kernels(path, leaf) and path not in layers:
            left_out.setdefault(path, "it is no operand of a product with inputs")
    return Moments(layers, {path: why for path, why in left_out.items() if path not in layers})


def _added(layers: list[Layer], new: Layer) -> list[Layer]:
    for index, old in enumerate(layers):
        if np.array_equal(old.entries, new.entries):
            return [*layers[:index], Layer(old.entries, old.gram + new.gram), *layers[index + 1 :]]
    return [*layers, new]
