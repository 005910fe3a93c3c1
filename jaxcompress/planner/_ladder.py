"""Bytes and errors of each tensor for each of several settings, from real files."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from jaxcompress.planner._building import KEEP, Surveyed, shares_of
from jaxcompress.planner._record import Choice, Settings

STEP_SIZES = tuple(2.0 ** (-k / 2) for k in range(-2, 13))
"""Step sizes tried, in root mean squares of a channel, from 2 down to 1/64."""

_FEW_STEPS = STEP_SIZES[:11:2]
_MANY = 4_000_000
"""Numbers of a network from which fewer settings are tried: a file of each takes seconds."""


class Rung(NamedTuple):
    """Settings that all tensors have at a time.

    Attributes:
        way: of what family the settings are.
        settings: which.
        is_measured: whether damages are measured, or taken from those nearby.
    """

    way: str
    settings: Settings
    is_measured: bool


def rungs(numbers: int, *, everything: bool = True) -> list[Rung]:
    """Return the settings to try.

    Args:
        numbers: in the network.
        everything: whether other settings than step sizes are tried.
    """
    steps = STEP_SIZES if numbers < _MANY else STEP_SIZES[::2]
    found = [
        Rung("steps", {"step_size": _short(step)}, n % 4 == 0 or n == len(steps) - 1)
        for n, step in enumerate(steps)
    ]
    if not everything:
        return found
    coarse = _FEW_STEPS
    found += [
        Rung("entropy", {"quantizer": "entropy", "step_size": _short(step)}, n % 2 == 0)
        for n, step in enumerate(coarse)
    ]
    if numbers < _MANY:
        found += [Rung("clusters", {"clusters": k}, k in (4, 32)) for k in (4, 8, 16, 32)]
        found += [
            Rung(f"sparsity {part}", {"sparsity": part, "step_size": step}, step != 1.4)
            for part in (0.3, 0.5, 0.7)
            for step in (2.0, 1.4, 0.8)
        ]
        found += [
            Rung(f"rank {part}", {"keep_low_rank": part, "step_size": step}, is_measured=True)
            for part in (0.15, 0.25, 0.4)
            for step in (0.8, 0.3)
        ]
    return found


def _short(step: float) -> float:
    return float(f"{step:.4g}")


Damage = Callable[[str, Any], float]
"""From the path of a tensor and its leaf to the damage."""


class Tried(NamedTuple):
    """A choice and how it came about.

    Attributes:
        way: of its settings.
        choice: with a damage if it was measured.
        is_measured: whether it was.
    """

    way: str
    choice: Choice
    is_measured: bool


def ladder(
    found: Surveyed,
    tried: Sequence[Rung],
    damage: Damage,
    *,
    track: Callable[[str], None],
) -> tuple[dict[str, list[Tried]], float]:
    """Return the choices of each tensor, and the bytes of a file beside them.

    For each rung a whole file is made, and each tensor's part of its streams is read off. So sizes
    are those of the coder, tables and headers included.

    Args:
        found: the tensors.
        tried: settings.
        damage: measures a leaf.
        track: is told what is done.
    """
    choices: dict[str, list[Tried]] = {path: [] for path in found.paths}
    beside: list[float] = []
    for rung in (*tried, Rung("exact", KEEP, is_measured=False)):
        track(_words(rung.settings))
        for path, own in _rung(found, rung, damage, beside):
            choices[path].append(own)
    return choices, median(beside)


def _rung(
    found: Surveyed, rung: Rung, damage: Damage, beside: list[float]
) -> Iterator[tuple[str, Tried]]:
    paths = found.paths
    leaves, outcomes = found.leaves(dict.fromkeys(paths, rung.settings))
    with tempfile.TemporaryDirectory() as folder:
        sizes, other = shares_of(found.source, leaves, Path(folder, "rung.npz"))
    beside.append(other + sum(size for path, size in sizes.items() if path not in set(paths)))
    for index in found.pruning.chosen:
        path, outcome = found.source.paths[index], outcomes[index]
        error = outcome.relative_error
        if rung.settings != KEEP and outcome.kept is not None and not error:
            continue  # the settings did nothing to this tensor
        if not error <= 1:
            continue  # nothing is left of it
        known = damage(path, leaves[index]) if error and rung.is_measured else 0.0
        choice = Choice(rung.settings, sizes[path], error, known)
        yield path, Tried(rung.way, choice, rung.is_measured)


def _words(settings: Settings) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
