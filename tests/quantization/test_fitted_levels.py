"""Levels by data: fewer bytes at equal outputs, and the bound beside them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.products.moments import Layer, Moments
from jaxcompress.products.shrinkage import likeliest_parts, towards_identity
from jaxcompress.quantization import (
    Probe,
    WeightCalibration,
    calibrate_weights,
    fit_levels,
    rate_gaps,
)
from jaxcompress.quantization._rate_gaps import water_filling
from jaxcompress.quantization._tables import curvature
from jaxcompress.quantization.damages import relative_error

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(6, 24))


def apply(params, x):
    return jnp.tanh(x @ params["a"]) @ params["b"]


def inputs(rows, seed=1):
    """Return inputs whose entries tell of each other."""
    random = np.random.default_rng(seed)
    return (random.normal(size=(rows, 6)) @ MIX + 0.1 * random.normal(size=(rows, 24))).astype("f")


PARAMS = {
    "a": (RNG.normal(size=(24, 32)) / 5).astype("f"),
    "b": (RNG.normal(size=(32, 8)) / 5).astype("f"),
}


@pytest.fixture(scope="module")
def calibration():
    return calibrate_weights(apply, PARAMS, [inputs(128, seed) for seed in range(2)])


def off(tree, x):
    exact = apply(PARAMS, x)
    return float(jnp.sum((apply(jc.dense(tree), x) - exact) ** 2) / jnp.sum(exact**2))


def test_levels_are_multiples_of_steps_of_equal_damage(calibration):
    tree = fit_levels(PARAMS, calibration, damage=0.01)
    for path, leaf in tree.items():
        probe = calibration.probes[path]
        share = 0.01 * probe.weights / sum(p.weights for p in calibration.probes.values())
        step = probe.step_size * np.sqrt(share / probe.damage)
        assert leaf.bits == 8
        np.testing.assert_allclose(np.unique(leaf.scale), step, rtol=1e-6)


def test_the_damage_is_about_what_was_asked_for(calibration):
    for damage in (0.003, 0.03):
        tree = fit_levels(PARAMS, calibration, damage=damage)
        assert damage / 3 < off(tree, inputs(128, 0)) < 3 * damage


@pytest.mark.slow
def test_data_saves_bytes_at_equal_outputs(calibration):
    """Of inputs that tell of each other a third of the bits; on inputs that it has not seen."""
    fitted = fit_levels(PARAMS, calibration, damage=0.01)
    reached, seen = off(fitted, inputs(512, 9)), jc.metrics.entropy_bound_bytes(fitted)
    unfitted = next(
        tree
        for step in 2.0 ** -np.arange(0, 9, 0.25)
        if off(tree := jc.uniform(PARAMS, step), inputs(512, 9)) <= reached
    )
    assert seen < 0.75 * jc.metrics.entropy_bound_bytes(unfitted)


def test_a_price_of_bits_saves_bits(calibration):
    free, priced = (
        fit_levels(PARAMS, calibration, damage=0.03, rate_weight=weight) for weight in (0, 1)
    )
    assert jc.metrics.entropy_bound_bytes(priced) < 0.97 * jc.metrics.entropy_bound_bytes(free)


def test_zeros_stay_and_new_ones_are_taken(calibration):
    mask = jc.magnitude_mask(PARAMS, 0.5)
    tree = jc.dense(fit_levels(jc.apply_mask(PARAMS, mask), calibration, damage=0.003))
    for path, keep in mask.items():
        assert not np.asarray(tree[path])[~np.asarray(keep)].any(), path
        assert np.asarray(tree[path]).any(), path


def look_up(params, words):
    return params["table"][words] @ params["w"]


def words_of(rows, shape, seed=0):
    """Return words, the first ones most often."""
    return np.minimum(np.random.default_rng(seed).geometric(0.1, shape) - 1, rows - 1)


def test_a_table_has_the_steps_by_row_that_it_is_given():
    params = {"table": RNG.normal(size=(40, 16)).astype("f"), "w": np.eye(16, dtype="f")}
    words = RNG.integers(0, 8, (32,))  # of the first rows
    relative = jc.quantization.row_step_sizes(np.bincount(words, minlength=40))
    found = calibrate_weights(look_up, params, [words], relative={"table": relative})
    assert set(found.probes) == {"table", "w"} and not found.no_curvature
    leaf = fit_levels(params, found, damage=0.01)["table"]
    assert leaf.scale.shape == (40, 1) and leaf.scale[30, 0] > 2 * leaf.scale[0, 0]


def test_damage_counts_the_rows_that_were_not_read():
    """Steps say how much of what is read these rows are."""
    params = {"table": RNG.normal(size=(400, 16)).astype("f"), "w": np.eye(16, dtype="f")}
    words = RNG.integers(0, 8, (64,))
    relative = jc.quantization.row_step_sizes(np.bincount(words, minlength=400), unseen=0.3)
    found = calibrate_weights(look_up, params, [words], relative={"table": relative})
    tree = jc.dense(fit_levels(params, found, damage=0.01, rate_weight=0))

    def damage(read):
        exact = look_up(params, read)
        return float(np.sum((look_up(tree, read) - exact) ** 2) / np.sum(exact**2))

    mixed = 0.7 * damage(words) + 0.3 * damage(np.arange(400))
    assert 0.005 < mixed < 0.02 and damage(words) < 0.004


def test_errors_of_a_row_make_up_for_each_other():
    """The outputs see 4 of 16 directions of each row."""
    random = np.random.default_rng(0)
    params = {
        "table": random.normal(size=(60, 16)).astype("f"),
        "w": random.normal(size=(16, 4)).astype("f"),
    }
    batches = [words_of(60, 64, seed) for seed in range(4)]

    def table_only(path, leaf):
        return path == "table"

    found = calibrate_weights(look_up, params, batches, scope=table_only)
    tree = fit_levels(params, found, damage=0.01, rate_weight=0)
    nearest = jc.quantization.round_to_step_sizes(params, {"table": tree["table"].scale})
    read = words_of(60, 500, 9)
    exact = look_up(params, read)
    errors = [np.sum((look_up(jc.dense(t), read) - exact) ** 2) for t in (tree, nearest)]
    assert errors[0] < 0.2 * errors[1]


def test_rows_have_steps_by_what_they_matter_without_counts():
    params = {"table": RNG.normal(size=(64, 32)).astype("f"), "w": np.eye(32, dtype="f")}
    batches = [words_of(64, 256, seed) for seed in range(4)]
    steps = calibrate_weights(look_up, params, batches).relative["table"].ravel()
    assert steps[:4].max() < 0.5 * steps[40:].min()


def test_curvature_by_hand():
    """Of one output `t[i] . a` the second derivatives by row i are `2 a a^T / y^2`, times `r^2`."""
    params, a = {"t": np.float32([[1, 0], [0, 1]])}, np.float32([3, -1])
    batches = [np.int32([0])]
    found = curvature(lambda p, i: p["t"][i] @ a, params, batches, relative_error, ["t"], seed=0)[
        "t"
    ]
    shape = found.matrix / found.matrix[0, 0]
    np.testing.assert_allclose(shape, [[1, -1 / 3], [-1 / 3, 1 / 9]], rtol=1e-5)
    assert found.rows.ravel() == pytest.approx([np.trace(found.matrix), 0])


def test_outputs_that_are_integers_have_no_part_in_the_curvature():
    def network(params, words):
        y = look_up(params, words)
        return {"class": jnp.argmax(y, axis=-1), "y": y}

    def damage(outputs, exact):
        return relative_error(outputs["y"], exact["y"])

    found = calibrate_weights(network, TABLE, [np.arange(32), np.arange(20)], damage=damage)
    assert "table" in found.moments.layers and not found.no_curvature


TABLE = {"table": RNG.normal(size=(32, 16)).astype("f"), "w": np.eye(16, dtype="f")}


def loop(params, words):
    def body(state):
        return state[0] + 1, jnp.tanh(state[1])

    return jax.lax.while_loop(lambda state: state[0] < 2, body, (0, look_up(params, words)))[1]


def absolute(outputs, exact):
    return jnp.mean(jnp.abs(outputs - exact))


def root(outputs, exact):
    return jnp.sqrt(jnp.sum((outputs - exact) ** 2))


@pytest.mark.parametrize(
    ("network", "damage", "why"),
    [
        (loop, relative_error, "while_loop"),
        (look_up, absolute, "are 0"),
        (look_up, root, "no second derivatives"),
    ],
)
def test_without_second_derivatives_it_says_why(network, damage, why):
    found = calibrate_weights(network, TABLE, [np.arange(32), np.arange(20)], damage=damage)
    assert why in found.no_curvature and found.relative == {}
    leaf = fit_levels(TABLE, found, damage=0.01)["table"]
    np.testing.assert_array_equal(leaf.values, np.rint(TABLE["table"] / leaf.scale))


def test_networks_without_tables_need_no_second_derivatives():
    found = calibrate_weights(apply, PARAMS, [inputs(64, 0), inputs(64, 1)], damage=absolute)
    assert found.no_curvature == "" and found.relative == {}


@pytest.mark.slow
def test_grouped_convolutions_and_stacked_layers():
    """Each group and each turn of the loop has moments of its own."""
    random = np.random.default_rng(0)
    params = {
        "conv": random.normal(size=(3, 4, 8)).astype("f") / 3,  # of 2 groups of 4 channels
        "stack": random.normal(size=(3, 8, 8)).astype("f") / 2,
    }

    def network(params, x):
        x = jax.lax.conv_general_dilated(
            x,
            params["conv"],
            (1,),
            "SAME",
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=2,
        )
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, params["stack"])[0]

    def data(seed):
        random = np.random.default_rng(seed)
        return np.cumsum(random.normal(size=(16, 12, 8)), axis=1).astype("f") / 4

    found = calibrate_weights(network, params, [data(1), data(2)])
    assert {path: found.moments.layers[path][0].gram.shape for path in params} == {
        "conv": (2, 12, 12),
        "stack": (3, 8, 8),
    }
    tree = fit_levels(params, found, damage=0.02, rate_weight=0)
    steps = {path: float(np.max(leaf.scale)) for path, leaf in tree.items()}
    nearest = jc.quantization.round_to_step_sizes(params, steps)
    exact = network(params, data(3))
    errors = [np.sum((network(jc.dense(t), data(3)) - exact) ** 2) for t in (tree, nearest)]
    assert errors[0] < 0.7 * errors[1]


def test_a_network_of_tables_alone():
    params = {"table": RNG.normal(size=(8, 4)).astype("f")}
    found = calibrate_weights(lambda p, i: p["table"][i], params, [np.arange(8)])
    leaf = fit_levels(params, found, damage=0.01)["table"]
    assert off_by(leaf.dense(), params["table"]) < 0.02


def off_by(a, b):
    return float(np.sum((np.asarray(a) - b) ** 2) / np.sum(b**2))


@pytest.mark.slow
def test_the_probe_batches_are_the_first():
    batches = [inputs(16, 0), 100 * inputs(16, 1)]
    one, two = (
        calibrate_weights(apply, PARAMS, iter([*batches, *batches]), probe_batches=n).probes["a"]
        for n in (1, 2)
    )
    assert one == two  # 1 and 3 are kept apart, and alike
    with pytest.raises(ValueError, match="batches: must be two at least, or one of two rows"):
        calibrate_weights(apply, PARAMS, [inputs(1)])
    halves = calibrate_weights(apply, PARAMS, [inputs(16, 0)])
    whole = calibrate_weights(apply, PARAMS, [inputs(16, 0)[::2], inputs(16, 0)[1::2]])
    assert halves.probes == whole.probes
    with pytest.raises(ValueError, match="probe_batches: must be an integer of at least 1, got 0"):
        calibrate_weights(apply, PARAMS, batches, probe_batches=0)
    with pytest.raises(ValueError, match="damage: must be"):
        fit_levels(PARAMS, WeightCalibration(Moments({}, {}), {}, {}), damage=-1.0)
    probes = {"other": Probe(0.1, 0.1, 10, 1.0)}
    with pytest.raises(ValueError, match="other"):
        fit_levels(PARAMS, WeightCalibration(Moments({}, {}), probes, {}), damage=0.1)


def test_few_samples_spread_their_moments_over_all_inputs():
    """Nearer to the truth, most where samples are few."""
    exact = inputs(4000, 4).astype(float)
    truth = exact.T @ exact / 4000

    def layers(rows):
        gram = rows.T @ rows
        return Moments({"w": [Layer(np.arange(24)[None, :, None], gram[None])]}, {})

    parts = []
    for count in (6, 400):
        one, two = (layers(inputs(count, seed).astype(float)) for seed in (3, 5))
        found = likeliest_parts(one, two)
        shrunk = towards_identity(one, found).layers["w"][0].gram[0]
        gram = one.layers["w"][0].gram[0]
        parts.append(found["w"][0])
        assert np.trace(shrunk) == pytest.approx(np.trace(gram))
        loss = [
            np.linalg.slogdet(m)[1] + np.trace(np.linalg.solve(m, truth))
            for m in (shrunk / count, gram / count + 1e-9 * np.eye(24))
        ]
        assert loss[0] < loss[1]
    assert parts[0] > 3 * parts[1]
    even = layers(np.eye(24))
    same = towards_identity(even, likeliest_parts(even, even))
    np.testing.assert_allclose(same.layers["w"][0].gram, even.layers["w"][0].gram)


def test_damage_is_that_on_data_by_which_levels_are_not_chosen():
    """With as many inputs as samples, errors cancel on these samples alone."""
    random = np.random.default_rng(0)
    params = {"w": random.normal(size=(64, 16)).astype("f")}
    batches = [random.normal(size=(32, 64)).astype("f") for _ in range(4)]
    found = calibrate_weights(lambda p, x: x @ p["w"], params, batches)
    tree = jc.dense(fit_levels(params, found, damage=0.01))
    new = random.normal(size=(500, 64)) @ (tree["w"] - params["w"])
    whole = random.normal(size=(500, 64)) @ params["w"]
    assert 0.004 < np.sum(new**2) / np.sum(whole**2) < 0.02


# The bound


def test_water_filling_by_hand():
    assert water_filling(np.array([4.0, 1.0]), 0.5) == pytest.approx(3.0)  # a quarter each
    assert water_filling(np.array([4.0, 0.1]), 1.1) == pytest.approx(1.0)  # the second drowns
    assert water_filling(np.array([4.0, 1.0]), 5.0) == 0.0
    assert water_filling(np.array([4.0, 1.0]), 0.0) == np.inf


@pytest.mark.parametrize("step", [0.05, 0.2])
def test_fine_steps_of_gaussians_are_a_quarter_of_a_bit_above_the_bound(step):
    """`log2(pi e / 6) / 2` bits, of a scalar quantizer with an ideal coder."""
    w = np.random.default_rng(0).normal(size=(64, 400))
    layer = Layer(np.arange(w.size).reshape(1, 64, 400), np.eye(64)[None])
    tree = jc.quantization.round_to_step_sizes({"w": w}, {"w": step})
    found = rate_gaps({"w": w}, tree, Moments({"w": [layer]}, {}))["w"]
    assert found.gap == pytest.approx(0.2546, abs=0.02)
    assert found.relative_error == pytest.approx(step**2 / 12, rel=0.05)
    assert found.weights == w.size


def test_fitting_comes_nearer_to_the_bound(calibration):
    moments = calibration.moments
    fitted = rate_gaps(PARAMS, fit_levels(PARAMS, calibration, damage=0.01), moments)
    nearest = rate_gaps(
        PARAMS, jc.quantization.round_to_step_sizes(PARAMS, {"a": 0.05, "b": 0.05}), moments
    )
    assert fitted["a"].gap < nearest["a"].gap - 0.5
    assert rate_gaps(PARAMS, PARAMS, moments) == {}
    with pytest.raises(ValueError, match="quantized"):
        rate_gaps(PARAMS, {"a": PARAMS["a"]}, moments)


# The whole tree


@pytest.mark.parametrize("target", [1400, 1700])
def test_compress_makes_a_file_of_a_size(calibration, tmp_path, target):
    params = PARAMS | {"bias": np.ones(4, "f")}
    small = jc.compress(params, calibration=calibration, target_bytes=target)
    size = jc.save(tmp_path / "net.npz", small)
    assert 0.95 * target <= size <= target
    loaded = jc.load(tmp_path / "net.npz")
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, jc.dense(small)))
    np.testing.assert_array_equal(loaded["bias"], params["bias"])


def test_compress_at_a_damage_is_fit_levels(calibration):
    small = jc.compress(PARAMS, calibration=calibration, damage=0.01)
    other = fit_levels(PARAMS, calibration, damage=0.01)
    for path in PARAMS:
        np.testing.assert_array_equal(small[path].values, other[path].values)


def test_a_size_beyond_the_finest_steps_is_met(calibration):
    small = jc.compress(PARAMS, calibration=calibration, target_bytes="1MB")
    assert jc.size_bytes(small) < 3000 and off(small, inputs(64)) < 1e-3


def test_compress_leaves_tensors_with_rules_to_them(calibration):
    small = jc.compress(
        PARAMS,
        calibration=calibration,
        damage=0.01,
        rules={"b": {"bits": 4}},
        sparsity=0.25,
    )
    assert small["a"].bits == 8 and small["b"].bits == 4
    kept = jc.compress(PARAMS, calibration=calibration, damage=0.01, rules={"b": {"keep": True}})
    np.testing.assert_array_equal(kept["b"], PARAMS["b"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"damage": 0.1, "bits": 4}, "bits: does not go with a calibration"),
        ({"damage": 0.1, "target_bytes": 900}, "got both"),
        ({}, "got neither"),
        ({"damage": 0.0}, "damage: must be"),
        ({"target_bytes": 120}, "target_bytes: a file of at most 120 bytes cannot be made"),
        ({"damage": 0.1, "rules": {"*": {"bits": 4}}}, "calibration: must be of tensors"),
        ({"damage": 10.0, "max_error": 0.01}, "relative errors must be at most 0.01"),
    ],
)
def test_arguments_that_do_not_go_together(calibration, arguments, message):
    with pytest.raises(ValueError, match=message):
        jc.compress(PARAMS, calibration=calibration, **arguments)


def test_a_calibration_of_other_weights(calibration):
    with pytest.raises(ValueError, match="calibration: must be of these weights"):
        jc.compress({"c": PARAMS["a"]}, calibration=calibration, damage=0.1)
    with pytest.raises(ValueError, match="damage: needs a calibration"):
        jc.compress(PARAMS, damage=0.1)


def test_equal_tensors_have_levels_of_their_own():
    """One of them may hardly matter to the outputs."""
    table = RNG.normal(size=(24, 8)).astype("f")
    params = {"a": table, "z": table.copy()}

    def network(params, x):
        return 1e-3 * (x @ params["a"]) + x @ params["z"]

    found = calibrate_weights(network, params, [inputs(64, 1), inputs(64, 2)])
    small = jc.dense(jc.compress(params, calibration=found, damage=0.001))
    exact = network(params, inputs(64, 3))
    assert np.sum((network(small, inputs(64, 3)) - exact) ** 2) < 0.01 * np.sum(exact**2)


def test_a_tensor_that_the_probe_batch_does_not_need_keeps_the_step_that_was_tried():
    params = {"a": RNG.normal(size=(24, 8)).astype("f"), "b": RNG.normal(size=(24, 8)).astype("f")}

    def network(params, x):
        return jnp.where(x[:, :1] > 0, x @ params["a"], x @ params["b"])

    def batch(seed, sign):
        x = inputs(32, seed)
        x[:, 0] = sign * np.abs(x[:, 0])
        return x

    batches = [batch(1, 1), batch(2, 1), batch(3, -1), batch(4, -1)]
    found = calibrate_weights(network, params, batches)
    assert found.probes["b"].damage == 0
    tree = jc.dense(fit_levels(params, found, damage=1e-4))
    exact = network(params, batch(5, -1))
    assert np.sum((network(tree, batch(5, -1)) - exact) ** 2) < 0.05 * np.sum(exact**2)


@pytest.mark.parametrize("unit", [1e-25, 1e20])
def test_a_size_is_met_in_any_unit_of_damage(unit):
    def damage(outputs, exact):
        return unit * jnp.mean((outputs - exact) ** 2)

    found = calibrate_weights(apply, PARAMS, [inputs(32, 0), inputs(32, 1)], damage=damage)
    small = jc.compress(PARAMS, calibration=found, target_bytes=1500)
    assert 1425 <= jc.size_bytes(small) <= 1500


def test_tensors_of_few_values_stay_exact():
    """A table of signs was on a grid before: rounding would lose what a codebook keeps."""
    params = PARAMS | {"b": np.sign(PARAMS["b"])}
    found = calibrate_weights(apply, params, [inputs(32, 0), inputs(32, 1)])
    small = jc.compress(params, calibration=found, damage=0.1)
    assert not isinstance(small["a"], np.ndarray) and len(small["b"].codebook) == 2
    np.testing.assert_array_equal(small["b"].dense(), params["b"])


def test_relative_steps_of_tensors_that_are_not_fitted_are_left_out(calibration):
    relative = {"b": np.full((32, 1), 0.5), "zeros": np.ones((4, 1))}
    tree = fit_levels(PARAMS, calibration._replace(relative=relative), damage=0.01)
    whole = fit_levels(PARAMS, calibration, damage=0.01)
    assert tree["b"].scale.shape == (32, 1)
    np.testing.assert_allclose(tree["b"].scale, 0.5 * whole["b"].scale.max(), rtol=1e-6)


def test_two_tensors_of_one_path_are_refused():
    params = {"a": {"b": np.ones((4, 2), "f")}, "a/b": np.ones((4, 2), "f")}

    def network(params, x):
        return x @ params["a"]["b"] + x @ params["a/b"]

    with pytest.raises(ValueError, match="a/b: a path must mean one leaf"):
        calibrate_weights(network, params, [np.ones((4, 4), "f")])
    with pytest.raises(ValueError, match="a/b: a path must mean one leaf"):
        jc.quantization.round_to_step_sizes(params, {"a/b": 0.1})
    with pytest.raises(ValueError, match="a/b: a path must mean one leaf"):
        jc.quantization.rate_aware(network).init(params)
