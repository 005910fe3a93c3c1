"""The knapsack: exact against all choices, monotone, and refused where nothing fits."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcompress.planner._knapsack import Options, frontier

ITEMS = st.lists(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


def least_damage(items, budget):
    return frontier(items).within(budget)


def options(items):
    return [
        Options(np.array([c for c, _ in i], float), np.array([d for _, d in i], float))
        for i in items
    ]


def best(items, budget):
    """Return the least damage of all choices that fit."""
    fits = [pick for pick in itertools.product(*items) if sum(c for c, _ in pick) <= budget]
    return min((sum(d for _, d in pick) for pick in fits), default=None)


@pytest.mark.slow
@given(ITEMS, st.integers(0, 220))
@settings(deadline=None, max_examples=100)
def test_as_good_as_the_best_of_all_choices(items, budget):
    chosen = least_damage(options(items), budget)
    wanted = best(items, budget)
    if wanted is None:
        assert chosen is None
        return
    picked = [item[n] for item, n in zip(items, chosen, strict=True)]
    assert sum(c for c, _ in picked) <= budget
    # Rounding up costs a part in 65 536 for each item: a budget that much larger is enough.
    assert (
        sum(d for _, d in picked) <= best(items, budget - 0.02)
        if best(items, budget - 0.02) is not None
        else True
    )


@given(ITEMS, st.integers(0, 200), st.integers(0, 40))
@settings(deadline=None, max_examples=100)
def test_more_budget_never_does_more_damage(items, budget, more):
    small, large = (least_damage(options(items), b) for b in (budget, budget + more))
    if small is not None:
        damages = [
            sum(item[n][1] for item, n in zip(items, chosen, strict=True))
            for chosen in (small, large)
        ]
        assert damages[1] <= damages[0]


def test_equal_options_and_no_room():
    item = Options(np.array([3.0, 3.0]), np.array([2.0, 1.0]))
    assert least_damage([item, item], 6) == [1, 1]
    assert least_damage([item, item], 5.9) is None


@given(ITEMS, st.integers(0, 200))
@settings(deadline=None, max_examples=100)
def test_least_cost_for_a_damage(items, damage):
    chosen = frontier(options(items)).least_cost(damage)
    fits = [pick for pick in itertools.product(*items) if sum(d for _, d in pick) <= damage]
    if not fits:
        assert chosen is None
        return
    picked = [item[n] for item, n in zip(items, chosen, strict=True)]
    assert sum(d for _, d in picked) <= damage
    assert sum(c for c, _ in picked) <= min(sum(c for c, _ in pick) for pick in fits) + 0.02


def test_many_items_are_near_the_bound_of_lagrange():
    count = 200
    random = np.random.default_rng(0)
    costs = np.sort(random.uniform(1, 100, (count, 15)), axis=1)
    damages = np.sort(random.uniform(0, 1, (count, 15)), axis=1)[:, ::-1]
    budget = float(costs.mean() * count * 0.7)
    chosen = least_damage([Options(c, d) for c, d in zip(costs, damages, strict=True)], budget)
    at = np.arange(count), chosen
    assert costs[at].sum() <= budget
    weights = np.geomspace(1e-5, 1, 400)
    bound = max((damages + w * costs).min(axis=1).sum() - w * budget for w in weights)
    assert bound <= damages[at].sum() <= 1.01 * bound + 0.05
