"""Groups are tried out in few traces, and units that must go together are found."""

import numpy as np
import pytest

from jaxcompress.prune.trials import counts_apart


@pytest.mark.parametrize(
    "sizes", [[4], [2, 2], [2] * 9 + [3, 4, 8], [32] * 58 + [128] * 58, [6, 12, 24]]
)
def test_any_two_groups_lose_different_numbers_and_different_shares_in_some_trial(sizes):
    lost = np.array(counts_apart(sizes, np.random.default_rng(0)))
    shares = lost / np.array(sizes)
    assert len(lost) <= max(2, len(sizes).bit_length())
    for one in range(len(sizes)):
        for other in range(one):
            assert (lost[:, one] != lost[:, other]).any()
            assert (shares[:, one] != shares[:, other]).any()
    assert (lost >= 0).all() and (2 * lost <= sizes).all()
