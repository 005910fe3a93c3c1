"""Modules of three libraries at the sizes of a tree, and what cannot be rebuilt."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jaxcompress as jc
from jaxcompress.modules import rebuild

X = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype("f")
ROWS = X.reshape(2, -1)[:, :6]
TOKENS = X.reshape(2, 24, 8)


# Linen


class Convolutional(linen.Module):
    features: tuple[int, ...]
    hidden: int

    @linen.compact
    def __call__(self, x, train=False):
        for count in self.features:
            x = linen.Conv(count, (3, 3), strides=2)(x)
            x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
        x = x.reshape(len(x), -1)
        return linen.Dense(5)(linen.relu(linen.Dense(self.hidden)(x)))


class Block(linen.Module):
    heads: int
    width: int
    hidden: int

    @linen.compact
    def __call__(self, x):
        y = linen.MultiHeadDotProductAttention(num_heads=self.heads, qkv_features=self.width)(x)
        x = x + y
        return x + linen.Dense(x.shape[-1])(linen.gelu(linen.Dense(self.hidden)(x)))


class Stack(linen.Module):
    block: Block
    depth: int

    @linen.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = Block(self.block.heads, self.block.width, self.block.hidden)(x)
        return linen.Dense(3)(x)


LINEN = {
    "channels and units": (Convolutional((8, 16), 32), Convolutional((4, 12), 7), X),
    "one alone": (Convolutional((8, 16), 32), Convolutional((8, 16), 1), X),
    "heads": (Block(4, 32, 16), Block(2, 16, 16), TOKENS),
    "width of heads": (Block(4, 32, 16), Block(4, 12, 9), TOKENS),
    "blocks": (Stack(Block(2, 8, 8), 4), Stack(Block(2, 8, 5), 2), TOKENS),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEN)
def test_fields_of_linen_are_those_that_the_arrays_were_made_with(name):
    module, small, x = LINEN[name]
    variables = small.init(jax.random.key(0), x)
    found = rebuild(module, variables, x)
    assert found == small
    np.testing.assert_array_equal(found.apply(variables, x), small.apply(variables, x))


def test_shapes_and_parameters_alone_are_enough_for_linen():
    shapes = jax.eval_shape(Block(2, 16, 4).init, jax.random.key(0), TOKENS)
    assert rebuild(Block(4, 32, 16), shapes["params"], TOKENS) == Block(2, 16, 4)


@pytest.mark.slow
def test_what_is_no_array_is_passed_as_it_is():
    module, small = Convolutional((8, 16), 32), Convolutional((4, 4), 32)
    variables = small.init(jax.random.key(0), X, False)
    assert rebuild(module, variables, X, False) == small


@pytest.mark.slow
def test_a_linen_network_that_was_cut_is_rebuilt_at_every_trial():
    """Linen compares the sizes of its arrays with those of its fields."""
    module, x = Convolutional((8, 8), 16), X
    params = module.init(jax.random.key(0), x)

    at = jc.modules.at_sizes(module, x)
    groups = jc.unit_groups(module.apply, params, x, rebuild=at)
    assert len(groups) == 3 and not any(group.untried for group in groups)
    keep = jc.choose_units(params, groups, remove=0.5)
    small = jc.shrink(params, groups, keep)
    found = rebuild(module, small, x)
    assert (found.features, found.hidden) == ((4, 4), 8)
    assert jc.check_shrink(module.apply, params, groups, keep, x, rebuild=at) < 1e-5
    assert found.apply(small, x).shape == (2, 5)


class Fixed(linen.Module):
    depth: int = 2

    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(linen.Dense(16)(x))


def test_sizes_that_no_field_says_are_named():
    variables = jax.tree.map(jnp.asarray, Fixed().init(jax.random.key(0), ROWS))
    small = variables["params"]
    small["Dense_0"] = {"kernel": jnp.ones((6, 9)), "bias": jnp.ones(9)}
    small["Dense_1"]["kernel"] = jnp.ones((9, 3))
    with pytest.raises(ValueError, match=r"^module: must have fields .*Dense_0/.* -> \[.*depth"):
        rebuild(Fixed(), small, ROWS)


class Merged(linen.Module):
    heads: int
    width: int

    @linen.compact
    def __call__(self, x):
        y = linen.Dense(self.heads * self.width)(x).reshape(*x.shape[:-1], self.heads, self.width)
        return linen.Dense(3)(jax.nn.softmax(y).reshape(*x.shape[:-1], -1))


def test_fields_of_which_shapes_show_the_product_are_not_guessed():
    x, variables = TOKENS, Merged(4, 4).init(jax.random.key(0), TOKENS)
    with pytest.raises(ValueError, match=r"^module: heads and width must be told apart"):
        rebuild(Merged(4, 16), variables, x)
    assert rebuild(Merged(2, 8), variables, x) == Merged(2, 8)  # nothing is to be changed


def test_parameters_alone_are_what_the_function_takes():
    params = linen.Dense(4).init(jax.random.key(0), ROWS)["params"]
    built = jc.modules.at_sizes(linen.Dense(4), ROWS)({"kernel": (6, 3), "bias": (3,)})
    assert built({n: a[..., :3] for n, a in params.items()}, ROWS).shape == (2, 3)


# NNX


def softened(rngs):
    return nnx.Sequential(
        nnx.Linear(6, 4, rngs=rngs), nnx.relu, nnx.Linear(4, 3, rngs=rngs), nnx.softmax
    )


@pytest.mark.slow
@pytest.mark.parametrize("drop", [False, True])
def test_entries_of_lists_without_arrays_stay(drop):
    module = softened(nnx.Rngs(0))
    if drop:
        module.layers = nnx.List(
            [*list(module.layers)[:2], nnx.Dropout(0.5, rngs=nnx.Rngs(1)), *list(module.layers)[2:]]
        )
        module.eval()
    net = jc.nnx.functional(lambda rngs: softened(rngs))
    np.testing.assert_array_equal(rebuild(module, arrays_of(module), ROWS)(ROWS), module(ROWS))
    params, stats = net.init(jax.random.key(0))
    np.testing.assert_allclose(net.apply(params, stats, ROWS).sum(axis=1), 1, rtol=1e-5)


class Net(nnx.Module):
    def __init__(self, width, depth, rngs):
        self.blocks = nnx.List([nnx.Linear(6, 6, rngs=rngs) for _ in range(depth)])
        self.attention = nnx.MultiHeadAttention(4, 6, width, decode=False, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        for block in self.blocks:
            x = nnx.relu(block(x))
        return self.last(self.drop(self.norm(self.attention(x))))


def arrays_of(module):
    _, _, state = nnx.split(module, nnx.RngState, ...)
    return nnx.to_pure_dict(state)


@pytest.mark.slow
def test_nnx_modules_get_arrays_sizes_and_fewer_blocks(tmp_path):
    module = Net(32, 3, nnx.Rngs(0))
    small = Net(16, 2, nnx.Rngs(1))
    small.attention = nnx.MultiHeadAttention(2, 6, 16, decode=False, rngs=nnx.Rngs(2))
    for each in (module, small):
        each.eval()
    jc.save(tmp_path / "small.npz", arrays_of(small))
    x = X.reshape(2, -1, 6)
    found = rebuild(module, jc.load(tmp_path / "small.npz"), x)
    assert (found.attention.num_heads, len(found.blocks), len(module.blocks)) == (2, 2, 3)
    np.testing.assert_array_equal(found(x), small(x))
    assert module.attention.num_heads == 4, "the module that was given is not changed"


@pytest.mark.slow
def test_generators_of_a_saved_module_stay_those_of_the_module():
    module, x = Net(8, 1, nnx.Rngs(0)), X.reshape(2, -1, 6)
    module.eval()
    everything = nnx.to_pure_dict(nnx.state(module))
    np.testing.assert_array_equal(rebuild(module, everything, x)(x), module(x))
    params, stats = (
        nnx.to_pure_dict(nnx.state(module, kind)) for kind in (nnx.Param, nnx.BatchStat)
    )
    parts = {"params": params, "stats": stats}
    np.testing.assert_array_equal(rebuild(module, parts, x)(x), module(x))


def test_arrays_of_nnx_that_are_missing_or_too_many_are_named():
    module, x = Net(8, 1, nnx.Rngs(0)), X.reshape(2, -1, 6)
    module.eval()
    less, more = arrays_of(module), arrays_of(module)
    del less["last"]["bias"]
    with pytest.raises(ValueError, match=r"^last/bias: must be in the tree"):
        rebuild(module, less, x)
    more["first"] = {"bias": np.ones(2)}
    with pytest.raises(ValueError, match=r"^first/bias: must be .* got none in the module"):
        rebuild(module, more, x)


# Equinox


class Encoder(eqx.Module):
    embed: eqx.nn.Embedding
    attention: eqx.nn.MultiheadAttention
    norms: list[eqx.nn.LayerNorm]
    layers: tuple[eqx.nn.MLP, ...]
    conv: eqx.nn.Conv1d
    group: eqx.nn.GroupNorm
    cell: eqx.nn.GRUCell
    scale: jax.Array | None

    def __init__(self, heads, width, hidden, depth, *, key):
        keys = iter(jax.random.split(key, 8))
        self.embed = eqx.nn.Embedding(10, 8, key=next(keys))
        self.attention = eqx.nn.MultiheadAttention(heads, 8, qk_size=4, vo_size=4, key=next(keys))
        self.norms = [eqx.nn.LayerNorm(8) for _ in range(depth)]
        self.layers = tuple(eqx.nn.MLP(8, 8, hidden, 1, key=next(keys)) for _ in range(depth))
        self.conv = eqx.nn.Conv1d(8, width, 3, padding=1, key=next(keys))
        self.group = eqx.nn.GroupNorm(2, width)
        self.cell = eqx.nn.GRUCell(width, 5, key=next(keys))
        self.scale = None

    def __call__(self, tokens):
        x = jax.vmap(self.embed)(tokens)
        x = x + self.attention(x, x, x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + jax.vmap(layer)(jax.vmap(norm)(x))
        x = self.group(self.conv(x.T)).T
        return jax.lax.scan(lambda h, row: (self.cell(row, h), None), jnp.zeros(5), x)[0]


def encoder(heads=4, width=8, hidden=16, depth=3, seed=0):
    return Encoder(heads, width, hidden, depth, key=jax.random.key(seed))


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes",
    [{"width": 6, "hidden": 5}, {"depth": 1}],
    ids=lambda sizes: "-".join(sizes),
)
def test_equinox_modules_get_arrays_sizes_and_fewer_layers(sizes, tmp_path):
    small, tokens = encoder(**sizes, seed=1), np.arange(7)
    jc.save(tmp_path / "small.npz", eqx.filter(small, eqx.is_array))
    found = rebuild(encoder(), jc.load(tmp_path / "small.npz"), tokens)
    np.testing.assert_array_equal(found(tokens), small(tokens))
    assert found.conv.out_channels == small.group.channels == found.cell.input_size


@pytest.mark.slow
def test_a_tree_like_the_equinox_module_is_taken():
    small, tokens = encoder(hidden=3), np.arange(4)
    found = rebuild(encoder(), eqx.filter(small, eqx.is_array), tokens)
    np.testing.assert_array_equal(found(tokens), small(tokens))


@pytest.mark.slow
def test_depthwise_convolutions_follow_their_channels():
    def net(channels):
        return eqx.nn.Sequential(
            [
                eqx.nn.Conv1d(3, channels, 1, key=jax.random.key(0)),
                eqx.nn.Conv1d(channels, channels, 3, groups=channels, key=jax.random.key(1)),
                eqx.nn.Conv1d(channels, 2, 1, key=jax.random.key(2)),
            ]
        )

    small, x = net(4), np.ones((3, 9), "f")
    found = rebuild(net(6), eqx.filter(small, eqx.is_array), x)
    assert found[1].groups == 4
    np.testing.assert_array_equal(found(x), small(x))


@pytest.mark.slow
def test_attention_has_as_many_heads_and_computes_what_the_code_does():
    """The code has the number of heads written down: what is cut are the widths of all heads."""
    module = eqx.nn.MultiheadAttention(4, 8, qk_size=8, vo_size=8, key=jax.random.key(0))
    arrays, static = eqx.partition(module, eqx.is_array)
    x = TOKENS[0]

    def attend(arrays, x):
        attention = eqx.combine(arrays, static)
        return attention(x, x, x)

    groups = jc.unit_groups(attend, arrays, x)
    small = jc.shrink(arrays, groups, jc.choose_units(arrays, groups, remove=0.5))
    found = rebuild(module, small, x, x, x)
    assert (found.num_heads, found.qk_size) == (4, 4)
    np.testing.assert_array_equal(found(x, x, x), attend(small, x))


def test_layers_of_equinox_as_they_are():
    keys = iter(jax.random.split(jax.random.key(0), 4))
    module = eqx.nn.Sequential(
        [
            eqx.nn.Conv1d(4, 8, 3, groups=4, key=next(keys)),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.ConvTranspose1d(8, 8, 3, groups=8, key=next(keys)),
            eqx.nn.LayerNorm((8, 9), use_weight=False, use_bias=False),
        ]
    )
    x = np.ones((4, 9), "f")
    found = rebuild(module, eqx.filter(module, eqx.is_array), x)
    np.testing.assert_array_equal(found(x), module(x))
    assert (found[0].groups, found[2].groups) == (4, 8)


def test_arrays_that_no_field_holds_are_refused():
    class Held(eqx.Module):
        call: jax.tree_util.Partial

        def __call__(self, x):
            return self.call(x)

    module = Held(jax.tree_util.Partial(jnp.multiply, jnp.ones(6)))
    with pytest.raises(ValueError, match=r"^call: must be a module, a dict, .* got Partial"):
        rebuild(module, {"call": {"args": {0: np.ones(6)}}}, ROWS[0])


def test_arrays_of_equinox_that_do_not_fit_are_named():
    module, x = eqx.nn.MLP(6, 3, 4, 1, key=jax.random.key(0)), ROWS[0]
    arrays = eqx.filter(module, eqx.is_array)
    less = eqx.tree_at(lambda m: m.layers[1].bias, arrays, None)
    with pytest.raises(ValueError, match=r"^layers/1/bias: must be an array, got none"):
        rebuild(module, less, x)
    flat = eqx.tree_at(lambda m: m.layers[1].weight, arrays, np.ones(4))
    with pytest.raises(ValueError, match=r"^layers/1/weight: must have 2 axes, got \[4\]"):
        rebuild(module, flat, x)
    with pytest.raises(ValueError, match=r"^other: must be in the module, got none"):
        rebuild(module, {"layers": arrays.layers, "other": np.ones(2)}, x)


# All of them


def test_only_linen_needs_to_be_built_for_sizes():
    with pytest.raises(TypeError, match=r"^module: must be of flax.linen, got one of equinox"):
        jc.modules.at_sizes(eqx.nn.Linear(6, 3, key=jax.random.key(0)), ROWS)


def test_a_module_that_does_not_run_at_these_sizes_is_refused():
    module = eqx.nn.MLP(6, 3, 4, 1, key=jax.random.key(0))
    arrays = eqx.tree_at(lambda m: m.layers[0].weight, module, np.ones((5, 6), "f"))
    with pytest.raises(ValueError, match=r"^module: must run at the sizes of the tree, got"):
        rebuild(module, eqx.filter(arrays, eqx.is_array), ROWS[0])


def test_outputs_of_another_size_are_refused():
    module, other = (eqx.nn.Linear(6, n, key=jax.random.key(0)) for n in (3, 2))
    with pytest.raises(ValueError, match=r"^tree: must give .* got \[2\] in place of \[3\]"):
        rebuild(module, eqx.filter(other, eqx.is_array), ROWS[0])


def test_compressed_leaves_are_taken_as_the_arrays_that_they_stand_for():
    module = eqx.nn.Linear(6, 3, key=jax.random.key(0))
    tree = jc.quantize({"weight": module.weight, "bias": module.bias}, 8)
    found = rebuild(module, tree, ROWS[0])
    np.testing.assert_array_equal(found.weight, jc.dense(tree)["weight"])


def test_a_function_is_returned_once_it_runs():
    def apply(params, x):
        return x @ params["w"]

    assert rebuild(apply, {"w": np.ones((6, 2), "f")}, ROWS) is apply
    with pytest.raises(ValueError, match=r"^module: must run"):
        rebuild(apply, {"w": np.ones((5, 2), "f")}, ROWS)


@pytest.mark.parametrize("module", [3, "net", {"w": 1}])
def test_other_things_are_refused(module):
    with pytest.raises(TypeError, match=r"^module: must be of flax.nnx, flax.linen or equinox"):
        rebuild(module, {"w": np.ones(2)}, ROWS)
