"""A penalty within a limit: it is reached from above, and the price follows the miss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcompress.optim import limit_penalty


def squares(params):
    return jnp.sum(jnp.square(params["w"]))


def train(limit, steps, every=1, start=2.0):
    """Return the parameters of `(w - 2)^2` after training, and the prices on the way."""
    tx = optax.chain(limit_penalty(squares, limit=limit, end=steps, every=every), optax.sgd(0.1))
    params = {"w": jnp.array([start])}
    state, prices = tx.init(params), []

    @jax.jit
    def turn(params, state):
        updates, state = tx.update({"w": 2 * (params["w"] - 2)}, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = turn(params, state)
        prices.append(float(state[0].price))
    return params, prices


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("limit", [2.0, 3.0])
def test_the_limit_is_reached_at_some_price(limit, every):
    params, prices = train(limit, 500, every)
    assert float(squares(params)) == pytest.approx(limit, rel=0.05)
    assert prices[0] == pytest.approx(0.02 / 4) and prices[-1] > 5 * prices[0]
    # The price of the minimum of (w - 2)^2 + price * w^2 at w^2 = limit.
    assert prices[-1] == pytest.approx(2 / np.sqrt(limit) - 1, rel=0.3)
    assert all(len(set(prices[i : i + every])) == 1 for i in range(0, 500, every))


def test_within_the_limit_the_price_falls_once_it_is_below():
    _, prices = train(100.0, 300)
    assert max(prices) <= 0.011 and prices[-1] <= prices[0] * 1.01


def test_other_leaves_are_left_and_narrow_ones_keep_their_dtype():
    params = {"w": jnp.ones(2, jnp.bfloat16), "count": jnp.arange(3)}
    tx = limit_penalty(lambda p: squares({"w": p["w"].astype(jnp.float32)}), limit=1.0, end=10)
    updates, state = tx.update(params, tx.init(params), params)
    assert updates["w"].dtype == jnp.bfloat16 and updates["w"][0] > 1
    np.testing.assert_array_equal(updates["count"], params["count"])
    again, _ = jax.jit(tx.update)(params, tx.init(params), params)
    np.testing.assert_allclose(again["w"], updates["w"])
    assert state.value == 2 and state.step == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"limit": 0}, "limit: must be finite and above 0, got 0"),
        ({"limit": "8KB"}, "limit: must be a number above 0"),
        ({"end": 0}, "end: must be at least 1, got 0"),
        ({"every": 1.5}, "every: must be an integer from 1, got 1.5"),
    ],
)
def test_wrong_limits_are_refused(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        limit_penalty(squares, **{"limit": 1.0, "end": 10} | wrong)
    with pytest.raises(ValueError, match="limit_penalty: update needs params"):
        tx = limit_penalty(squares, limit=1.0, end=10)
        tx.update({"w": jnp.ones(1)}, tx.init({"w": jnp.ones(1)}))
