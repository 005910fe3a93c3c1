"""Bits under a budget, against all choices there are."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcompress.quantization import _mixed_bits as budget
from jaxcompress.quantization._mixed_bits import mixed_bits
from jaxcompress.quantization._sensitivity import Sensitivity
from jaxcompress.quantization.damages import Price

PRICE = st.builds(Price, st.integers(-5, 60).map(lambda n: n / 4), st.integers(1, 40))
PRICES = st.dictionaries(st.integers(1, 8), PRICE, min_size=1, max_size=4)
TABLES = st.lists(PRICES, min_size=1, max_size=5).map(
    lambda prices: Sensitivity(dict(zip("abcde", prices, strict=False)))
)


def total(table, bits):
    chosen = [table.prices[path][number] for path, number in bits.items()]
    return sum(p.damage for p in chosen), sum(p.size_bytes for p in chosen)


def best(table, budget_bytes):
    """Return the least damage, then the least size, of all choices within the budget."""
    choices = itertools.product(*table.prices.values())
    totals = [total(table, dict(zip(table.prices, bits, strict=True))) for bits in choices]
    return min(t for t in totals if t[1] <= budget_bytes)


def smallest(table):
    return sum(min(p.size_bytes for p in prices.values()) for prices in table.prices.values())


@settings(deadline=None)
@given(TABLES, st.integers(0, 120))
def test_no_choice_within_the_budget_is_better(table, spare):
    found = mixed_bits(table, budget_bytes=smallest(table) + spare)
    assert list(found) == list(table.prices)
    assert total(table, found) == best(table, smallest(table) + spare)


@settings(deadline=None, max_examples=50)
@given(TABLES, st.integers(0, 120))
def test_sizes_in_parts_keep_the_budget_and_lose_a_part_for_each_tensor_at_most(table, spare):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "_MOST", 10)
        damage, size = total(table, mixed_bits(table, budget_bytes=smallest(table) + spare))
    lost = (len(table.prices) + 1) * -(-spare // 10)
    assert size <= smallest(table) + spare
    assert damage <= best(table, smallest(table) + max(spare - lost, 0))[0]


def test_a_budget_of_megabytes_for_many_tensors():
    prices = {8: Price(0.0, 2_000_001), 4: Price(1.0, 1_000_001), 2: Price(9.0, 500_001)}
    table = Sensitivity({f"block{n}": prices for n in range(40)})
    found = list(mixed_bits(table, budget_bytes=50_001_000).values())
    assert found.count(8) == 10 and found.count(4) == 30


def test_refusals():
    table = Sensitivity({"a": {8: Price(0, 800), 4: Price(1, 400)}, "b": {8: Price(0, 1_000)}})
    assert mixed_bits(table, budget_bytes=1_400) == {"a": 4, "b": 8}
    with pytest.raises(ValueError, match="must be at least 1,400, the smallest size of these 2"):
        mixed_bits(table, budget_bytes=1_399.9)
    with pytest.raises(ValueError, match="budget_bytes: must be finite and above 0, got nan"):
        mixed_bits(table, budget_bytes=float("nan"))
    with pytest.raises(TypeError, match="budget_bytes: must be a number above 0, got 'all'"):
        mixed_bits(table, budget_bytes="all")
