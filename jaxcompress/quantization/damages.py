"""The damage of changed parameters to the outputs of a network, averaged over batches."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_together, nonempty_batches
from jaxcompress.compiled import jit_for_inference
from jaxcompress.trace.inputs import as_inputs
from jaxcompress.trees import PyTree

Damage = Callable[[PyTree, PyTree], Any]
"""From the outputs of a batch and those of unchanged parameters to a number; less is better."""


def relative_error(outputs: PyTree, exact: PyTree) -> jax.Array:
    """Return `sum((outputs - exact)^2) / sum(exact^2)`.

    Example:
        >>> float(relative_error(jnp.array([1.0, 2.0]), jnp.array([2.0, 2.0])))
        0.125
    """

    def wide(tree: PyTree) -> jax.Array:
        leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(tree)]
        return jnp.concatenate(leaves)

    right = wide(exact)
    return jnp.sum((wide(outputs) - right) ** 2) / jnp.sum(right**2)


class Price(NamedTuple):
    """Damage and bytes of what is changed.

    Attributes:
        damage: to the network's outputs.
        size_bytes: of what is changed, after it.
    """

    damage: float
    size_bytes: int


class Changed(NamedTuple):
    """Parameters that are tried.

    Attributes:
        what: is changed, for errors.
        how: for errors.
        builds: of parameters, made when they are needed; the next one gives the same function, and
            is run where the damage is not finite.
    """

    what: str
    how: str
    builds: tuple[Callable[[], PyTree], ...]


def mean_damages(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Iterable[PyTree],
    trials: Sequence[Changed],
    damage: Damage,
) -> list[float]:
    """Return the damage of each trial, averaged over the batches.

    The function is compiled once for itself, and once for all trials of the same shapes.

    Raises:
        ValueError: no batches, a damage that is not finite.
        TypeError: a damage that is not a number.
    """

    def compare(params: PyTree, exact: PyTree, inputs: tuple[PyTree, ...]) -> Any:
        return damage(apply(params, *inputs), exact)

    outputs, compiled = jit_for_inference(apply), jit_for_inference(compare)
    sums, count = np.zeros(len(trials)), 0
    for batch in nonempty_batches(batches, "some hundred samples do"):
        inputs = as_inputs(batch)
        check_together("batches", inputs, params)
        exact = outputs(params, *inputs)
        for index, trial in enumerate(trials):
            sums[index] += _finite(trial, lambda tree: compiled(tree, exact, inputs))  # noqa: B023
        count += 1
    return (sums / max(count, 1)).tolist()


def _finite(trial: Changed, measure: Callable[[PyTree], Any]) -> float:
    number = np.nan
    for build in trial.builds:
        value = measure(build())
        if np.shape(value) != ():
            raise TypeError(
                f"damage: must be one number, got shape {np.shape(value)}; take the mean."
            )
        if np.isfinite(number := float(value)):
            return number
    raise ValueError(
        f"{trial.what}: damage must be finite, got {number} at {trial.how}; look for NaN in the "
        "inputs and for outputs that are all zero."
    )


def price_rows(
    rows: Mapping[str, Mapping[Any, Price]], columns: Mapping[Any, str], label: str
) -> list[list[str]]:
    """Return prices as cells, most damage first.

    Args:
        rows: by what is changed, then by how.
        columns: titles, by how.
        label: of the first column.
    """
    worst = {name: max(price.damage for price in prices.values()) for name, prices in rows.items()}
    cells = [[label, *columns.values()]]
    for name in sorted(worst, key=lambda name: -worst[name]):
        prices = [rows[name].get(key) for key in columns]
        cells.append([name, *(f"{p.damage:.2e} ({p.size_bytes:,} B)" if p else "" for p in prices)])
    return cells
