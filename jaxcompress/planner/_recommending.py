"""Which technique first, second, not at all: by what each reaches alone, beside the textbook."""

from collections.abc import Iterator, Sequence

from jaxcompress.planner._judge import Attempt, Judge
from jaxcompress.planner._plan import Budget, Plan, checked_budget
from jaxcompress.planner._planning import plan
from jaxcompress.planner._recommendation import Advice, Recommendation
from jaxcompress.planner._record import Network, Profile
from jaxcompress.planner._selection import missing, only
from jaxcompress.planner._techniques import (
    BLOCKS,
    OF_CUTS,
    OF_WEIGHTS,
    QUANTIZATION,
    TECHNIQUES,
    UNITS,
    technique_of,
    technique_of_cut,
)
from jaxcompress.planner._textbook import (
    HARDWARE,
    TARGETS,
    UNMEASURED,
    Case,
    first,
    named,
    saying,
)
from jaxcompress.planner._words import number

COMBINATIONS = (
    *((name,) for name in TECHNIQUES),
    (UNITS, QUANTIZATION),
    (BLOCKS, QUANTIZATION),
    OF_WEIGHTS,
)
"""What is compared; where two are as good, the earlier of fewer techniques counts."""


def recommend(
    profile: Profile,
    *,
    size_bytes: int | str | None = None,
    drop: float | None = None,
    target: str = "edge",
    hardware: str = "cpu",
) -> Recommendation:
    """Return which technique to use first, second, and not at all.

    Each technique, and the usual combinations, are planned for within the budget with their own
    choices alone (`only`). So each has a plan to carry out, and a reason that was measured, beside
    that of textbooks. Where they disagree the measurement counts, and the text says so. What the
    profile cannot tell is "not measured".

    At a size the smallest loss is the best, and without one the smallest file. On a server it is
    the fastest network at the largest batch size, if it loses at most `drop`. On one's own
    premises a smaller loss counts before bytes. Where two are as good (apart by 2 %, or less loss
    than an eighth of the interval of its prediction), it is the simpler one.

    Args:
        profile: of the network; that of weights alone compares by errors of the weights.
        size_bytes: of the file, at most: 20_000 or "20KB".
        drop: loss of quality that is acceptable, in the unit of `evaluate`; the textbook takes it
            for points in a hundred, and for less than 2 where it is not given.
        target: "edge", "server" or "on-premises".
        hardware: "cpu", "gpu" or "sparse", units for 2:4 sparsity, for the textbook alone: times
            are those of the machine on which the profile was made.

    Raises:
        ValueError: another word, no budget, or one that cannot be met by any technique.

    Example:
        >>> from jaxcompress.planner import Task, profile
        >>> import numpy as np
        >>> weights = np.random.default_rng(0).standard_normal((64, 64))
        >>> found = recommend(profile(Task(None, {"w": weights})), size_bytes="2KB")
        >>> found.first.technique, found.first.plan.size_bytes <= 2000
        ('quantization', True)
        >>> found.first.cells[3:6]  # milliseconds, times faster, quality lost
        ['not measured', 'not measured', 'not measured']
    """
    for name, value, words in (("target", target, TARGETS), ("hardware", hardware, HARDWARE)):
        if value not in words:
            raise ValueError(f"{name}: must be one of {', '.join(words)}, got {value!r}.")
    budget = checked_budget(size_bytes, None, drop)
    if profile.quality is None and budget.size_bytes is not None:
        budget = budget._replace(drop=None)  # it is for the textbook, as nothing was evaluated
    _planned(profile, budget)  # refuses what nothing can reach
    case = Case(profile.architecture, target, hardware, drop)
    judge = Judge(profile, budget, target)
    found, refused = _attempts(profile, budget, judge)
    rows = _ranked(found, judge)
    advice = [judge.advice(case, row, n + 1, rows[0]) for n, row in enumerate(rows)]
    listed = [*advice, *_unmeasured(case)]
    listed += [
        Advice(name, 0, None, why, saying(name, case), "", None) for name, why in refused.items()
    ]
    return Recommendation(case, listed, _notes(profile, case, listed))


def _planned(profile: Profile, budget: Budget) -> Plan:
    size = None if budget.size_bytes is None else int(budget.size_bytes)
    return plan(profile, size_bytes=size, drop=budget.drop)


def _attempts(
    profile: Profile, budget: Budget, judge: Judge
) -> tuple[list[Attempt], dict[str, str]]:
    """Return what can be planned for, and why the others cannot."""
    found: dict[tuple[str, ...], Attempt] = {}
    refused: dict[str, str] = {}
    for wanted in COMBINATIONS:
        absent = {name: why for name in wanted if (why := missing(profile, name))}
        if absent and wanted != OF_WEIGHTS:
            refused |= absent
            continue
        part = only(profile, [name for name in wanted if name not in absent])
        cuts = bool({*wanted} & {*OF_CUTS.values()})
        networks = [network for network in part.networks if bool(network.cut) == cuts]
        plans, why = _plans(part, networks, budget)
        if not plans:
            refused[named(wanted)] = why
            continue
        best = min(plans, key=judge.worth)
        if used := _used(best, wanted):
            found.setdefault(used, Attempt(used, best))
        else:
            refused[named(wanted)] = "the network is small enough as it is"
    return list(found.values()), refused


def _plans(profile: Profile, networks: Sequence[Network], budget: Budget) -> tuple[list[Plan], str]:
    """Return a plan for each network that can keep the budget, and why no other can."""
    plans, reasons = [], []
    for network in networks:
        try:
            plans.append(_planned(profile._replace(networks=[network]), budget))
        except ValueError as error:
            reasons.append(_why(profile, network, budget) or str(error).partition(";")[0])
    least = min(network.reachable[0] for network in networks)
    if budget.size_bytes is not None and least > budget.size_bytes:
        return plans, f"its smallest file has {number(least)} bytes"
    return plans, reasons[-1] if reasons else ""


def _why(profile: Profile, network: Network, budget: Budget) -> str:
    """Return what a network loses at a size, where it is more than the budget; "" without both."""
    if budget.size_bytes is None or budget.drop is None or network.reachable[0] > budget.size_bytes:
        return ""
    small = _planned(profile._replace(networks=[network]), budget._replace(drop=None))
    lost = small.drop
    return "" if lost is None else f"loses {number(lost.drop)} at {number(small.size_bytes)} bytes"


def _used(found: Plan, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the techniques that a plan uses, in the order in which they were asked for."""
    used = {technique_of(each) for each in found.settings.values()} | {technique_of_cut(found.cut)}
    return tuple(name for name in wanted if name in used)


def _ranked(found: Sequence[Attempt], judge: Judge) -> list[Attempt]:
    """Return the best first; of those that are as good, the one of fewest techniques."""
    left, ranked = list(found), []
    while left:
        best = min(left, key=lambda row: judge.worth(row.plan))
        near = [row for row in left if judge.is_near(row.plan, best.plan)]
        simplest = min(near, key=lambda row: len(row.techniques))
        ranked.append(simplest)
        left.remove(simplest)
    return ranked


def _unmeasured(case: Case) -> Iterator[Advice]:
    for name, why in UNMEASURED.items():
        yield Advice(name, None, None, f"not measured: {why}", saying(name, case), "", None)


def _notes(profile: Profile, case: Case, rows: Sequence[Advice]) -> list[str]:
    begins, chosen = first(case), rows[0].technique
    known = next((row for row in rows if row.technique == begins), None)
    notes = []
    if begins != chosen:
        why = "which this profile does not offer" if known is None else known.measured
        notes.append(f"textbook: begins with {begins}, not with {chosen}: {why}")
    if not profile.networks[0].latency:
        notes.append("time: not measured, the profile has no apply and example")
    else:
        notes.append(
            "time: of the machine of the profile, with weights decoded to floats; integers and "
            "zeros are no faster there"
        )
    if profile.quality is None:
        notes.append(f"quality: not measured, the profile has no evaluate; by {profile.metric}")
    return notes
