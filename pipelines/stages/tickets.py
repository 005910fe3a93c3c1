"""Lottery tickets: how sparse each round is, and the networks that a ticket is compared with."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import optax

import jaxcompress as jc
from jaxcompress.nnx import Params
from pipelines.stages.pruning import masked
from pipelines.stages.stage import Work
from pipelines.stages.training import WEIGHT_DECAY, schedule


class Origin(NamedTuple):
    """What the networks of a round are made of.

    Attributes:
        mask: which weights the round keeps.
        early: the dense network after the epoch to rewind to.
        trained: the network whose weights the mask was chosen by.
        fresh: newly initialised parameters, other than those that `early` began with.
        key: of random masks.
    """

    mask: Params
    early: Work
    trained: Work
    fresh: Work
    key: jax.Array


class Way(NamedTuple):
    """A way to start a sparse network.

    Attributes:
        start: from the origin to the network before training.
        whole: whether it is trained for all epochs; else for those after the epoch to rewind to,
            which the others have behind them.
    """

    start: Callable[[Origin], Work]
    whole: bool = False


TICKET = "ticket"
WAYS: Mapping[str, Way] = {
    TICKET: Way(lambda of: masked(of.early, of.mask)),
    "new weights": Way(lambda of: masked(of.fresh, of.mask), whole=True),
    "random mask": Way(
        lambda of: masked(of.early, jc.prune.shuffled_mask(of.mask, key=of.key)),
    ),
    "fine-tuned": Way(lambda of: masked(of.trained, of.mask)),
}
"""The ticket and its controls: each differs from it in one thing, and is trained as long."""


def sparsity_of(number: int, *, last: float, rounds: int) -> float:
    """Return the sparsity of a round, from 1: each removes the same fraction of what is left.

    Example:
        >>> [round(sparsity_of(number, last=0.875, rounds=3), 3) for number in (1, 2, 3)]
        [0.5, 0.75, 0.875]
    """
    return last if number == rounds else 1 - (1 - last) ** (number / rounds)


def held(
    peak: float, steps: int, mask: Params | None = None, *, behind: int = 0
) -> optax.GradientTransformation:
    """Return the optimizer of a network that goes on with the first training's rates.

    Args:
        peak: rate of that training.
        steps: of that training, all of them.
        mask: to hold; None for a dense network.
        behind: steps that lie behind the network, whose rates are left out.
    """
    rate = schedule(peak, steps)
    tx = optax.adamw(lambda step: rate(step + behind), weight_decay=WEIGHT_DECAY)
    return tx if mask is None else optax.chain(tx, jc.hold_mask(mask))
