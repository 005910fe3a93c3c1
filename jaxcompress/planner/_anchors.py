"""What whole plans of a network lose: the points between which predictions lie."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.leaves import dense
from jaxcompress.planner._building import built
from jaxcompress.planner._choosing import Candidates
from jaxcompress.planner._measuring import evaluated
from jaxcompress.planner._record import Network, Quality
from jaxcompress.planner._refining import Refine
from jaxcompress.planner._task import Apply, Task
from jaxcompress.trees import PyTree

_ANCHORS, _ANCHORS_OF_CUT = (10, 6), (4, 2)
"""Plans evaluated of the whole network and of others: at even ratios of sizes, then between."""


class Made(NamedTuple):
    """A network of a profile.

    Attributes:
        apply: of it.
        params: dense.
        cut: what was kept.
        steps: of training after the cut.
    """

    apply: Apply
    params: PyTree
    cut: dict[str, Any]
    steps: int


def anchors_of(
    task: Task,
    quality: Quality,
    made: Made,
    network: Network,
    refine: Refine,
    track: Callable[[str], None],
) -> list[tuple[float, float]]:
    """Return damage and loss of quality of whole plans, from none to the most."""
    lost = 0.0
    if made.cut:
        lost = quality.value - evaluated(task, made.apply, made.params)
    anchors = [(0.0, lost)]
    solved = Candidates(network, leaves=lambda path: False)

    def measure(size: float) -> None:
        if (chosen := solved.within(size)) is None:
            return
        track(f"{network.name}: quality of {size:,.0f} bytes")
        params = dense(built(made.params, chosen.settings, refine=refine))
        anchors.append((chosen.damage, quality.value - evaluated(task, made.apply, params)))
        sizes.append(size)

    sizes: list[float] = []
    even, between = _ANCHORS_OF_CUT if made.cut else _ANCHORS
    for size in np.geomspace(solved.smallest * 1.0001, solved.finest.size_bytes, even + 1)[:-1]:
        measure(float(size))
    for _ in range(between):
        if (size := _widest(sizes, [lost for _, lost in anchors[1:]])) is None:
            break
        measure(size)
    return sorted(anchors)


def _widest(sizes: Sequence[float], lost: Sequence[float]) -> float | None:
    """Return the size between the two neighbours whose losses of quality differ most."""
    order = np.argsort(sizes)
    by_size, losses = np.asarray(sizes)[order], np.asarray(lost)[order]
    if len(by_size) < 2:
        return None
    gaps = np.abs(np.diff(losses)) * np.log(by_size[1:] / by_size[:-1])
    widest = int(np.argmax(gaps))
    return float(np.sqrt(by_size[widest] * by_size[widest + 1])) if gaps[widest] else None
