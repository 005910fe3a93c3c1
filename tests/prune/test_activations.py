"""Scores from activations, by hand: readers, places, loops, and what nobody reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

import jaxcompress as jc
from tests.helpers.traced_nets import make

X = np.array([[1.0, 2.0], [-1.0, 4.0]], "f")


def scores(apply, params, *inputs, **options):
    groups = jc.unit_groups(apply, params, *inputs)
    return jc.prune.activation_score(apply, *inputs, **options)(params, groups.groups)


def dense(p, x):
    return jax.nn.relu(x @ p["a"] + p["bias"]) @ p["b"]


def dense_params():
    a = np.array([[1.0, 2.0, -1.0], [0.0, 0.0, -1.0]], "f")
    return {"a": a, "bias": np.array([0.0, 1.0, 0.5], "f"), "b": np.ones((3, 1), "f")}


def test_what_the_next_layer_reads():
    # Behind the relu: [[1, 3, 0], [0, 0, 0]].
    assert scores(dense, dense_params(), X)["a"].tolist() == [0.5, 1.5, 0]
    shares = scores(dense, dense_params(), X, statistic=jc.prune.nonzero_fraction)
    assert shares["a"].tolist() == [0.5, 0.5, 0]
    spread = scores(dense, dense_params(), X, statistic=lambda a: a.max(axis=1))
    assert spread["a"].tolist() == [1, 3, 0]


def test_dead_units_go_first():
    params = dense_params()
    groups = jc.unit_groups(dense, params, X)
    keep = jc.choose_units(params, groups, remove=0.34, score=jc.prune.activation_score(dense, X))
    assert keep["a"].tolist() == [True, True, False]


def test_all_readers_count_alike():
    def apply(p, x):
        y = x @ p["a"]
        return y @ p["b"], (3 * y) @ p["b"] + jax.nn.relu(y) @ p["c"]

    params = {"a": np.eye(2, dtype="f"), "b": np.ones((2, 1), "f"), "c": np.ones((2, 1), "f")}
    # |y| has the means [1, 3], its three-fold [3, 9], its positive part [0.5, 3].
    assert scores(apply, params, X)["a"] == pytest.approx([4.5 / 3, 15 / 3])


def test_channels_of_an_image_and_their_places_in_a_flattened_one():
    def apply(p, x):
        y = lax.conv_general_dilated(
            x, p["a"], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        )
        z = lax.conv_general_dilated(
            y, p["b"], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        )
        return z.reshape(len(x), -1) @ p["c"]

    params = {"a": np.array([[[1.0, -2.0]]], "f"), "b": np.eye(2, dtype="f")[None]}
    params["c"] = np.ones((6, 1), "f")
    x = np.array([[[1.0], [2.0], [3.0]], [[0.0], [0.0], [6.0]]], "f")
    found = scores(apply, params, x)
    assert found["a"].tolist() == [2, 4] and found["b"].tolist() == [2, 4]


def test_halves_that_are_read_apart():
    def apply(p, x):
        y = x @ p["a"]
        return y[:, : y.shape[1] // 2] @ p["b"] + y[:, y.shape[1] // 2 :] @ p["c"]

    params = {"a": np.array([[1.0, 2, 3, 4]], "f")}
    params |= {"b": np.ones((2, 1), "f"), "c": np.ones((2, 1), "f")}
    x = np.ones((1, 1), "f")
    for group in jc.unit_groups(apply, params, x):
        wanted = params["a"][0, group.slices[0].indices[:, 0]]
        found = jc.prune.activation_score(apply, x)(params, [group])[group.name]
        np.testing.assert_array_equal(found, wanted)


def test_the_turns_of_a_scan_are_averaged():
    def apply(p, x):
        def turn(h, layer):
            return h + jax.nn.relu(h @ layer["up"]) @ layer["down"], None

        return lax.scan(turn, x, p)[0]

    up = np.array([[[1.0, 2.0]], [[-1.0, 4.0]]], "f")
    params = {"up": up, "down": np.zeros((2, 2, 1), "f")}
    (found,) = scores(apply, params, np.ones((3, 1), "f")).values()
    assert found.tolist() == [0.5, 3]


def test_narrow_numbers_are_averaged_wide():
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), dense_params())
    x = np.ones((4096, 2)).astype(jnp.bfloat16)
    assert scores(dense, params, x)["a"].tolist() == [1, 3, 0]


class Small(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(4, (3, 3))(x))
        return linen.Dense(2)(x.reshape(len(x), -1))


@pytest.mark.slow
def test_a_module_that_cannot_be_tried_out():
    module, x = Small(), np.ones((1, 3, 3, 1), "f")
    variables = module.init(jax.random.key(0), x)
    groups = jc.unit_groups(module.apply, variables, x)
    assert not groups.parted
    (found,) = jc.prune.activation_score(module.apply, x)(variables, groups.groups).values()
    kernel = variables["params"]["Conv_0"]
    features = jax.nn.relu(
        lax.conv_general_dilated(
            x, kernel["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )
    np.testing.assert_allclose(found, features.mean((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("name", ["attention_of_any_heads", "squeeze_excite", "scanned"])
def test_real_blocks_have_a_score_for_every_unit(name):
    apply, params, inputs = make(name)
    groups = jc.unit_groups(apply, params, *inputs)
    keep = jc.choose_units(
        params, groups, remove=0.5, score=jc.prune.activation_score(apply, *inputs)
    )
    assert keep.keys() == set(groups.names)


def test_what_nobody_reads_is_named():
    def factors(p, x):
        return x @ (p["a"] @ p["b"])  # a product of parameters alone is no activation

    params = {"a": np.ones((2, 3), "f"), "b": np.ones((3, 1), "f")}
    with pytest.raises(ValueError, match=r"^a: each unit must be read by a product .* for unit 0;"):
        scores(factors, params, X)

    def branch(p, x):
        return lax.cond(True, lambda y: y @ p["b"], lambda y: y @ p["b"] + 1, x @ p["a"])

    with pytest.raises(ValueError, match="^a: each unit must be read by a product outside of"):
        scores(branch, params, X)


def test_bad_input():
    with pytest.raises(ValueError, match=r"statistic: must give one number for each of the 3"):
        scores(dense, dense_params(), X, statistic=jnp.mean)
    params = {"a": np.ones((2, 9), "f"), "b": np.ones((9, 1), "f")}
    others = jc.unit_groups(lambda p, x: x @ p["a"] @ p["b"], params, X)
    with pytest.raises(ValueError, match="^a: must be a group of this function"):
        jc.prune.activation_score(dense, X)(dense_params(), others.groups)
