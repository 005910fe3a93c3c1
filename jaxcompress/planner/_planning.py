"""The network and the choices of least loss within a budget."""

from collections.abc import Callable, Sequence

from jaxcompress.planner._choosing import Candidates, Chosen
from jaxcompress.planner._leaving import leaving, spared
from jaxcompress.planner._plan import Budget, Plan, checked_budget, stamp_of
from jaxcompress.planner._record import CUT_ONLY, LEAVE, Network, Profile
from jaxcompress.planner._words import number


def plan(
    profile: Profile,
    *,
    size_bytes: int | str | None = None,
    speedup: float | None = None,
    drop: float | None = None,
    leave: Sequence[str] = (),
) -> Plan:
    """Return the network and the choices of least loss within a budget.

    Of each network of the profile that is fast enough, the choices of least damage whose file is
    small enough are found by `knapsack.frontier`; the network of the smallest predicted loss of
    quality (or damage, where nothing was evaluated) is taken. With `drop` and no size it is the
    smallest file whose predicted loss is at most that.

    Where the network can be fine-tuned, predictions are those before it, and `drop` is for
    `carry_out` to reach; else a loss that is predicted to be larger is refused.

    Args:
        profile: of the network.
        size_bytes: of the file, at most: 20_000 or "20KB".
        speedup: how many times faster, at least, at each batch size of the task.
        drop: loss of quality, in the unit of `evaluate`, at most.
        leave: patterns of paths of tensors that stay exactly as they are, as in `rules` of
            `compress`, beside those of the profile.

    Raises:
        ValueError: no budget, or one that cannot be met; it names the nearest that can.

    Example:
        >>> from jaxcompress.planner import Task, profile
        >>> import numpy as np
        >>> weights = np.random.default_rng(0).standard_normal((64, 64))
        >>> found = plan(profile(Task(None, {"w": weights})), size_bytes="3KB")
        >>> found.size_bytes <= 3000, list(found.settings)
        (True, ['w'])
    """
    budget = checked_budget(size_bytes, speedup, drop)
    if not profile.networks:
        raise ValueError(
            "profile: must have a network, got none; measure the whole one, without cut_only."
        )
    if profile.unfinished:
        raise ValueError(
            f"profile: must be finished, {', '.join(profile.unfinished)} is still to be measured; "
            "call profile with its path again."
        )
    if drop is not None and profile.quality is None:
        raise ValueError("drop: needs a profile with evaluate, got none; give the task one.")
    is_left = leaving(profile, leave)
    networks, spared_notes = _sparing(profile, is_left)
    solved = [Candidates(network, leaves=is_left) for network in networks]
    fast = _fast_enough(solved, budget.speedup)
    fitting = _fitting(fast, solved, budget)
    chosen, notes = _best(profile, fitting, budget)
    notes += [f"why: {line}" for line in profile.limits if line == CUT_ONLY]
    notes += spared_notes.get(chosen.network.name, [])
    found = _plan(profile, budget, chosen, [*notes, *_curve(profile, fast, chosen)])
    small = [path for kept in profile.kept.values() for path in kept]
    left = dict.fromkeys(filter(is_left, [*found.settings, *small]), LEAVE)
    found = found._replace(settings=found.settings | left)
    return found._replace(stamp=stamp_of(found))


def _sparing(
    profile: Profile, is_left: Callable[[str], bool]
) -> tuple[list[Network], dict[str, list[str]]]:
    """Return the networks that can be made without tensors to leave, and what to say of each.

    Raises:
        ValueError: there are none.
    """
    found: list[Network] = []
    notes: dict[str, list[str]] = {}
    for network in profile.networks:
        cut = spared(network.cut, profile.parts, is_left)
        if cut is None:
            continue
        found.append(network._replace(cut=cut))
        if cut != network.cut:
            notes[network.name] = [
                "units of tensors to leave are not cut: it is slower and larger than predicted"
            ]
    if not found:
        raise ValueError(
            "leave: must leave something to cut, got every network of the profile with a cut of "
            "these tensors; leave fewer, or measure the whole network, without cut_only."
        )
    return found, notes


def _fast_enough(solved: Sequence[Candidates], speedup: float | None) -> list[Candidates]:
    if speedup is None:
        return list(solved)
    found = [s for s in solved if s.network.latency and _speedup(s) >= speedup]
    if found:
        return found
    timed = [s for s in solved if s.network.latency]
    if not timed:
        raise ValueError(
            "speedup: needs a network that was timed, got none; give the task apply and example."
        )
    best = max(timed, key=_speedup)
    slowest = min(best.network.latency, key=lambda t: t.speedup)
    raise ValueError(
        f"speedup: at most {_speedup(best):.2f} can be reached ({best.network.name}, batch "
        f"{slowest.batch_size}), got {speedup:g}; lower it, or name fewer batch sizes."
    )


def _speedup(solved: Candidates) -> float:
    return min(t.speedup for t in solved.network.latency) if solved.network.cut else 1.0


def _fitting(
    fast: Sequence[Candidates], solved: Sequence[Candidates], budget: Budget
) -> list[Candidates]:
    if budget.size_bytes is None:
        return list(fast)
    found = [s for s in fast if s.smallest <= budget.size_bytes]
    if found:
        return found
    least = min(fast, key=lambda s: s.smallest)
    limit = "" if len(solved) > 1 else ", as no smaller network can be cut out"
    raise ValueError(
        f"size_bytes: must be at least {least.smallest:,.0f} ({least.network.name}){limit}, got "
        f"{budget.size_bytes:,.0f}; raise it."
    )


def _best(
    profile: Profile, fitting: Sequence[Candidates], budget: Budget
) -> tuple[Chosen, list[str]]:
    """Return the best choices of all networks, and what was against the others."""
    if budget.size_bytes is None and budget.drop is not None:
        found = [(s, s.for_drop(budget.drop)) for s in fitting]
        small = [chosen for _, chosen in found if chosen is not None]
        if small:
            return min(small, key=lambda chosen: chosen.size_bytes), []
        near = min((s.finest for s in fitting), key=lambda chosen: chosen.cost(profile))
        if not profile.is_trained:
            raise ValueError(
                f"drop: at least {near.cost(profile):.3g} is predicted ({near.network.name}), got "
                f"{budget.drop:g}; raise it, or ask for less speed."
            )
        return near, ["before fine-tuning no network loses so little: training has to recover it"]
    size = float("inf") if budget.size_bytes is None else budget.size_bytes
    options = [chosen for s in fitting if (chosen := s.within(size)) is not None]
    best = min(options, key=lambda chosen: chosen.cost(profile))
    lost = best.drop(profile)
    if budget.drop is None or lost is None or lost.drop <= budget.drop:
        return best, []
    if profile.is_trained:
        return best, ["before fine-tuning more is lost than asked for: training has to recover it"]
    enough = [c.size_bytes for s in fitting if (c := s.for_drop(budget.drop)) is not None]
    needs = f"needs about {min(enough):,.0f} bytes" if enough else "cannot be reached so fast"
    raise ValueError(
        f"drop: at most {budget.drop:g} {needs}, got {size:,.0f} with a loss of {lost.drop:.3g}; "
        "raise one of them."
    )


def _curve(profile: Profile, fast: Sequence[Candidates], chosen: Chosen) -> list[str]:
    """Return what each network that is fast enough would lose at the size chosen."""
    what = "quality lost" if chosen.drop(profile) is not None else "damage"
    lines = []
    for solved in fast:
        other = solved.within(chosen.size_bytes + 1)
        name = solved.network.name
        if other is None:
            lines.append(f"why: {name}: its smallest file has {number(solved.smallest)} bytes")
        else:
            mark = ", chosen" if name == chosen.network.name else ""
            lines.append(
                f"why: {name}: {what} {number(other.cost(profile))} at "
                f"{number(other.size_bytes)} bytes{mark}"
            )
    return lines


def _plan(profile: Profile, budget: Budget, chosen: Chosen, why: list[str]) -> Plan:
    network = chosen.network
    return Plan(
        network=profile.network,
        name=network.name,
        cut=network.cut,
        settings=chosen.settings,
        half=True,
        budget=budget,
        size_bytes=chosen.size_bytes,
        latency=network.latency,
        damage=network.damage + chosen.damage,
        drop=chosen.drop(profile),
        metric=profile.metric,
        is_trained=profile.is_trained,
        learning_rate=profile.learning_rate,
        why=why,
        stamp="",
    )
