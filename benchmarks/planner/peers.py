"""The smallest file for a loss of quality: by plans, by each single technique, and at random."""

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

import jaxcompress as jc
from benchmarks.planner.nets import Subject
from jaxcompress import planner
from jaxcompress.planner import Plan, Profile

PLANNED, RANDOM = "planned", "random choices"

_COUNT = 17
"""Settings that each technique may choose from, where it has as many."""

_STEPS = [2.0 ** (-k / 4) for k in range(-8, _COUNT - 8)]

TECHNIQUES: dict[str, list[dict[str, Any]]] = {
    "one step size": [{"step_size": round(step, 4)} for step in _STEPS],
    "entropy-constrained": [{"quantizer": "entropy", "step_size": round(s, 4)} for s in _STEPS],
    "bits of a group": [{"bits": bits, "block": 32} for bits in range(2, 9)],
    "bits of a channel": [{"bits": bits} for bits in range(2, 9)],
    "shared values": [{"clusters": round(2 ** (1 + n / 2))} for n in range(12)],
    "pruned, 8 bits": [
        {"sparsity": round(1 - 2 ** (-n / 3), 3), "bits": 8} for n in range(1, _COUNT - 4)
    ],
    "low rank": [
        {"keep_low_rank": round(part, 2), "step_size": step}
        for part in (0.2, 0.35, 0.5, 0.75)
        for step in (0.3, 0.15, 0.07, 0.03)
    ],
}
"""Each sets all tensors alike; rounding is fitted to the example as in plans."""


def curves(
    subject: Subject, found: Profile, names: Sequence[str], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each file: technique, settings, bytes and the quality lost.

    Args:
        subject: the network.
        found: its profile.
        names: of techniques.
        seed: of random choices.
    """
    whole = found._replace(networks=found.networks[:1])
    exact = subject.judge(subject.task.params)
    ways = {PLANNED: _plans(whole), RANDOM: _random(whole, seed)}
    ways |= {name: _alike(whole, TECHNIQUES[name]) for name in TECHNIQUES}
    for name in names:
        for settings, given in _some(list(ways[name]), subject.settings):
            try:
                small = planner.encoded(subject.task.params, given, subject.task)
            except ValueError as error:  # nothing is left of a tensor
                print(f"{subject.name}, {name} {settings}: {error}", file=sys.stderr)
                continue
            lost = exact - subject.judge(jc.dense(small))
            yield {"way": name, "settings": settings, "bytes": jc.size_bytes(small), "lost": lost}


def _some(plans: list[Any], most: int) -> list[Any]:
    """Return so many of them, from first to last."""
    places = np.unique(np.linspace(0, len(plans) - 1, min(most, len(plans))).astype(int))
    return [plans[place] for place in places]


NAMES = (PLANNED, *TECHNIQUES, RANDOM)

Plans = Iterator[tuple[str, Plan]]


def _plans(found: Profile) -> Plans:
    least, most = found.networks[0].reachable
    for size in np.geomspace(least, most / 2, _COUNT):
        yield f"{size:,.0f} bytes", planner.plan(found, size_bytes=math.ceil(size))


def _alike(found: Profile, each: Sequence[dict[str, Any]]) -> Plans:
    like = _any(found)
    for settings in each:
        yield str(settings), like._replace(settings=dict.fromkeys(like.settings, settings))


def _random(found: Profile, seed: int) -> Plans:
    """Choose for each tensor one that no other beats in both bytes and damage, at random.

    Choices of a plan are about as coarse as each other: each is near one fraction of its list.
    """
    rng, like = np.random.default_rng(seed), _any(found)
    for part in np.linspace(0, 0.95, _COUNT):
        settings = {}
        for tensor in found.networks[0].tensors:
            near = np.clip(part + rng.uniform(-0.25, 0.25), 0, 0.999)
            settings[tensor.path] = tensor.choices[int(near * len(tensor.choices))].settings
        yield f"about {part:.2f}", like._replace(settings=settings)


def _any(found: Profile) -> Plan:
    return planner.plan(found, size_bytes=math.ceil(found.networks[0].reachable[1]))


def bytes_for(rows: Sequence[dict[str, Any]], way: str, lost: float) -> float | None:
    """Return the bytes at which a way loses so much, None if it never loses so little.

    Losses of a few thousand answers vary by tenths of a point from file to file. So they are made
    falling in the bytes (isotonic least squares), and bytes are between those of two files.
    """
    pairs = sorted((row["bytes"], row["lost"]) for row in rows if row["way"] == way)
    if not pairs:
        return None
    sizes, losses = (np.array(each, np.float64) for each in zip(*pairs, strict=True))
    losses = IsotonicRegression(increasing=False).fit_transform(np.log(sizes), losses)
    enough = np.flatnonzero(losses <= lost)
    if not enough.size:
        return None
    first = int(enough[0])
    if first == 0:
        return float(sizes[0])
    place = (lost - losses[first]) / (losses[first - 1] - losses[first])
    return float(sizes[first] * (sizes[first - 1] / sizes[first]) ** place)
