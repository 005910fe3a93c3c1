"""Statistics estimated anew: means over batches, whatever the momentum is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxcompress as jc
from jaxcompress.nnx import functional

BATCHES = [np.random.default_rng(k).normal(k, 1 + k, (6, 3)).astype("f") for k in range(3)]


def averaging(momentum):
    def update(stats, x):
        x = jnp.asarray(x)
        fresh = {"mean": x.mean(0), "var": x.var(0)}
        return {k: momentum * old + (1 - momentum) * fresh[k] for k, old in stats.items()}

    return update


def stats_of(value=100.0):
    return {"mean": jnp.full(3, value), "var": jnp.full(3, value)}


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.9, 0.99, 0.9997, 127 / 128])
def test_the_mean_over_batches_whatever_the_momentum(momentum):
    found = jc.prune.recalibrate(averaging(momentum), stats_of(), iter(BATCHES))
    np.testing.assert_allclose(found["mean"], np.mean([b.mean(0) for b in BATCHES], 0), rtol=2e-6)
    np.testing.assert_allclose(found["var"], np.mean([b.var(0) for b in BATCHES], 0), rtol=2e-6)


def test_another_way_to_write_it_and_a_momentum_for_each_entry():
    momenta = jnp.array([0.5, 0.9, 0.99])

    def update(stats, x):
        return {"mean": stats["mean"] + (1 - momenta) * (jnp.mean(x, 0) - stats["mean"])}

    found = jc.prune.recalibrate(update, {"mean": jnp.full(3, 1e6)}, BATCHES)
    np.testing.assert_allclose(found["mean"], np.mean([b.mean(0) for b in BATCHES], 0), rtol=1e-5)


class Net(nnx.Module):
    def __init__(self, *, rngs):
        self.norm = nnx.BatchNorm(3, momentum=0.99, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.BatchNorm(3, momentum=0.9, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(self.norm(x)))


def test_real_norms_behind_each_other_and_random_states():
    net = functional(lambda rngs: Net(rngs=rngs))
    params, stats = net.init(jax.random.key(0))
    update = jax.jit(lambda stats, x: net.apply_training(params, stats, x)[1])
    found = jc.prune.recalibrate(update, stats, BATCHES)
    assert jax.tree.structure(found) == jax.tree.structure(stats)
    norm = found["norm"]
    np.testing.assert_allclose(norm["mean"], np.mean([b.mean(0) for b in BATCHES], 0), rtol=2e-6)
    np.testing.assert_allclose(norm["var"], np.mean([b.var(0) for b in BATCHES], 0), rtol=1e-5)
    lasts, now = [], stats
    for batch in BATCHES:
        after = update(now, batch)
        step = jax.tree.map(lambda a, b: (a - 0.9 * b) / 0.1, after["last"], now["last"])
        lasts.append(step["mean"])
        now = after
    np.testing.assert_allclose(found["last"]["mean"], np.mean(lasts, 0), atol=1e-5)
    counts = [jax.tree.leaves(tree["dropout"]["rngs"]["count"]) for tree in (found, now)]
    assert counts[0] == counts[1] != [0]


def test_what_is_frozen_stays_and_counts_go_on():
    def update(stats, x):
        return {"mean": 0.5 * stats["mean"] + 0.5 * x, "old": stats["old"], "n": stats["n"] + 1}

    stats = {"mean": jnp.zeros(()), "old": jnp.float32(7.25), "n": jnp.int32(5)}
    found = jc.prune.recalibrate(update, stats, [1.0, 2.0, 6.0])
    assert {k: v.item() for k, v in found.items()} == {"mean": 3, "old": 7.25, "n": 8}


def test_an_update_in_evaluation_mode_is_refused():
    with pytest.raises(ValueError, match="^update: must change statistics, .* in training mode"):
        jc.prune.recalibrate(lambda stats, x: stats, stats_of(1.0), BATCHES)
    assert jc.prune.recalibrate(lambda s, x: s, {"n": jnp.int32(5)}, [1.0]) == {"n": 5}
    empty = jc.prune.recalibrate(lambda s, x: s, {"mean": jnp.zeros(0)}, [1.0])
    assert empty["mean"].shape == (0,)


def test_narrow_statistics_are_computed_wide():
    narrow = {k: v.astype(jnp.bfloat16) for k, v in stats_of(1.0).items()}
    found = jc.prune.recalibrate(averaging(0.99), narrow, BATCHES)
    assert found["mean"].dtype == jnp.bfloat16
    np.testing.assert_allclose(
        np.asarray(found["var"], "f"), np.mean([b.var(0) for b in BATCHES], 0), rtol=5e-3
    )
    with pytest.raises(ValueError, match=r"a: update must give float32 or wider .* got bfloat16"):
        jc.prune.recalibrate(
            lambda s, x: {"a": s["a"].astype(jnp.bfloat16)}, {"a": jnp.ones(1, jnp.bfloat16)}, [0]
        )


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (lambda s, x: s + 1, r"must be a moving average, .* got m = 1;"),
        (lambda s, x: s * s, r"must be a moving average, .* got m = 1.07374e\+09;"),
        (lambda s, x: -0.5 * s + x, r"must be a moving average, .* got m = -0.5;"),
        (lambda s, x: s * 0.5 + jnp.nan, r"must be finite, got 1 NaN"),
        (lambda s, x: jnp.where(x > 1, 0.5, 0) * s, r"same for every batch, got 0, then 0.5;"),
        (lambda s, x: s + jnp.ones(2), r"must have the shape of stats"),
    ],
)
def test_what_is_no_moving_average_is_refused(update, message):
    def changed(stats, x):
        return {"norm": {"mean": update(stats["norm"]["mean"], x)}}

    with pytest.raises(ValueError, match="^norm/mean: .*" + message):
        jc.prune.recalibrate(changed, {"norm": {"mean": jnp.zeros(1)}}, [1.0, 2.0])


def test_no_batches():
    with pytest.raises(ValueError, match="batches: must hold at least one batch, got none"):
        jc.prune.recalibrate(averaging(0.9), stats_of(), [])
