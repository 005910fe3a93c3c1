"""The damage of anything to the outputs of a network, in one place at a time."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any, NamedTuple

import jax

from jaxcompress.distill import distillation_loss
from jaxcompress.leaves import dense
from jaxcompress.planner._changes import Change, Trial
from jaxcompress.planner._same_numbers import same_numbers
from jaxcompress.quantization import Damage, Price, relative_error
from jaxcompress.quantization.damages import Changed, mean_damages, price_rows
from jaxcompress.text import as_html, table_lines
from jaxcompress.trace.inputs import as_inputs, first_line
from jaxcompress.trace.program import Program, retrace, trace
from jaxcompress.trees import PyTree, some_of
from jaxcompress.units.cut import other_results


class Sensitivities(NamedTuple):
    """What each change costs in each place; `str` gives a table, most damage first.

    Attributes:
        prices: by what is changed, then by name of the change.
        full_bytes: by what is changed, its bytes before.
        unchanged: by name of the change, then by what is not changed, the reason.
    """

    prices: dict[str, dict[str, Price]]
    full_bytes: dict[str, int]
    unchanged: dict[str, dict[str, str]]

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        used = {name for prices in self.prices.values() for name in prices}
        names = {name: name for name in self.unchanged if name in used}
        cells = price_rows(self.prices, names, "changed")
        full = ["full", *(f"{self.full_bytes[row[0]]:,} B" for row in cells[1:])]
        lines = table_lines(
            [[row[0], size, *row[1:]] for row, size in zip(cells, full, strict=True)]
        )
        alike: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for (what, reason), changes in self._reasons().items():
            alike[reason, ", ".join(changes)].append(what)
        return "\n".join(
            [
                *lines,
                *(f"not at {at}: {some_of(what)}  [{why}]" for (why, at), what in alike.items()),
            ]
        )

    def _reasons(self) -> dict[tuple[str, str], list[str]]:
        """Return the changes that a reason holds for, by what is not changed."""
        found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for change, reasons in self.unchanged.items():
            for what, reason in reasons.items():
                found[what, reason].append(change)
        return found


def kl_divergence(outputs: jax.Array, exact: jax.Array) -> jax.Array:
    """Return `KL(softmax(exact) || softmax(outputs))`, the mean over all but the last axis.

    Args:
        outputs: logits `[..., classes]`.
        exact: the same of unchanged parameters.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ.

    Example:
        >>> import jax.numpy as jnp
        >>> exact, outputs = jnp.log(jnp.array([[[0.5, 0.5]], [[0.8, 0.2]]]))
        >>> round(float(kl_divergence(outputs, exact)), 4)  # 0.5 log(0.5 / 0.8 * 0.5 / 0.2)
        0.2231
    """
    return distillation_loss(outputs, exact, None, temperature=1.0, soft_weight=1.0)


def sensitivities(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Iterable[PyTree],
    *,
    changes: Sequence[Change],
    damage: Damage = relative_error,
) -> Sensitivities:
    """Return the damage to a network's outputs by each change, in one place at a time.

    The function is compiled once for all changes that keep the shapes of the parameters. Units are
    silenced instead of cut where that gives the same function, which keeps the shapes too, and
    where the code does not run on cut parameters. The function is compiled again for other cuts of
    units, and for blocks, once for all that leave the same shapes. Damages are averaged over the
    batches.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays; compressed leaves are made dense.
        batches: of training data, each an input or a tuple of inputs; one of some hundred samples
            is often enough.
        changes: what is tried: `rounding(4)`, `step_size(0.25)`, `sparsity(remove=0.5)`,
            `shared_values(16)`, `rank(keep=0.5)`, `units(groups, remove=0.25)`,
            `blocks("encoder/blocks")`, or `each_tensor` of any function.
        damage: any function that JAX can compile, of the outputs of a batch and those of unchanged
            parameters: `relative_error`, or `kl_divergence` of logits.

    Returns:
        Damage and bytes by what is changed; bytes are those of the tensor, of all tensors that the
        units of a group lie in, or of the block, as they would be stored near their entropy.

    Raises:
        ValueError: no batches, no change or two of one name, nothing that can be changed, a damage
            that is not finite; what the changes refuse.
        TypeError: a damage that is not a number.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.planner import shared_values, sparsity
        >>> params = {"a": np.array([[4], [2]], "f"), "b": np.ones((1, 1), "f"), "c": np.zeros(1)}
        >>> apply = lambda p, x: x @ p["a"] @ p["b"] + p["c"]
        >>> found = sensitivities(
        ...     apply, params, [np.ones((1, 2), "f")],
        ...     changes=[sparsity(remove=0.5), shared_values(1)])
        >>> print(found)
        changed  full      50 % zeros        1 values
        a         8 B  1.11e-01 (5 B)  0.00e+00 (4 B)
        b         4 B  0.00e+00 (4 B)  0.00e+00 (4 B)
        not at 50 % zeros, 1 values: c  [fewer than two axes]
    """
    params = dense(params)
    trials, unchanged = _trials(params, changes)
    batches = iter(batches)
    first = list(islice(batches, 1))
    look = _Look(apply, params, as_inputs(first[0])) if first else None
    tried: list[tuple[str, str, Trial]] = []
    changed: list[Changed] = []
    for what, change, trial in trials:
        ways = look.ways(trial) if look else ()
        if isinstance(ways, str):
            unchanged[change][what] = ways
        else:
            tried.append((what, change, trial))
            changed.append(Changed(what, change, ways))
    damages = mean_damages(apply, params, chain(first, batches), changed, damage)
    _check_some(changed, unchanged)
    prices: defaultdict[str, dict[str, Price]] = defaultdict(dict)
    for (what, change, trial), mean in zip(tried, damages, strict=True):
        prices[what][change] = Price(mean, trial.size_bytes)
    full = {what: trial.full_bytes for what, _, trial in tried}
    return Sensitivities(dict(prices), full, unchanged)


def _trials(
    params: PyTree, changes: Sequence[Change]
) -> tuple[list[tuple[str, str, Trial]], dict[str, dict[str, str]]]:
    """Return what is tried, and by change what is not, with the reason."""
    twice = [
        name for name, times in Counter(change.name for change in changes).items() if times > 1
    ]
    if twice:
        raise ValueError(
            f"changes: names must differ, got {twice[0]!r} twice; pass "
            "change._replace(name=...) for one of them."
        )
    tried: list[tuple[str, str, Trial]] = []
    unchanged: dict[str, dict[str, str]] = {change.name: {} for change in changes}
    for change in changes:
        for what, found in change.trials(params):
            if isinstance(found, str):
                unchanged[change.name][what] = found
            else:
                tried.append((what, change.name, found))
    _check_some(tried, unchanged)
    return tried, unchanged


def _check_some(tried: Sequence[object], unchanged: Mapping[str, Mapping[str, str]]) -> None:
    if tried:
        return
    reasons = [
        f"{what} at {change} ({reason})"
        for change, kept in unchanged.items()
        for what, reason in kept.items()
    ]
    raise ValueError(
        "changes: must change something at least, got nothing to try: "
        f"{some_of(reasons) or 'no change'}; pass rounding(4), say."
    )


class _Look:
    """Which parameters a network is run with for a trial."""

    def __init__(
        self, apply: Callable[..., PyTree], params: PyTree, inputs: tuple[PyTree, ...]
    ) -> None:
        self.apply, self.params, self.inputs = apply, params, inputs

    @cached_property
    def program(self) -> Program:
        """The network as it is."""
        return trace(self.apply, self.params, *self.inputs)

    def ways(self, trial: Trial) -> tuple[Callable[[], PyTree], ...] | str:
        """Return what builds the parameters, the best first, or why it cannot have them."""
        built = trial.build()
        if _shapes(built) == _shapes(self.params):
            return (trial.build,)
        try:
            small = retrace(self.apply, built, *self.inputs)
        except MemoryError:
            raise
        except Exception as error:  # whatever the code raises, it does not follow
            # No cut can be compared: what it would take from its sizes is that of the full size.
            return (trial.silence,) if trial.silence else f"the code fails: {first_line(error)}"
        if trial.silence and same_numbers(self.program, small):
            return trial.silence, trial.build
        return other_results(self.program, small) or (trial.build,)


def _shapes(tree: PyTree) -> tuple[Any, list[tuple[int, ...]]]:
    return jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]
