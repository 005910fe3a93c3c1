"""Training for rate: bits against integrals and files, gradients, and what is stored."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxcompress as jc
from jaxcompress.leaves import Quantized
from jaxcompress.quantization import (
    LevelDensity,
    free_numbers,
    level_bits,
    rate_aware,
    with_numbers,
)
from jaxcompress.quantization._density import start_density, width_bits

RNG = np.random.default_rng(0)
PARAMS = {
    "first": RNG.normal(size=(24, 32)).astype(np.float32),
    "bias": RNG.normal(size=32).astype(np.float32),
    "last": RNG.normal(size=(32, 3)).astype(np.float32),
}
X = RNG.normal(size=(64, 24)).astype(np.float32)
PARTS = {"params": "params", "steps": "steps", "densities": "densities"}


def mlp(params, x):
    return jax.nn.relu(x @ params["first"] + params["bias"]) @ params["last"]


def mixture(rows=None, columns=None):
    numbers = np.log([0.6, 0.3, 0.1]), np.log([0.2, 1.0, 4.0])
    return LevelDensity(*(jnp.asarray(each, jnp.float32) for each in numbers), rows, columns)


def test_bits_are_those_of_the_integral_of_the_density():
    x = np.linspace(-0.5, 0.5, 20_001)
    for level in (0, 0.3, -1, 2.5, 12):
        z = (x + level)[:, None] / np.array([0.2, 1.0, 4.0])
        logistic = np.exp(-np.abs(z)) / np.square(1 + np.exp(-np.abs(z)))
        density = logistic @ (np.array([0.6, 0.3, 0.1]) / np.array([0.2, 1.0, 4.0]))
        wanted = -np.log2(np.trapezoid(density, x))
        assert float(level_bits(level, mixture())) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.slow
def test_probabilities_add_up_to_one_in_every_row_and_column():
    rows, columns = jnp.array([-1.0, 0.5]), jnp.array([0.3, 0.0, 1.0])
    levels = np.arange(-400, 401, dtype=np.float32)[:, None]
    for row in rows:
        density = mixture(jnp.full(len(levels), row), columns[2:])
        assert float(jnp.sum(2.0 ** -level_bits(levels, density))) == pytest.approx(1, abs=1e-4)
    whole = level_bits(np.full((2, 3), 2.0), mixture(rows, columns))
    assert float(whole[1, 2]) == pytest.approx(
        float(level_bits(2.0, mixture()._replace(widths=mixture().widths + 1.5))), abs=1e-4
    )


@pytest.mark.slow
def test_levels_far_out_have_finite_bits_and_gradients():
    density = start_density(np.zeros(8))
    value, slope = jax.value_and_grad(lambda x: level_bits(x, density))(jnp.float32(1e4))
    assert 20 < value < 41 and np.isfinite(slope)
    moved = jax.grad(lambda d: level_bits(jnp.float32(1e4), d))(density)
    assert all(np.isfinite(each).all() for each in (moved.logits, moved.widths))


def test_widths_of_rows_have_a_price_and_small_tensors_have_none():
    assert start_density(np.ones((20, 20))).rows is None
    assert start_density(np.ones(5000)).rows is None
    density = start_density(np.ones((3, 3, 8, 16)))
    assert density.rows.shape == (72,) and density.columns.shape == (16,)
    assert width_bits(density) == 0 < width_bits(density._replace(rows=jnp.ones(72)))


@pytest.mark.slow
def test_fewer_bits_lie_towards_zero_and_at_larger_steps():
    rate = rate_aware(mlp)
    rated = rate.init(PARAMS)
    slopes = jax.grad(rate.bits)(rated)
    for path in ("first", "last"):
        levels = np.asarray(rate.quantize(rated)[path].values)
        towards = np.sign(slopes["params"][path]) * np.sign(levels)
        assert (towards[levels != 0] > 0).all() and slopes["steps"][path].exponent.item() < 0
        assert np.abs(slopes["params"][path][levels == 0]).max() < 1e-3
    assert not slopes["params"]["bias"].any()


def train(rated, rate, tx, steps, price=0.0):
    state = tx.init(rated)
    wanted = mlp(PARAMS, X)

    @jax.jit
    def turn(rated, state):
        def loss(rated):
            return jnp.mean((rate.apply(rated, X) - wanted) ** 2) + price * rate.bits(rated)

        updates, state = tx.update(jax.grad(loss)(rated), state, rated)
        return optax.apply_updates(rated, updates), state

    for _ in range(steps):
        rated, state = turn(rated, state)
    return rated


@pytest.mark.slow
def test_a_price_buys_bits_and_pruned_weights_remain_zero():
    mask = jc.magnitude_mask(PARAMS, 0.5)
    rate = rate_aware(mlp)
    start = rate.init(jc.apply_mask(PARAMS, mask))
    tx = optax.partition(
        {
            "params": optax.chain(optax.adam(0.01), jc.hold_mask({"params": mask})),
            "steps": optax.adam(0.01),
            "densities": optax.adam(0.03),
        },
        PARTS,
    )
    cheap, dear = (train(start, rate, tx, 150, price) for price in (0.0, 3e-3))
    assert rate.bits(dear) < 0.7 * rate.bits(cheap)
    for rated in (cheap, dear):
        for path, tensor in jc.dense(rate.quantize(rated)).items():
            assert not np.asarray(tensor)[~np.asarray(mask[path])].any()


@pytest.mark.slow
def test_the_file_has_about_the_bytes_that_the_bits_say():
    rng = np.random.default_rng(1)
    usual = np.exp(rng.normal(size=(400, 1)) * 0.7 + rng.normal(size=300) * 0.3)
    params = {"kernel": (rng.laplace(size=(400, 300)) * usual).astype(np.float32)}
    rate = rate_aware(lambda params: params, step_size=1.0)
    rated = rate.init(params)
    tx = optax.adam(0.05)
    state = tx.init(rated["densities"])

    @jax.jit
    def turn(densities, state):
        slopes = jax.grad(lambda d: rate.bits(rated | {"densities": d}))(densities)
        updates, state = tx.update(slopes, state)
        return optax.apply_updates(densities, updates), state

    densities = rated["densities"]
    for _ in range(100):
        densities, state = turn(densities, state)
    rated |= {"densities": densities}
    stored = rate.quantize(rated)
    bound = jc.metrics.entropy_bound_bytes(stored)
    expected = float(rate.bits(rated)) / 8
    size = jc.size_bytes(jax.tree.map(np.asarray, stored), layout="entropy")
    assert expected == pytest.approx(size, rel=0.1)
    assert max(size, expected) < 0.97 * bound  # rows and columns tell more than their frequencies


@pytest.mark.slow
def test_what_is_trained_is_what_is_stored():
    rate = rate_aware(lambda params: params, step_size=0.3)
    params = PARAMS | {
        "half": jnp.asarray(PARAMS["first"], jnp.bfloat16),
        "none": np.zeros((4, 5), "f"),
    }
    rated = rate.init(params)
    seen, stored = rate.apply(rated), jc.dense(rate.quantize(rated))
    for path, leaf in params.items():
        np.testing.assert_array_equal(np.asarray(seen[path]), np.asarray(stored[path]))
        assert seen[path].dtype == leaf.dtype
    assert isinstance(rate.quantize(rated)["half"], Quantized)
    near = np.abs(np.asarray(seen["first"]) - PARAMS["first"]).max()
    scale = float(rate.quantize(rated)["first"].scale.item())
    assert near <= scale / 2 + 1e-6 and stored["bias"] is rated["params"]["bias"]


def test_compiled_and_eager_agree():
    rate = rate_aware(mlp)
    rated = rate.init(PARAMS)
    assert float(jax.jit(rate.bits)(rated)) == pytest.approx(float(rate.bits(rated)), rel=1e-5)
    eager, compiled = rate.quantize(rated), jax.jit(rate.quantize)(rated)
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dead_zone_makes_more_zeros_and_moves_no_weight_outwards():
    rate = rate_aware(mlp, step_size=0.2)
    rated = rate.init(PARAMS)
    found = [
        np.asarray(rate.quantize(rated, dead_zone=zone)["first"].values, int)
        for zone in (0.0, 0.3, 2.0)
    ]
    zeros = [np.count_nonzero(levels == 0) for levels in found]
    assert zeros == sorted(zeros) and zeros[0] < zeros[2]
    for finer, coarser in zip(found, found[1:], strict=False):
        assert (np.abs(coarser) <= np.abs(finer)).all() and (coarser * finer >= 0).all()
    for wrong in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="dead_zone: must be a number of steps of at least 0"):
            rate.quantize(rated, dead_zone=wrong)


@pytest.mark.slow
def test_the_rest_is_trained_with_levels_frozen():
    rate = rate_aware(mlp)
    stored = jc.leaves.half(rate.quantize(rate.init(PARAMS)), scope=lambda path, _: path == "bias")
    free = free_numbers(stored)
    assert free["first"].shape == (1, 1) and free["bias"].dtype == np.float32
    slopes = jax.grad(lambda free: jnp.sum(mlp(jc.dense(with_numbers(stored, free)), X) ** 2))(free)
    assert all(np.any(slope) for slope in jax.tree.leaves(slopes))
    moved = with_numbers(stored, jax.tree.map(lambda a, b: a - 1e-4 * b, free, slopes))
    np.testing.assert_array_equal(moved["first"].values, stored["first"].values)
    assert moved["first"].scale != stored["first"].scale


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rate_aware(mlp, step_size=-1), "step_size: must be finite and above 0, got -1"),
        (lambda: rate_aware(mlp).init({"bias": np.ones(3)}), "scope: no leaf is chosen"),
        (
            lambda: rate_aware(mlp).init({"w": np.array([[np.nan, 1.0]])}),
            "w: must be finite, got 1 NaN",
        ),
        (lambda: rate_aware(mlp, step_size="fine"), "step_size: must be a number above 0"),
        (
            lambda: rate_aware(mlp, scope=lambda *_: True).init({"w": np.ones((2, 2), int)}),
            "w: leaves in the scope must be",
        ),
        (lambda: jax.jit(rate_aware(mlp).init)(PARAMS), "rate_aware.init"),
    ],
)
def test_what_cannot_be_trained_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_diverged_training_is_not_stored():
    rate = rate_aware(mlp)
    rated = rate.init(PARAMS)
    rated["params"]["first"] = np.full((24, 32), np.nan, np.float32)
    with pytest.raises(ValueError, match="first: must be finite"):
        rate.quantize(rated)
