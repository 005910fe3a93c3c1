"""Biases that correct the mean error of rounded weights."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_finite, check_fits, check_together, nonempty_batches
from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.placement import fetched, on_host
from jaxcompress.products.find import find_products
from jaxcompress.rewrite.adjust import set_offset
from jaxcompress.rewrite.affine import Chain, affine, find_chains
from jaxcompress.rewrite.values import Values
from jaxcompress.trace.inputs import as_inputs
from jaxcompress.trace.program import Equation, bind, trace
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import PyTree, named_leaves


def correct_biases(
    apply: Callable[..., PyTree], tree: PyTree, quantized: PyTree, batches: Iterable[Any]
) -> PyTree:
    """Correct biases so that rounded weights keep the mean of each channel.

    Rounding the weight `W` to `Wq` changes a product with `x` by `x * (Wq - W)`. The mean of this
    error over data and positions is not 0. So `E[x] (W - Wq)`, times the factor of a norm in
    between, is added to the bias behind the product. The means are those of the float network. They
    are exact with padding, and do not depend on how the data are cut into batches.

    Biases are found by tracing. A bias is any leaf that is added behind the product and read
    nowhere else; the mean of a norm without a bias counts as one. Products without a bias are not
    corrected, nor are those within loops and branches, nor those of weights that are used twice.

    Args:
        apply: `apply(tree, *inputs)` in evaluation mode.
        tree: parameters and running statistics before rounding, any pytree of arrays.
        quantized: the same tree with compressed leaves for some weights.
        batches: of training data: the inputs after `tree`, in a tuple if there are several. They
            are read once, in constant memory; some hundred samples are enough.

    Returns:
        `quantized` with other biases. A bias that is compressed itself becomes an array.

    Raises:
        ValueError: no batches; trees that differ; NaN or infinity, naming the layer; a function
            that does not run on these arrays.
        TypeError: leaves without values, inputs or results that are not arrays.

    Example:
        >>> tree = {"w": np.array([[0.5], [0.25]], "f"), "b": np.zeros(1, "f")}
        >>> rounded = {**tree, "w": np.array([[1.0], [0.0]], "f")}
        >>> apply = lambda p, x: x @ p["w"] + p["b"]
        >>> correct_biases(apply, tree, rounded, [np.array([[1.0, 4.0]], "f")])["b"].tolist()
        [0.5]

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2; Finkelstein et al. 2019,
    arXiv:1906.03193.
    """
    rounded = dense(quantized)
    check_fits("quantized", rounded, "tree", tree)
    every = nonempty_batches(batches, "pass training data")
    first = next(every)
    values = Values.of(apply, rounded, as_inputs(first))
    chains = _rounded_chains(values, tree)
    observe = jit_for_inference(_errors_of(apply, chains))
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, float] = {}
    for batch in itertools.chain([first], every):
        inputs = as_inputs(batch)
        check_together("batches", inputs, tree)
        for name, (total, count) in fetched(observe(tree, rounded, inputs)).items():
            check_finite(name, total)
            sums[name] = sums.get(name, 0.0) + total.astype(np.float64)
            counts[name] = counts.get(name, 0.0) + count
    for name, chain in chains.items():
        a, b = affine(values, chain.terms, chain.count)
        values = set_offset(values, chain, b - a * sums[name] / counts[name]) or values
    named = named_leaves(quantized, is_leaf=is_compressed)
    pairs = zip(named_leaves(values.tree()).leaves, values.named.leaves, strict=True)
    changed = [new if new is not old else None for new, old in pairs]
    return named.rebuild(
        [leaf if new is None else new for leaf, new in zip(named.leaves, changed, strict=True)]
    )


def _rounded_chains(values: Values, tree: PyTree) -> dict[str, Chain]:
    """Return the chains behind weights that rounding changes, by name."""
    leaves = jax.tree.leaves(tree)
    return {
        chain.product.name: chain
        for chain in find_chains(values)
        if chain.offsets
        and not np.array_equal(on_host(leaves[chain.leaf]), on_host(values.leaves[chain.leaf]))
    }


def _errors_of(apply: Callable[..., PyTree], chains: Mapping[str, Chain]) -> Callable[..., Any]:
    """Return a function from both trees and inputs to `([channels] sums, count)` by name.

    The sums are those of `x * (Wq - W)` over the `count` entries of each channel.
    """

    def errors(tree: PyTree, rounded: PyTree, inputs: tuple[PyTree, ...]) -> dict[str, Any]:
        program, named = trace(apply, tree, *inputs), named_leaves(tree)
        names = {p.key: p.name for p in find_products(program, named.paths) if p.name in chains}
        new = jax.tree.leaves(rounded)

        def visit(key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
            if key not in names:
                return None
            chain = chains[names[key]]
            error = new[chain.leaf] - named.leaves[chain.leaf]
            for move in chain.product.weights[chain.place].moves or ():
                (error,) = bind(move, [error])
            given = [error if place == chain.place else x for place, x in enumerate(operands)]
            (product,) = bind(equation, given)
            return Outcome(bind(equation, operands), _sum(product, chain))

        seen = run(program, jax.tree.leaves((tree, *inputs)), visit)[1]
        return {names[key]: sums for key, sums in seen.items()}

    return errors


def _sum(product: Any, chain: Chain) -> tuple[Any, float]:
    """Return the sums over the entries of each channel, `[channels]`, and the entries of one."""
    total = jnp.sum(
        product, [axis for axis in range(product.ndim) if axis not in chain.axes], jnp.float32
    )
    in_order = total.transpose(np.argsort(np.argsort(chain.axes)))  # of the axes of the weight
    return in_order.ravel(), product.size / chain.count
