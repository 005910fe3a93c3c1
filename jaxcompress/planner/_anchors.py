"""Whole plans of a network, made and evaluated: the points between which predictions lie."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.leaves import dense
from jaxcompress.oneshot.sources import Track, untracked
from jaxcompress.planner._building import Surveyed, shares_of
from jaxcompress.planner._choosing import Candidates, Chosen
from jaxcompress.planner._prediction import in_proportion
from jaxcompress.planner._record import Anchor, Network
from jaxcompress.planner._refining import Refine, unrefined
from jaxcompress.planner._training import untold
from jaxcompress.trees import PyTree


class Counts(NamedTuple):
    """How many plans are made.

    Attributes:
        even: at even ratios of sizes, from the smallest to the largest file.
        between: more where quality changes most, if there is an evaluation.
    """

    even: int
    between: int = 0


def anchors_of(
    network: Network,
    found: Surveyed,
    counts: Counts,
    *,
    refine: Refine = unrefined,
    lost: Callable[[PyTree], float] | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Track = untracked,
    track: Callable[[str], None] = untold,
) -> list[Anchor]:
    """Return what whole plans of a network take and lose, the smallest first.

    Args:
        network: with the choices of its tensors.
        found: these tensors; with `lost`, those of a tree.
        counts: of plans.
        refine: rounds the weights of a leaf anew.
        lost: from a dense tree to the loss of its quality.
        metadata: of files.
        progress: shows how far it is.
        track: is told what is done.
    """
    solved = Candidates(network, leaves=lambda path: False)
    anchors: list[Anchor] = []

    def make(size: float) -> None:
        if (chosen := solved.within(size)) is not None:
            track(f"{network.name}: a file of {chosen.size_bytes:,.0f} bytes")
            anchors.append(_anchor(chosen, found, refine, lost, metadata))

    sizes = np.geomspace(solved.smallest * 1.0001, solved.finest.size_bytes, counts.even)
    sizes[-1] = np.inf  # nothing is changed
    for size in progress(sizes.tolist(), "checking", lambda size: network.parameters):
        make(size)
    for _ in range(counts.between if lost is not None else 0):
        if (size := _widest(anchors)) is None:
            break
        make(size)
    return sorted(anchors)


def _anchor(
    chosen: Chosen,
    found: Surveyed,
    refine: Refine,
    lost: Callable[[PyTree], float] | None,
    metadata: Mapping[str, Any] | None,
) -> Anchor:
    leaves = found.made(found.planned(chosen.settings), chosen.settings, [], refine)
    kept = None if lost is None else list(leaves)  # else they come and go one at a time
    sizes, other = shares_of(found.source, leaves if kept is None else kept, metadata=metadata)
    quality = None
    if lost is not None and kept is not None:
        quality = lost(dense(found.tree([leaf for _, leaf in kept])))
    return Anchor(chosen.added_bytes, sum(sizes.values()) + other, chosen.damage, quality)


def _widest(anchors: Sequence[Anchor]) -> float | None:
    """Return the size between the two neighbours whose losses differ most, `in_proportion`."""
    order = sorted(anchors)
    sizes = np.array([anchor.added_bytes for anchor in order])
    losses = in_proportion(np.array([anchor.lost for anchor in order], np.float64))
    gaps = np.abs(np.diff(losses)) * np.log(sizes[1:] / sizes[:-1])
    if not gaps.size or not gaps.max():
        return None
    widest = int(np.argmax(gaps))
    return float(np.sqrt(sizes[widest] * sizes[widest + 1]))
