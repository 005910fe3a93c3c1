"""The choices of least damage within a size, for one network of a profile."""

import bisect
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.planner._between import filled
from jaxcompress.planner._knapsack import Frontier, Options, frontier
from jaxcompress.planner._prediction import Prediction, likely_drop, predicted_drop
from jaxcompress.planner._record import Choice, Network, Profile, Settings, Tensor


class Chosen(NamedTuple):
    """One choice for each tensor of a network.

    Attributes:
        network: whose.
        choices: in the order of its tensors.
    """

    network: Network
    choices: list[Choice]

    @property
    def size_bytes(self) -> float:
        """Bytes of the file."""
        return self.network.file_bytes(self.added_bytes)

    @property
    def added_bytes(self) -> float:
        """Bytes of its parts, each measured in another file."""
        return self.network.beside_bytes + sum(choice.size_bytes for choice in self.choices)

    @property
    def damage(self) -> float:
        """Of the choices together, without that of the cut."""
        return sum(choice.damage for choice in self.choices)

    @property
    def settings(self) -> dict[str, Settings | str]:
        """Of each tensor, by path."""
        pairs = zip(self.network.tensors, self.choices, strict=True)
        return {tensor.path: choice.settings for tensor, choice in pairs}

    def drop(self, profile: Profile) -> Prediction | None:
        """Return the predicted loss of quality, None without measured ones."""
        if profile.quality is None or not self.network.losses:
            return None
        return predicted_drop(self.network.losses, profile.quality.noise, self.damage)

    def cost(self, profile: Profile) -> float:
        """Return what counts between networks: loss of quality, or damage where none is known."""
        if profile.quality is None or not self.network.losses:
            return self.network.damage + self.damage
        return likely_drop(self.network.losses, self.damage)


class Candidates:
    """All choices of a network, solved for every size at once."""

    def __init__(self, network: Network, leaves: Callable[[str], bool]) -> None:
        """Solve; `leaves` says of a path whether the tensor must stay as it is."""
        self.network = network
        filling = filled(network.tensors)
        self._tensors = [_left(t) if leaves(t.path) else t for t in filling]
        self._frontier: Frontier = frontier([_options(tensor) for tensor in self._tensors])

    @property
    def smallest(self) -> float:
        """Bytes of the smallest file."""
        return self.network.file_bytes(self.network.beside_bytes + self._frontier.cheapest)

    @property
    def finest(self) -> Chosen:
        """The choices of least damage."""
        found = self.within(np.inf)
        assert found is not None
        return found

    def within(self, size_bytes: float) -> Chosen | None:
        """Return the choices of least damage within a size, None if no file is so small."""
        if size_bytes < self.smallest:
            return None
        parts = self.network.added_bytes(size_bytes) - self.network.beside_bytes
        return self._chosen(self._frontier.within(max(parts, self._frontier.cheapest)))

    def for_drop(self, drop: float) -> Chosen | None:
        """Return the smallest file whose predicted loss of quality is at most `drop`."""
        damages = np.unique(self._frontier.damages[np.isfinite(self._frontier.damages)])
        lost = functools.partial(likely_drop, self.network.losses)  # rises with the damage
        count = bisect.bisect_right(damages, drop, key=lost)
        return self._chosen(self._frontier.least_cost(float(damages[count - 1]))) if count else None

    def _chosen(self, options: Sequence[int] | None) -> Chosen | None:
        if options is None:
            return None
        pairs = zip(self._tensors, options, strict=True)
        return Chosen(self.network, [tensor.choices[n] for tensor, n in pairs])


def _left(tensor: Tensor) -> Tensor:
    """Return a tensor that stays as it is."""
    return tensor._replace(choices=[choice for choice in tensor.choices if not choice.error][-1:])


def _options(tensor: Tensor) -> Options:
    return Options(
        np.array([choice.size_bytes for choice in tensor.choices]),
        np.array([choice.damage for choice in tensor.choices]),
    )
