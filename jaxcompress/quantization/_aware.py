"""Quantization-aware training: functions whose products have rounded inputs and weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from jaxcompress.checks import check_known
from jaxcompress.kinds import native
from jaxcompress.leaves import Quantized
from jaxcompress.leaves.quantized import spread
from jaxcompress.placement import beside, is_split
from jaxcompress.products.find import Product, trace_products
from jaxcompress.products.weights import channel_axes
from jaxcompress.quantization._granularity import Granularity, per_channel
from jaxcompress.quantization._learned import Learned, integers, learn, learned_qparams, rounded
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization.calibration import Ranges, usual_estimator
from jaxcompress.quantization.grids import Grid, QParams, make_grid
from jaxcompress.quantization.ranges import Estimator
from jaxcompress.trace.program import Equation, bind
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import PyTree, Scope, in_scope, kernels, named_leaves, widened

Trainable = dict[str, Any]
"""`{"params": ..., "steps": {"activations": {name: Learned}, "weights": {path: Learned}}}`."""


def quantization_aware(
    apply: Callable[..., PyTree],
    ranges: Ranges | None,
    *,
    bits: int = 8,
    weight_bits: int | None = None,
    granularity: Granularity | None = None,
    estimate: Estimator | None = None,
    scope: Scope = kernels,
) -> "QuantizationAware":
    """Return a function with rounded inputs and weights of its products, trained through rounding.

    Weights lie on symmetric grids, activations on affine ones with 0.0 on the grid. The gradient
    passes straight through the rounding of numbers in the range of their grid and is 0 for numbers
    that are clipped. Scales and zero points have gradients of their own. Any optimizer trains them
    with the weights, and its state may be checkpointed and sharded as usual. `apply` may return any
    pytree, also in training mode: inputs of products are named by the weight, so ranges taken in
    inference mode fit.

    Zeros remain zeros: `hold_mask({"params": mask})` in the chain of `"params"` keeps a network
    pruned. Equal weights with one scale remain equal: with `granularity=per_tensor`,
    `share_centroids(inner, {"params": shared})` keeps a network shared.

    Gathered to the host: in `init` one leaf in the scope at a time, 4 bytes for each weight of
    float32; in `apply` nothing.

    Args:
        apply: any function `apply(params, *inputs)` of JAX.
        ranges: from `calibrate`; None to round weights only.
        bits: of activations, 2 to 8.
        weight_bits: of weights, 1 to 8; default: `bits`.
        granularity: which weights share a scale; by default the entries of each output channel, in
            loops those of one turn.
        estimate: chooses the range at the start of training; by default `min_max` for 5 bits and
            more, `mse_optimal` for fewer.
        scope: which weights are rounded, of those that are in products unchanged or only moved.

    Returns:
        An object that makes the tree to train (`init`), applies the function to it (`apply`), and
        stores it (`quantize`).

    Raises:
        ValueError: bits out of range; of `init`, an empty scope, ranges of another
            function.
        TypeError: bits that are not integers; of `init`, results that are not arrays, and as
            `quantize`.

    Example:
        >>> import jax.numpy as jnp, numpy as np, optax
        >>> aware = quantization_aware(lambda params, x: x @ params["w"], None, bits=2)
        >>> x = np.eye(2, dtype="f")
        >>> trainable = aware.init({"w": jnp.array([[1.0, 1.0], [0.25, -1.0]])}, x)
        >>> tx = optax.partition(
        ...     {"params": optax.adamw(0.1), "steps": optax.adam(0.1)},
        ...     {"params": "params", "steps": "steps"},
        ... )
        >>> state = tx.init(trainable)
        >>> gradient = jax.grad(lambda t: jnp.sum((aware.apply(t, x) - 0.8) ** 2))(trainable)
        >>> updates, state = tx.update(gradient, state, trainable)
        >>> leaf = aware.quantize(optax.apply_updates(trainable, updates))["w"]
        >>> leaf.values.tolist(), [round(float(scale), 3) for scale in leaf.scale[0]]
        ([[1, 1], [0, -1]], [0.95, 1.0])

    Source: Esser et al. 2020 (LSQ), arXiv:1902.08153; Bhalgat et al. 2020 (LSQ+),
    arXiv:2004.09576; Jacob et al. 2018, arXiv:1712.05877.
    """
    return QuantizationAware(
        function=apply,
        ranges=ranges,
        grid=None if ranges is None else make_grid(bits, symmetric=False),
        weight_grid=make_grid(bits if weight_bits is None else weight_bits),
        granularity=granularity,
        estimate=estimate,
        scope=scope,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizationAware:
    """A function with simulated integers in its products; `quantization_aware` makes it.

    Attributes:
        function: `function(params, *inputs)`.
        ranges: of the activations in its products; None to round weights only.
        grid: of activations; None without ranges.
        weight_grid: of weights.
        granularity: which weights share a scale; None for those of a channel.
        estimate: chooses the range at the start of training; None chooses by the bits.
        scope: which weights are rounded.
    """

    function: Callable[..., PyTree]
    ranges: Ranges | None
    grid: Grid | None
    weight_grid: Grid
    granularity: Granularity | None
    estimate: Estimator | None
    scope: Scope

    def init(self, params: PyTree, *inputs: PyTree) -> Trainable:
        """Return the tree to train: params, and grids as `calibrate` and `quantize` give them.

        Args:
            params: any pytree of concrete arrays.
            *inputs: of the function; only shapes and dtypes are used.
        """
        products = trace_products(self.function, params, *inputs).products
        channels = self._channels(params, inputs)
        start = quantize(
            params,
            self.weight_grid.bits,
            granularity=self.granularity or per_channel(channels),
            estimate=self.estimate,
            scope=lambda path, leaf: path in channels,
        )
        named = named_leaves(start, is_leaf=_is_quantized)
        weights = {
            path: _beside(learn(QParams(leaf.scale), self.weight_grid), leaf.values)
            for path, leaf in zip(named.paths, named.leaves, strict=True)
            if _is_quantized(leaf)
        }
        activations = {}
        if self.ranges is not None and self.grid is not None:
            _check_names(self.ranges, products)
            laid = self.ranges.qparams(self.grid, self.estimate or usual_estimator(self.grid))
            split = next(filter(is_split, jax.tree.leaves(params)), None)
            activations = {
                name: _beside(learn(qparams, self.grid), split) for name, qparams in laid.items()
            }
        params = jax.tree.map(native, params)
        return {"params": params, "steps": {"activations": activations, "weights": weights}}

    def apply(self, trainable: Trainable, *inputs: PyTree) -> PyTree:
        """Return the result of the function with all grids applied; differentiable."""
        params = _map_weights(trainable, lambda leaf, grid: rounded(leaf, grid, self.weight_grid))
        program, products, _ = trace_products(self.function, params, *inputs)
        entering = {product.key: product for product in products}
        learned = trainable["steps"]["activations"]

        def visit(key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
            if key not in entering or self.grid is None:
                return None
            for place in entering[key].activations:
                name = entering[key].operand_name(place)
                if name in learned:
                    # In single precision, as `fake_quantized`: bfloat16 would round the scales.
                    wide = rounded(widened(operands[place]), learned[name], self.grid)
                    operands[place] = wide.astype(operands[place].dtype)
            return Outcome(bind(equation, operands))

        results, _ = run(program, jax.tree.leaves((params, *inputs)), visit)
        return jax.tree.unflatten(program.structure, results)

    def quantize(self, trainable: Trainable) -> PyTree:
        """Return the params with `Quantized` leaves, the weights that `apply` computes with."""

        def convert(leaf: Any, learned: Learned) -> Quantized:
            grid = self.weight_grid
            qparams = learned_qparams(learned, grid, leaf.dtype)
            values = integers(leaf, QParams(spread(qparams.scale, leaf.shape)), grid)
            return Quantized(values=values, scale=qparams.scale, bits=grid.bits)

        return _map_weights(trainable, convert)

    def activation_qparams(self, trainable: Trainable) -> dict[str, QParams]:
        """Return the learned grids of the activations in each product."""
        grid, learned = self.grid, trainable["steps"]["activations"]
        if grid is None:
            return {}
        return {name: learned_qparams(qparams, grid) for name, qparams in learned.items()}

    def left_float(self, params: PyTree, *inputs: PyTree) -> dict[str, str]:
        """Return the inputs and weights of products that are not rounded, with reasons, by name."""
        _, products, unknown = trace_products(self.function, params, *inputs)
        chosen = self._channels(params, inputs)
        paths = named_leaves(params).paths
        weights = {
            f"weight of {product.name}": "it is computed" if w.moves is None else "out of the scope"
            for product in products
            for w in product.weights.values()
            if paths[w.leaf] not in chosen
        }
        known = {} if self.ranges is None else self.ranges
        reasons = {} if self.ranges is None else self.ranges.left_float
        activations = {
            name: reasons.get(name, "it has no range")
            for name in _operand_names(products)
            if name not in known
        }
        return weights | activations | unknown

    def _channels(self, params: PyTree, inputs: tuple[PyTree, ...]) -> dict[str, tuple[int, ...]]:
        """Return the axes of the channels of each weight in the scope."""
        axes, named = channel_axes(self.function, params, *inputs), named_leaves(params)
        picked = in_scope(named, lambda path, leaf: path in axes and self.scope(path, leaf))
        return {path: axes[path] for path, pick in zip(named.paths, picked, strict=True) if pick}


def _beside(learned: Learned, other: Any) -> Learned:
    """Return a grid on all devices of an array."""
    return jax.tree.map(lambda part: beside(part, other), learned)


def _is_quantized(leaf: Any) -> bool:
    return isinstance(leaf, Quantized)


def _map_weights(trainable: Trainable, function: Callable[[Any, Learned], Any]) -> PyTree:
    """Return the params with the weights that have grids replaced."""
    named, learned = named_leaves(trainable["params"]), trainable["steps"]["weights"]
    return named.rebuild(
        [
            function(leaf, learned[path]) if path in learned else leaf
            for path, leaf in zip(named.paths, named.leaves, strict=True)
        ]
    )


def _operand_names(products: list[Product]) -> list[str]:
    return [name for product in products for name in product.entering]


def _check_names(ranges: Ranges, products: list[Product]) -> None:
    rule = "ranges must be for products of this function"
    remedy = "calibrate this function, with the same tree of params"
    check_known(ranges, _operand_names(products), rule, remedy)
