"""Quantizers by name: one table, and what its step sizes are relative to."""

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.oneshot import SHARING, Weights, weights_of

# Of the weights that are not zero the root mean square is 2; the bias is out of the scope.
PARAMS = {"bias": np.full(3, 9.0), "kernel": np.array([[2.0, -2.0, 0.0], [2.0, 0.0, -2.0]])}
UNEQUAL = {"large": np.arange(1.0, 33).reshape(8, 4), "small": np.ones((1, 1))}


def unasked():
    raise AssertionError("all weights were read, or their importance was asked for")


def test_the_table_says_how_each_says_how_finely():
    assert {name: choice.parameter for name, choice in SHARING.items()} == {
        "kmeans": "clusters",
        "uniform": "step_size",
        "entropy": "step_size",
    }


def test_steps_are_in_root_mean_squares_of_the_weights_that_are_not_zero():
    assert weights_of(PARAMS).step_size(0.25) == 0.5
    everywhere = weights_of(PARAMS, scope=lambda path, leaf: True)
    assert everywhere.step_size(1) == pytest.approx(np.sqrt((4 * 4 + 3 * 81) / 7))
    assert weights_of({"kernel": np.zeros((2, 2))}).step_size(0.5) == 0.5


def test_importance_is_by_size_among_what_is_in_the_scope():
    importance = weights_of(UNEQUAL).importance()
    assert importance("large", UNEQUAL["large"]) == 1.0
    assert importance("small", UNEQUAL["small"]) == 4.0


@pytest.mark.parametrize("step", [0, -1.0, np.nan, "fine"])
def test_no_step_is_refused_before_weights_are_read(step):
    weights = Weights(unasked, unasked)
    for name in ("uniform", "entropy"):
        with pytest.raises((ValueError, TypeError), match="^step_size: must be .*; 0.5 is fine"):
            SHARING[name].technique(step, weights)


def test_no_fineness_is_refused_at_once():
    with pytest.raises(ValueError, match="^clusters: |^k "):
        SHARING["kmeans"].technique(0, Weights(unasked, unasked))


@pytest.mark.filterwarnings("ignore:.*fewer than")
def test_techniques_are_those_that_have_the_name():
    relative, importance = 0.5, jc.sharing.size_importance(UNEQUAL)
    step_size = relative * np.sqrt((sum(n * n for n in range(1, 33)) + 1) / 33)
    explicit = {
        "kmeans": (3, jc.kmeans(UNEQUAL, 3)),
        "uniform": (relative, jc.uniform(UNEQUAL, step_size, importance=importance)),
        "entropy": (
            relative,
            jc.entropy_constrained(
                UNEQUAL, jc.sharing.high_rate_weight(step_size), importance=importance
            ),
        ),
    }
    assert explicit.keys() == SHARING.keys()
    for name, (value, wanted) in explicit.items():
        found = jc.dense(SHARING[name].technique(value, weights_of(UNEQUAL))(UNEQUAL))
        for path, tensor in jc.dense(wanted).items():
            np.testing.assert_array_equal(found[path], tensor, err_msg=f"{name}: {path}")


@pytest.mark.filterwarnings("ignore:.*fewer than")
@pytest.mark.parametrize("name", SHARING)
def test_by_those_that_share_masked_weights_stay_zero(name):
    mask = {path: np.ones(leaf.shape, bool) for path, leaf in UNEQUAL.items()}
    mask["large"][0] = False
    technique = SHARING[name].technique(3 if name == "kmeans" else 0.1, weights_of(UNEQUAL))
    shared = jc.dense(technique(UNEQUAL, mask=mask))
    assert not np.any(shared["large"][0]) and np.all(shared["large"][1:])
