"""Dropping blocks: every layout of the same blocks gives the same, and what cannot be says why."""

from collections import OrderedDict, defaultdict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.core import FrozenDict
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc

DEPTH = 12


def block(k):
    return {"kernel": np.full((2, 3), k, "f"), "bias": jnp.full(3, -k, jnp.bfloat16)}


def of_layout(name):
    """Return a tree of twelve blocks, and the names of the first three."""
    blocks = [block(k) for k in range(DEPTH)]
    layouts = {
        "list": ({"blocks": blocks}, range(3)),
        "tuple": ({"blocks": tuple(blocks)}, range(3)),
        "numbers": ({"blocks": dict(enumerate(blocks))}, range(3)),
        "digits": ({"blocks": {str(k): b for k, b in enumerate(blocks)}}, "012"),
        "from one": ({"blocks": {k + 1: b for k, b in enumerate(blocks)}}, (1, 2, 3)),
        "names": ({f"blocks{k}": b for k, b in enumerate(blocks)}, range(3)),
        "names from one": ({f"blocks{k + 1:02}": b for k, b in enumerate(blocks)}, range(3)),
        "stacked": ({"blocks": jax.tree.map(lambda *a: jnp.stack(a), *blocks)}, range(3)),
    }
    tree, names = layouts[name]
    return tree | {"head": np.ones(2)}, names


LAYOUTS = ["list", "tuple", "numbers", "digits", "from one", "names", "names from one", "stacked"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_blocks_stay_in_every_layout(layout):
    tree, names = of_layout(layout)
    assert jc.prune.count_blocks(tree, "blocks") == DEPTH
    small = jc.drop_blocks(tree, "blocks", keep=[1, 2, 11])
    assert small["head"] is tree["head"] and jc.prune.count_blocks(small, "blocks") == 3
    for name, k, place in zip(names, (1, 2, 11), range(3), strict=True):
        if layout == "names":
            found = small[f"blocks{name}"]
        elif layout == "names from one":
            found = small[f"blocks{name + 1:02}"]
        elif layout == "stacked":
            found = jax.tree.map(lambda a: a[place], small["blocks"])  # noqa: B023
        else:
            assert type(small["blocks"]) is type(tree["blocks"])
            found = small["blocks"][name]
        jax.tree.map(np.testing.assert_array_equal, found, block(k))
        assert found["bias"].dtype == jnp.bfloat16
    leaves = 2 if layout == "stacked" else 6
    assert len(jax.tree.leaves(small)) == leaves + 1


@pytest.mark.parametrize("layout", ["numbers", "names", "stacked"])
def test_trees_that_mirror_the_parameters_shrink_alike(layout):
    params = {"encoder": of_layout(layout)[0]}
    tx = optax.adamw(1e-3)
    small = jc.drop_blocks((params, tx.init(params)), "encoder/blocks", keep=[0, 5])
    expected = jc.drop_blocks(params, "blocks", keep=[0, 5])
    jax.tree.map(np.testing.assert_array_equal, small, (expected, tx.init(expected)))


@pytest.mark.parametrize("layout", ["list", "stacked"])
def test_states_that_leave_the_blocks_out_shrink_too(layout):
    """`multi_transform` puts empty nodes in place of the parameters of other transforms."""
    params = of_layout(layout)[0]
    labels = {"blocks": jax.tree.map(lambda _: "frozen", params["blocks"]), "head": "trained"}
    tx = optax.multi_transform({"frozen": optax.set_to_zero(), "trained": optax.adam(1.0)}, labels)
    small, state = jc.drop_blocks((params, tx.init(params)), "blocks", keep=[0, 5])
    labels = {"blocks": jax.tree.map(lambda _: "frozen", small["blocks"]), "head": "trained"}
    tx = optax.multi_transform({"frozen": optax.set_to_zero(), "trained": optax.adam(1.0)}, labels)
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(small))
    tx.update(small, state)


def test_what_stands_beside_numbered_blocks_stays():
    zero, one, norm = (np.full((2, 2), k) for k in range(3))
    beside = {"blocks": {"0": zero, "1": one, "norm": norm}}
    small = jc.drop_blocks(beside, "blocks", keep=[1])["blocks"]
    assert small.keys() == {"0", "norm"} and small["0"] is one and small["norm"] is norm
    names = {"block1": zero, "block2": zero, "block10": one, "block1_norm": norm}
    small = jc.drop_blocks(names, "block", keep=[0, 2])
    assert small.keys() == {"block1", "block2", "block1_norm"}
    assert small["block2"] is one and small["block1_norm"] is norm


def test_dicts_keep_their_kind():
    small = jc.drop_blocks(
        defaultdict(int, block0=np.ones(2), block1=np.zeros(2)), "block", keep=[1]
    )
    assert isinstance(small, defaultdict) and small["block0"].tolist() == [0, 0] and small["x"] == 0
    frozen = jc.drop_blocks(FrozenDict(block0=np.ones(2), block1=np.zeros(2)), "block", keep=[1])
    assert isinstance(frozen, FrozenDict) and frozen["block0"].tolist() == [0, 0]


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_dicts_keep_their_order(kind):
    names = ("embed", *(f"block{k}" for k in range(4)), "head")
    small = jc.drop_blocks(kind((n, np.ones(2)) for n in names), "block", keep=[0, 3])
    assert list(small) == ["embed", "block0", "block1", "head"]


def test_shapes_masks_and_keys():
    tree = {
        "shape": jax.ShapeDtypeStruct((3, 2), jnp.float32),
        "mask": np.array([True, False, True]),
        "key": jax.random.split(jax.random.key(0), 3),
    }
    small = jc.drop_blocks({"blocks": tree}, "blocks", keep=[1, 2])["blocks"]
    assert small["shape"].shape == (2, 2) and small["mask"].tolist() == [False, True]
    assert (small["key"] == tree["key"][1:]).all()


def test_modules_of_equinox_and_states_of_nnx():
    class Net(eqx.Module):
        blocks: list
        activation: object = eqx.field(static=True)

    keys = jax.random.split(jax.random.key(0), 3)
    whole = Net([eqx.nn.Linear(2, 2, key=key) for key in keys], jax.nn.relu)
    small = jc.drop_blocks(eqx.filter(whole, eqx.is_array), "blocks", keep=[2])
    assert isinstance(small, Net) and len(small.blocks) == 1 and small.activation is jax.nn.relu
    np.testing.assert_array_equal(small.blocks[0].weight, whole.blocks[2].weight)

    rngs = nnx.Rngs(0)
    module = nnx.Dict(blocks=nnx.List([nnx.LayerNorm(2, rngs=rngs) for _ in range(3)]))
    graph, state = nnx.split(module)
    cut = jc.drop_blocks(state, "blocks", keep=[0, 2])
    assert isinstance(cut, nnx.State) and list(cut["blocks"]) == [0, 1]
    del graph


def run(params, x):
    for b in params["blocks"].values():
        x = x + jnp.tanh(x @ b)
    return x


def scan(params, x):
    return jax.lax.scan(lambda x, b: (x + jnp.tanh(x @ b), None), x, params["blocks"])[0]


def test_what_is_left_runs_at_its_new_depth():
    kernels = np.random.default_rng(0).normal(size=(5, 3, 3)).astype("f")
    x = np.ones((2, 3), "f")
    expected = run({"blocks": dict(enumerate(kernels[[0, 3]]))}, x)
    listed = jc.drop_blocks({"blocks": dict(enumerate(kernels))}, "blocks", keep=[0, 3])
    stacked = jc.drop_blocks({"blocks": kernels}, "blocks", keep=[0, 3])
    np.testing.assert_array_equal(run(listed, x), expected)
    np.testing.assert_allclose(scan(stacked, x), expected, rtol=1e-6)


LIST = {"blocks": [np.ones(2)] * 3}
WRONG = {
    "no block kept": (LIST, "blocks", [], "keep must be at least one of 0 to 2.*got \\[\\]"),
    "out of range": (LIST, "blocks", [0, 3], "of 0 to 2, ascending and each once, got \\[0, 3\\]"),
    "negative": (LIST, "blocks", [-1], "got \\[-1\\]"),
    "twice": (LIST, "blocks", [1, 1], "each once"),
    "descending": (LIST, "blocks", [1, 0], "ascending"),
    "nothing there": (LIST, "block", [0], "block: must be where the tree has blocks, .* blocks/0"),
    "half a name": ({"myblocks": [np.ones(2)]}, "blocks", [0], "must be where"),
    "empty": ({"blocks": [], "head": np.ones(2)}, "blocks", [0], "must be where .* among head;"),
    "no arrays": ({"blocks": {"a": None}, "head": np.ones(2)}, "blocks", [0], "must be where"),
    "unequal": (
        {"blocks": {"a": np.ones((3, 2)), "b": np.ones((4, 2))}},
        "blocks",
        [0],
        r"one axis of the same length in front, got blocks/a 3, blocks/b 4",
    ),
    "scalar": ({"blocks": {"a": np.ones(3), "b": np.float32(1)}}, "blocks", [0], "b no axis"),
    "two depths": (
        {"encoder": LIST, "decoder": {"blocks": [np.ones(2)]}},
        "blocks",
        [0],
        r"one number of blocks, got decoder/blocks \(1\), encoder/blocks \(3\); pass a longer",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_dropped_says_why(case):
    tree, at, keep, match = WRONG[case]
    with pytest.raises(ValueError, match=match):
        jc.drop_blocks(tree, at, keep=keep)


@pytest.mark.parametrize("wrong", [0.0, "0", True, np.True_, None])
def test_positions_are_integers(wrong):
    with pytest.raises(TypeError, match="keep must be positions of blocks, integers from 0"):
        jc.drop_blocks(LIST, "blocks", keep=[wrong])


def test_how_many_stay_is_no_position():
    with pytest.raises(TypeError, match="blocks: keep must be positions of blocks, got 2; choose_"):
        jc.drop_blocks(LIST, "blocks", keep=2)


def test_blocks_are_stacked_before_they_are_compressed():
    stacked = {"blocks": jc.kmeans({"kernel": np.arange(12.0).reshape(3, 2, 2)}, 4)}
    with pytest.raises(TypeError, match="blocks/kernel: .* got Clustered; drop them before"):
        jc.drop_blocks(stacked, "blocks", keep=[0])
    listed = {"blocks": [jc.kmeans({"kernel": np.array([[1.0, k + 2]])}, 2) for k in range(3)]}
    small = jc.drop_blocks(listed, "blocks", keep=[2])
    assert jc.dense(small)["blocks"][0]["kernel"].tolist() == [[1, 4]]


# Which stay

RULES = {
    "spread_out": jc.prune.spread_out,
    "first": jc.prune.first_blocks,
    "outer": jc.prune.outer_blocks,
    "random": jc.prune.random_blocks(jax.random.key(3)),
}


@pytest.mark.parametrize(
    ("rule", "depth", "count", "positions"),
    [
        ("spread_out", 12, 6, [0, 2, 4, 7, 9, 11]),
        ("spread_out", 12, 3, [0, 6, 11]),
        ("spread_out", 3, 2, [0, 2]),
        ("spread_out", 5, 1, [0]),
        ("first", 5, 2, [0, 1]),
        ("outer", 6, 4, [0, 1, 4, 5]),
        ("outer", 5, 1, [0]),
    ],
)
def test_rules_by_hand(rule, depth, count, positions):
    assert RULES[rule](depth, count) == positions


@given(st.data(), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_every_rule_gives_so_many_positions_ascending(data, depth):
    count = data.draw(st.integers(1, depth))
    scores = np.array(data.draw(st.lists(st.floats(-1, 1), min_size=depth, max_size=depth)))
    rules = [
        jc.prune.spread_out,
        jc.prune.first_blocks,
        jc.prune.outer_blocks,
        jc.prune.important_blocks(scores),
    ]
    for rule in rules:
        found = rule(depth, count)
        assert len(found) == count and found == sorted(set(found)) and 0 <= found[0]
        assert found[-1] < depth
    if count > 1:
        for rule in (jc.prune.spread_out, jc.prune.outer_blocks):
            assert {0, depth - 1} <= set(rule(depth, count))


def test_any_blocks_depend_on_the_key_alone():
    found = [jc.prune.random_blocks(jax.random.key(k))(20, 10) for k in (0, 0, 1)]
    assert found[0] == found[1] != found[2] and len(set(found[0])) == 10


@pytest.mark.parametrize(
    ("count", "error", "match"),
    [
        (0, ValueError, "blocks: must keep 1 to 3 blocks, as many as there are, got 0"),
        (4, ValueError, "got 4; pass how many are kept, not"),
        (-1, ValueError, "got -1"),
        (1.5, TypeError, "keep must be an integer, got 1.5"),
        (True, TypeError, "keep must be an integer"),
    ],
)
def test_no_fewer_than_one_block_and_no_more_than_there_are(count, error, match):
    with pytest.raises(error, match=match):
        jc.choose_blocks(LIST, "blocks", keep=count)


def test_importance_by_hand():
    """Blocks add 3, 0.5 and -1 to x; the loss is the square of what is left to 3."""

    def loss(params):
        return (3 - sum(float(b["add"]) for b in params["blocks"])) ** 2

    params = {"blocks": [{"add": np.array(a)} for a in (3.0, 0.5, -1.0)]}
    found = jc.prune.block_importance(loss, params, "blocks")
    np.testing.assert_allclose(found, [3.5**2 - 0.25, 1 - 0.25, 0.25 - 0.25])
    rule = jc.prune.important_blocks(found)
    assert jc.choose_blocks(params, "blocks", keep=2, rule=rule) == [0, 1]


def test_importance_that_cannot_be():
    with pytest.raises(ValueError, match="blocks: loss of all blocks, .*must be finite, got 4"):
        jc.prune.block_importance(lambda params: np.nan, LIST, "blocks")
    with pytest.raises(ValueError, match="at least 2 blocks, got 1; the last one is kept"):
        jc.prune.block_importance(lambda params: 0.0, {"blocks": [np.ones(2)]}, "blocks")
    with pytest.raises(ValueError, match="importance: must be finite"):
        jc.prune.important_blocks(np.array([0.0, np.inf]))
    with pytest.raises(ValueError, match="one number for each of the 3 blocks, got shape"):
        jc.choose_blocks(LIST, "blocks", keep=2, rule=jc.prune.important_blocks(np.ones(2)))


def test_a_rule_gives_as_many_as_it_is_asked_for():
    with pytest.raises(ValueError, match=r"blocks: a rule must give 2 positions, got \[0\]"):
        jc.choose_blocks(LIST, "blocks", keep=2, rule=lambda depth, count: [0])
