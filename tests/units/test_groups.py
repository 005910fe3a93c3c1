"""Groups found by tracing are those that a person finds by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jaxcompress as jc
from jaxcompress.nnx import functional
from tests.helpers.full_size_nets import FULL_SIZE
from tests.helpers.groups import described
from tests.helpers.known_nets import ALL
from tests.helpers.traced_nets import EXPECTED, fruits_net, make


def by_hand(expected):
    return {name: (size, sorted(parts.split())) for name, (size, parts) in expected.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_groups_are_those_found_by_hand(name):
    apply, params, inputs = make(name)
    groups = jc.unit_groups(apply, params, *inputs)
    assert {group.name: described(group) for group in groups} == by_hand(EXPECTED[name])
    assert not groups.note


def test_values_do_not_matter_only_shapes():
    apply, params, inputs = make("residual")
    shells = jax.eval_shape(lambda: (params, inputs))
    groups = jc.unit_groups(apply, shells[0], *shells[1])
    assert str(groups) == str(jc.unit_groups(apply, params, *inputs))


def test_the_table():
    apply, params, inputs = make("mlp")
    assert str(jc.unit_groups(apply, params, *inputs)).splitlines() == [
        "group  units  parameters a unit  FLOPs a unit  goes with a unit: path:axis x indices",
        "a          6                 10            38  a/w:1, a/b:0, b/w:0",
        "b          5                 10            38  b/w:1, b/b:0, c/w:0",
        "",
        "stays                                          a/w:0  [an input]",
        "stays                                          c/b:0, c/w:1  [an output]",
    ]


def test_indices_of_a_flattened_image_are_channels_last():
    apply, params, inputs = make("flatten")
    part = jc.unit_groups(apply, params, *inputs)["a"].slices[1]
    assert part.path == "w"
    np.testing.assert_array_equal(part.indices[1], np.arange(9) * 4 + 1)


def test_heads_are_runs_and_places_in_them_are_strides():
    apply, params, inputs = make("attention_of_any_heads")
    heads = jc.unit_groups(apply, params, *inputs)["q"].slices[0]
    np.testing.assert_array_equal(heads.indices, np.arange(8).reshape(2, 4))
    apply, params, inputs = make("attention_of_any_width")
    places = jc.unit_groups(apply, params, *inputs)["q"].slices[0]
    np.testing.assert_array_equal(places.indices, np.arange(8).reshape(2, 4).T)


def reasons(groups):
    return {f"{axis.path}:{axis.axis}": axis.reasons for axis in groups.frozen}


def test_a_primitive_without_a_rule_freezes_and_is_named():
    apply, params, inputs = make("sorted_units")
    groups = jc.unit_groups(apply, params, *inputs)
    assert groups.unknown == {"sort": ("a", "b")}
    assert reasons(groups)["a:1"] == ("no rule for sort",)
    assert "no rule for sort: it froze a, b" in str(groups)
    fft = jc.unit_groups(lambda p, x: jnp.fft.rfft(x @ p["a"]).real @ p["b"], {
        "a": np.ones((3, 6)), "b": np.ones((4, 2))}, np.ones((1, 3)))  # fmt: skip
    assert not len(fft) and set(fft.unknown) == {"fft"}


def test_random_numbers_freeze_what_they_meet():
    params = {"a": np.ones((3, 4)), "b": np.ones((4, 2)), "key": jax.random.key(0)}

    def apply(p, x):
        y = x @ p["a"]
        return y * jax.random.bernoulli(p["key"], 0.5, y.shape) @ p["b"]

    groups = jc.unit_groups(apply, params, np.ones((1, 3)))
    assert not len(groups) and groups.unknown == {"random_bits": ("a", "b")}


def test_a_closed_over_array_and_sizes_written_down_freeze():
    apply, params, inputs = make("softmax_of_units_with_constant")
    assert reasons(jc.unit_groups(apply, params, *inputs))["a:1"] == ("a constant",)
    apply, params, inputs = make("attention_written_down")
    (reason,) = reasons(jc.unit_groups(apply, params, *inputs))["q/w:1"]
    assert reason.startswith("the code does not follow: TypeError: cannot reshape")


def test_one_unit_is_none():
    params = {"a": np.ones((3, 1)), "b": np.ones((1, 2))}
    groups = jc.unit_groups(lambda p, x: x @ p["a"] @ p["b"], params, np.ones((1, 3)))
    assert not len(groups)


def test_parameters_a_unit_carries_count_once():
    params = {"in": np.ones((2, 4)), "w": np.ones((4, 4)), "out": np.ones((4, 3))}
    groups = jc.unit_groups(
        lambda p, x: (x @ p["in"] + x @ p["in"] @ p["w"]) @ p["out"], params, np.ones((1, 2))
    )
    assert groups["in"].parameters == 2 + (16 - 9) + 3


def test_bad_input():
    with pytest.raises(ValueError, match="a/b: a path must mean one leaf"):
        jc.unit_groups(lambda p: p["a"]["b"], {"a": {"b": np.ones(2)}, "a/b": np.ones(2)})
    with pytest.raises(TypeError, match="act: leaves must be arrays"):
        jc.unit_groups(lambda p: p["w"], {"w": np.ones(2), "act": lambda x: x})
    with pytest.raises(TypeError, match="apply: must return arrays, got str"):
        jc.unit_groups(lambda p: "x", {"w": np.ones(2)})
    apply, params, inputs = make("mlp")
    with pytest.raises(KeyError, match="z: no group of that name; groups: a, b"):
        jc.unit_groups(apply, params, *inputs)["z"]


class SmallNnx(nnx.Module):
    def __init__(self, rngs):
        self.conv1 = nnx.Conv(2, 4, (3, 3), rngs=rngs)
        self.norm1 = nnx.BatchNorm(4, rngs=rngs)
        self.conv2 = nnx.Conv(4, 4, (3, 3), rngs=rngs)
        self.norm2 = nnx.LayerNorm(4, rngs=rngs)
        self.dense = nnx.Linear(4 * 4, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm1(self.conv1(x)))
        x = nnx.max_pool(x + self.norm2(self.conv2(x)), (2, 2), (2, 2))
        return self.dense(x.reshape(x.shape[0], -1))


def nnx_net():
    net = functional(lambda rngs: SmallNnx(rngs))
    params, stats = jax.eval_shape(net.init, jax.random.key(0))
    tree = {"params": params, "stats": stats}
    return lambda tree, x: net.apply(tree["params"], tree["stats"], x), tree


def test_an_nnx_module_with_its_statistics():
    apply, tree = nnx_net()
    groups = jc.unit_groups(apply, tree, np.ones((1, 4, 4, 2), np.float32))
    (group,) = groups
    assert group.name == "params/conv1" and group.size == 4 and group.changes_function
    paths = {f"{part.path}:{part.axis}" for part in group.slices}
    assert {"stats/norm1/mean:0", "stats/norm1/var:0", "params/dense/kernel:0"} <= paths
    assert len(paths) == 12


class SmallLinen(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(4, (3, 3))(x))
        x = linen.relu(linen.BatchNorm(use_running_average=True)(x))
        return linen.Dense(2)(x.mean((1, 2)))


def test_a_linen_module_is_traced_but_cannot_be_tried_out():
    x = np.ones((1, 4, 4, 2), np.float32)
    variables = jax.eval_shape(SmallLinen().init, jax.random.key(0), x)
    groups = jc.unit_groups(SmallLinen().apply, variables, x)
    assert "does not run at smaller sizes" in groups.note and groups.note in str(groups)
    (group,) = groups
    assert {part.path for part in group.slices} == {
        "params/Conv_0/kernel", "params/Conv_0/bias", "params/BatchNorm_0/scale",
        "params/BatchNorm_0/bias", "batch_stats/BatchNorm_0/mean", "batch_stats/BatchNorm_0/var",
        "params/Dense_0/kernel"}  # fmt: skip


def test_an_equinox_module():
    model = eqx.filter_eval_shape(eqx.nn.MLP, 3, 2, 8, 2, key=jax.random.key(0))
    arrays, static = eqx.partition(model, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    groups = jc.unit_groups(lambda p, x: eqx.combine(p, static)(x), arrays, np.ones(3, np.float32))
    assert [(group.name, group.size) for group in groups] == [("layers/0", 8), ("layers/1", 8)]
    assert [f"{part.path}:{part.axis}" for part in groups["layers/0"].slices] == [
        "layers/0/weight:0", "layers/0/bias:0", "layers/1/weight:1"]  # fmt: skip


@pytest.mark.slow
def test_fruits_fusion_net_across_the_fusion():
    groups = jc.unit_groups(*fruits_net())
    sizes = {group.name: group.size for group in groups}
    branch = {"conv1": 4, "conv2": 5, "conv3": 6}
    assert sizes == {
        **{f"params/{name}/{k}": n for name in ("picture", "edges") for k, n in branch.items()},
        "params/shape/dense": 7,
        "params/fuse": 8,
    }
    last = groups["params/edges/conv3"].slices
    assert [part.path for part in last if part.path.startswith("params/fuse")] == [
        "params/fuse/kernel"
    ]
    np.testing.assert_array_equal(last[-1].indices[0], [6 + 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL_SIZE)
def test_groups_at_full_size(name):
    apply, params, x, groups = FULL_SIZE[name]()
    found = jc.unit_groups(apply, params, x)
    assert len(found) == groups and not found.note


class Attending(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(5, 12, rngs=rngs)
        self.norm = nnx.LayerNorm(12, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(3, 12, qkv_features=24, decode=False, rngs=rngs)
        self.last = nnx.Linear(12, 2, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        return self.last(x + self.attention(self.norm(x)))


class Grouping(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(2, 8, (1, 1), rngs=rngs)
        self.norm = nnx.GroupNorm(8, num_groups=2, rngs=rngs)
        self.depth = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
        self.grouped = nnx.Conv(8, 12, (3, 3), feature_group_count=2, rngs=rngs)
        self.up = nnx.ConvTranspose(12, 6, (2, 2), strides=(2, 2), rngs=rngs)
        self.last = nnx.Conv(6, 3, (1, 1), rngs=rngs)

    def __call__(self, x):
        x = self.depth(nnx.silu(self.norm(self.first(x))))
        return self.last(nnx.relu(self.up(self.grouped(x))))


class Recurrent(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(11, 6, rngs=rngs)
        self.cell = nnx.RNN(nnx.LSTMCell(6, 8, rngs=rngs))
        self.last = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(self.cell(self.embed(x))[:, -1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "x", "sizes"),
    [
        (
            Attending,
            np.ones((2, 4, 5), np.float32),
            # Of heads; the widths of keys and values must be equal, and go together.
            {"first": 12, "attention/query/kernel:1": 3, "attention/query/kernel:2": 8},
        ),
        (Grouping, np.ones((1, 4, 4, 2), np.float32), {"first": 4, "grouped": 6, "up": 6}),
        (Recurrent, np.ones((2, 5), np.int32), {"embed": 6, "cell/cell/hf": 8}),
    ],
)  # fmt: skip
def test_nnx_layers_with_sizes_of_their_own_follow_their_arrays(build, x, sizes):
    net = functional(lambda rngs: build(rngs))
    params, stats = jax.eval_shape(net.init, jax.random.key(0))
    groups = jc.unit_groups(net.apply, params, stats, x)
    assert {group.name: group.size for group in groups} == sizes and not groups.note


def shapes_of(**shapes):
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def roll(p, x):
    return jnp.roll(x @ p["a"], 2, -1) @ p["b"]


def option_a(p, x):
    y = x @ p["a"]
    more = p["b"].shape[-1] - y.shape[-1]
    y = jnp.pad(y, ((0, 0), (more // 2, more - more // 2))) + y @ p["b"]
    return y @ p["c"]


def counted(p, x):
    y = x @ p["a"]
    return (y * jnp.cumsum(jnp.ones_like(y), -1)) @ p["b"]


def half_masked(p, x):
    y = x @ p["a"]
    half = y.shape[-1] // 2
    mask = jnp.concatenate([jnp.ones(half), jnp.zeros(y.shape[-1] - half)])
    return (y * mask) @ p["b"]


def written_down(p, x):
    return (x @ p["a"]).reshape(2, 4, 8).reshape(2, 32) @ p["b"]


POSITIONS = {
    "roll": (roll, shapes_of(a=(3, 6), b=(6, 2))),
    "option A": (option_a, shapes_of(a=(3, 4), b=(4, 9), c=(9, 2))),
    "counted": (counted, shapes_of(a=(3, 6), b=(6, 2))),
    "half masked": (half_masked, shapes_of(a=(3, 6), b=(6, 2))),
    "written down": (written_down, shapes_of(a=(3, 32), b=(32, 2))),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_where_the_place_of_a_unit_matters_nothing_is_cut(name):
    apply, params = POSITIONS[name]
    groups = jc.unit_groups(apply, params, np.ones((2, 3), np.float32))
    assert not groups.note
    for group in groups:  # of option A, what is in the middle
        assert name == "option A" and group.name == "a"


@pytest.mark.parametrize("leaf", [np.float32(1), np.arange(3)])
def test_parameters_without_units(leaf):
    assert not jc.unit_groups(lambda p, x: x * p, leaf, np.ones((2, 3), np.float32)).names
