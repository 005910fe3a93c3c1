"""The damage of each choice: of the outputs where there is data, else of the weights."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense
from jaxcompress.planner._ladder import Damage, Tried
from jaxcompress.planner._record import Choice
from jaxcompress.planner._techniques import technique_of
from jaxcompress.quantization.damages import Damage as Metric
from jaxcompress.trees import PyTree, named_leaves

_SIZE_POWER = 0.4
"""Of the numbers of a tensor in the damage of an error of its weights, where nothing is measured.
It gives about the step sizes of `compress`, which are finer for small tensors."""

_NEAR = 1e-30


def of_outputs(
    apply: Callable[..., PyTree], params: PyTree, inputs: Sequence[PyTree], metric: Metric
) -> Damage:
    """Return the damage to the outputs on an example, with one tensor changed.

    Args:
        apply: of the network.
        params: of it, dense.
        inputs: of the example.
        metric: of damage, from outputs and exact ones.

    Raises:
        ValueError: outputs that are not finite, or zero.
    """
    named = named_leaves(params)
    places = {path: index for index, path in enumerate(named.paths)}
    exact = jit_for_inference(apply)(params, *inputs)
    compiled = jit_for_inference(lambda tree, exact, inputs: metric(apply(tree, *inputs), exact))

    def damage(path: str, leaf: Any) -> float:
        leaves = list(named.leaves)
        leaves[places[path]] = np.asarray(dense({path: leaf})[path])
        found = float(compiled(named.rebuild(leaves), exact, inputs))
        if not math.isfinite(found):
            raise ValueError(
                f"{path}: outputs must be finite and not all zero, got a damage of {found}; look "
                "at the example."
            )
        return found

    return damage


def unmeasured(path: str, leaf: Any) -> float:
    """Measure nothing."""
    del path, leaf
    return 0.0


def with_damages(tried: Sequence[Tried], numbers: int, *, is_measured: bool) -> list[Choice]:
    """Return choices with damages.

    A damage that was not measured is that of the nearest ones of the same way, in proportion to the
    squared error of the weights; their ratio changes evenly over the logarithm of the error.
    Without any measured it is `n^0.4 ||a - b||^2 / ||a||^2`.

    Args:
        tried: of one tensor.
        numbers: in it.
        is_measured: whether damages were.
    """
    choices = []
    for one in tried:
        square = one.choice.error**2
        if not is_measured or not square:
            known = square * numbers**_SIZE_POWER
        elif one.is_measured:
            known = one.choice.damage
        else:
            known = square * _ratio([t for t in tried if t.way == one.way], one.choice.error)
        choices.append(one.choice._replace(damage=known))
    return choices


def _ratio(same: Sequence[Tried], error: float) -> float:
    """Return damage by squared error at an error, between those measured."""
    points = sorted(
        (math.log(t.choice.error), math.log(max(t.choice.damage, _NEAR) / t.choice.error**2))
        for t in same
        if t.is_measured and t.choice.error
    )
    if not points:
        return 1.0
    at, ratios = zip(*points, strict=True)
    return math.exp(float(np.interp(math.log(error), at, ratios)))


def beaten(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that are beaten by those of another technique, but by none of their own.

    Args:
        choices: of one tensor, of all techniques.
    """
    best = undominated(choices)
    techniques = dict.fromkeys(technique_of(choice.settings) for choice in choices)
    alone = [
        undominated([c for c in choices if technique_of(c.settings) == technique])
        for technique in techniques
    ]
    return [choice for own in alone for choice in own if choice not in best]


def undominated(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that no other one beats in bytes and damage, the smallest first.

    An exact one is always the last.
    """
    found: list[Choice] = []
    for choice in sorted(choices, key=lambda c: (c.size_bytes, c.damage)):
        is_exact = not choice.error and found and found[-1].error  # a tensor may be left as it is
        if not found or choice.damage < found[-1].damage or is_exact:
            found.append(choice)
    return found
