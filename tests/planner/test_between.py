"""Choices between measured step sizes lie on curves through them."""

import pytest

from jaxcompress.planner._between import filled
from jaxcompress.planner._record import Choice, Tensor

EXACT = Choice({"keep": True}, 4000.0, 0.0, 0.0)


def steps(*rows, **others):
    return [Choice(others | {"step_size": s}, float(size), error, d) for s, size, error, d in rows]


def test_two_neighbours_by_hand():
    coarse, fine = steps((1.0, 400, 0.2, 0.004), (0.5, 900, 0.1, 0.001))
    (tensor,) = filled([Tensor("w", (32, 32), [coarse, fine, EXACT])])
    found = {choice.settings["step_size"]: choice for choice in tensor.choices[:-1]}
    assert tensor.choices[0] == coarse and tensor.choices[-2:] == [fine, EXACT]
    count = 41  # log(900 / 400) / 0.02 parts
    assert len(found) == count + 1
    power = 0.5 ** (20 / count)  # a power law through two points
    middle = found[float(f"{power:.4g}")]
    part = 20 / count
    assert middle.size_bytes == pytest.approx(400 * (900 / 400) ** part)
    assert middle.error == pytest.approx(0.2 * power)
    assert middle.damage == pytest.approx(0.004 * power**2)


def test_files_are_filled_not_tensors():
    """A tensor of a twentieth of the bytes needs no choices between."""
    rows = steps((1.0, 20, 0.2, 0.004), (0.5, 29, 0.1, 0.001))
    small = Tensor("small", (8, 8), [*rows, EXACT._replace(size_bytes=200.0)])
    large = Tensor("large", (99, 99), [EXACT])
    assert filled([large, small]) == [large, small]
    (alone,) = filled([small])
    assert len(alone.choices) > 10


def test_families_are_not_mixed_and_wide_gaps_stay():
    pruned = steps((1.0, 300, 0.5, 0.1), sparsity=0.5)
    plain = steps((1.0, 400, 0.2, 0.004), (0.2, 900, 0.05, 0.0002))
    given = Tensor("w", (32, 32), [*pruned, *plain, EXACT])
    assert filled([given]) == [given]


def test_parts_of_no_bytes_and_no_damage_are_no_error():
    rows = steps((1.0, 0, 0.2, 0.0), (0.5, 0.5, 0.1, 0.0))
    (tensor,) = filled([Tensor("w", (8, 8), [*rows, EXACT])])
    assert tensor.choices[0] == rows[0] and tensor.choices[-1] == EXACT
