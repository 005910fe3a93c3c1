"""Bytes and errors of each tensor for each of several settings, as the coder would store it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from jaxcompress.oneshot.outcomes import Outcome
from jaxcompress.oneshot.sources import Track, untracked
from jaxcompress.oneshot.survey import FEW_VALUES
from jaxcompress.packing import block
from jaxcompress.planner._building import KEEP, MOST_ERROR, Surveyed, shares_of
from jaxcompress.planner._record import Choice, Settings
from jaxcompress.planner._refining import Refine
from jaxcompress.planner._words import short

STEP_SIZES = (4.0, *(2.0 ** (-k / 2) for k in range(-3, 2)), *(2.0**-k for k in range(1, 7)))
"""Step sizes tried, in root mean squares of a channel, from 4 down to 1/64, with `sqrt(2)` between
the coarse ones. Small tensors have steps that are up to eight times finer."""

_OF_MANY = tuple(2.0**-k for k in range(-2, 7))
_FEW_STEPS = _OF_MANY[:6]

_WITH_STEPS = (
    ("sparsity", (0.5, 0.7), (2.0, 0.8)),
    ("keep_low_rank", (0.15, 0.25, 0.4), (0.8, 0.3)),
)
"""Settings that go with step sizes, their values, and the steps."""

MANY = 4_000_000
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
    is_measured: bool = False


def rungs(numbers: int, *, everything: bool = True, is_fitted: bool = False) -> list[Rung]:
    """Return the settings to try.

    Args:
        numbers: in the network.
        everything: whether other settings than step sizes are tried.
        is_fitted: whether weights are rounded anew at a price of bits: of many numbers there is
            little left to gain for a quantizer that has such a price itself.
    """
    is_small = numbers < MANY
    steps, measured = (STEP_SIZES, 1 if everything else 2) if is_small else (_OF_MANY, 4)
    found = _steps("steps", {}, steps, measured=measured)
    if everything and (is_small or not is_fitted):
        found += _steps("entropy", {"quantizer": "entropy"}, _FEW_STEPS, measured=2)
    if is_small and everything:
        found += [Rung("clusters", {"clusters": k}, is_measured=True) for k in (4, 8, 16, 32)]
        for name, parts, steps in _WITH_STEPS:
            for part in parts:
                found += _steps(f"{name} {part}", {name: part}, steps, measured=1)
    return found


def _steps(way: str, settings: Settings, steps: Sequence[float], *, measured: int) -> list[Rung]:
    """Return settings with each of the step sizes; one of so many, and the last, is measured."""
    return [
        Rung(way, settings | {"step_size": short(step)}, n % measured == 0 or n == len(steps) - 1)
        for n, step in enumerate(steps)
    ]


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
    refine: Refine,
    progress: Track = untracked,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[dict[str, list[Tried]], float]:
    """Return the choices of each tensor, and the bytes of a file beside them.

    For each rung a whole file is made, a part at a time, and each tensor's part of its streams is
    counted: the bits of its codes under the model that the coder chooses, tables and headers.

    Args:
        found: the tensors.
        tried: settings.
        damage: measures a leaf.
        track: is told what is done.
        refine: rounds the weights of a leaf anew.
        progress: shows how far it is.
        metadata: of the file.
    """
    everything = [*tried, Rung("exact", KEEP, is_measured=False)]
    size = sum(map(found.pruning.bytes_of, range(len(found.source.paths))))
    files: list[_File] = []
    for rung in progress(everything, "measuring", lambda rung: size):
        track(_words(rung.settings))
        files.append(_file(found, rung, damage, refine, metadata))
    beside = median(file.beside for file in files)
    choices: dict[str, list[Tried]] = {path: [] for path in found.paths}
    for file in files:
        more = (file.beside - beside) / len(found.paths)  # entries of tensors name their settings
        for path, one in file.tried.items():
            bytes_of_it = max(one.choice.size_bytes + more, 0.0)
            choice = one.choice._replace(size_bytes=bytes_of_it)
            choices[path].append(one._replace(choice=choice))
    return choices, beside


class _File(NamedTuple):
    """What was found of the file of a rung.

    Attributes:
        tried: the choice of each tensor, without those of which nothing is left.
        beside: bytes of all but these tensors.
    """

    tried: dict[str, Tried]
    beside: float


def _file(
    found: Surveyed,
    rung: Rung,
    damage: Damage,
    refine: Refine,
    metadata: Mapping[str, Any] | None,
) -> _File:
    settings = dict.fromkeys(found.paths, rung.settings)
    planned = found.planned(settings)
    pruning = planned.pruning
    chosen, known = set(pruning.chosen), dict[str, float]()
    outcomes: list[Outcome] = []

    def measured() -> Iterator[tuple[str, Any]]:
        for path, leaf in found.made(planned, settings, outcomes, refine):
            if len(outcomes) - 1 in chosen:
                is_changed = 0 < outcomes[-1].relative_error <= MOST_ERROR
                known[path] = damage(path, leaf) if is_changed and rung.is_measured else 0.0
            yield path, leaf

    sizes, other = shares_of(found.source, measured(), metadata=metadata, coder=block.estimated)
    tried: dict[str, Tried] = {}
    for index in pruning.chosen:
        outcome = outcomes[index]
        path, error = outcome.path, outcome.relative_error
        if rung.settings != KEEP and not error and outcome.kept not in (None, FEW_VALUES):
            continue  # the settings did nothing to this tensor
        if not error <= MOST_ERROR:
            continue  # nothing is left of it
        choice = Choice(rung.settings, sizes[path], error, known[path])
        tried[path] = Tried(rung.way, choice, rung.is_measured)
    kept = sum(size for path, size in sizes.items() if path not in known)
    return _File(tried, other + kept)


def _words(settings: Settings) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
