"""Leaves whose integers stay entropy-coded: exact in numpy, in JAX, under transforms, in files."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxcompress as jc
from jaxcompress.artifact import encode as file_of
from jaxcompress.leaves import (
    Clustered,
    Coded,
    Half,
    LowRank,
    Quantized,
    check_coded,
    coded,
    decoded,
    dense,
    uncoded,
    update_codebooks,
)

RNG = np.random.default_rng(0)


def clustered(shape, k=4):
    codes = np.minimum(RNG.geometric(0.6, shape) - 1, k).astype(np.uint8)
    return Clustered(codes=codes, codebook=np.linspace(-1, 1, k).astype("f"))


def quantized(shape, scale_shape, *, affine=False):
    values = np.clip(np.round(RNG.normal(size=shape) * 2), -8, 7).astype(np.int8)
    zero_point = RNG.integers(-3, 4, scale_shape).astype(np.int8) if affine else None
    scale = RNG.uniform(0.1, 1, scale_shape).astype("f")
    return Quantized(values=values, scale=scale, zero_point=zero_point, bits=4)


LEAVES = {
    "clustered": clustered((40, 50)),
    "channel": quantized((40, 50), (1, 50)),
    "affine blocks": quantized((40, 50), (3, 50), affine=True),
    "convolution": quantized((3, 3, 16, 20), (1, 1, 1, 20)),
}


def same(one, other):
    assert type(one) is type(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES)
@pytest.mark.parametrize("turns", [64, 1024])
def test_a_leaf_comes_back_in_numpy_and_in_jax(leaf, turns):
    small = coded(leaf, turns=turns)
    assert isinstance(small, Coded)
    assert (small.shape, small.dtype, small.size) == (leaf.shape, leaf.dtype, leaf.size)
    assert isinstance(small.dense(), np.ndarray)
    same(small.dense(), leaf.dense())
    same(uncoded(small), leaf)
    on_device = jax.tree.map(jnp.asarray, small)
    same(np.asarray(jax.jit(dense)(on_device)), np.asarray(jax.tree.map(jnp.asarray, leaf).dense()))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 999))
def test_random_leaves_come_back_from_a_device(seed, spread, turns):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(37, 53)) * spread).clip(-128, 127).astype(np.int8)
    leaf = Quantized(values=values, scale=np.ones((1, 1), "f"), bits=8)
    small = coded(jax.tree.map(jnp.asarray, leaf), turns=turns)
    np.testing.assert_array_equal(small.dense(), values.astype("f"))


def test_integers_of_both_ends():
    values = np.zeros((50, 50), np.int8)
    values[0, :2] = -128, 127
    small = coded(Quantized(values=values, scale=np.ones((1, 1), "f"), bits=8))
    assert small.dense()[0, :3].tolist() == [-128, 127, 0]


def test_leaves_that_would_not_shrink_and_wide_codes_are_kept():
    tree = {
        "noise": Quantized(
            values=RNG.integers(-128, 128, (60, 60)).astype(np.int8), scale=np.ones((1, 1)), bits=8
        ),
        "wide": Clustered(codes=np.zeros((60, 60), np.uint16), codebook=np.ones(300, "f")),
        "tiny": clustered((2, 2)),
        "half": Half(values=np.ones((60, 60), np.float16), dtype=np.dtype("f")),
        "array": np.ones((60, 60), "f"),
        "empty": clustered((0, 3)),
        "coded": coded(clustered((40, 50))),
    }
    kept = coded(tree)
    assert all(kept[name] is leaf for name, leaf in tree.items())


def test_a_scope_chooses_and_factors_are_coded():
    product = LowRank(factors=(clustered((200, 20)), clustered((20, 200))), equation="ir,ro->io")
    tree = {"a": clustered((40, 50)), "b": clustered((40, 50)), "product": product}
    small = coded(tree, scope=lambda path, leaf: path != "a")
    assert small["a"] is tree["a"] and isinstance(small["b"], Coded)
    assert all(isinstance(factor, Coded) for factor in small["product"].factors)
    same(dense(small)["product"], dense(tree)["product"])
    same(decoded(small)["product"].factors[0], product.factors[0].dense())


STACKS = {
    "clustered": clustered((3, 40, 50)),
    "one scale": quantized((3, 40, 50), (1, 1, 1)),
    "scales of layers": quantized((3, 40, 50), (3, 1, 50), affine=True),
    "scales of blocks of layers": quantized((3, 40, 50), (2, 1, 50)),
}


@pytest.mark.slow
@pytest.mark.parametrize("leaf", STACKS.values(), ids=STACKS)
def test_a_stack_has_first_axes_that_loops_cut(leaf):
    small = coded(leaf, stack=1)
    assert small.stack == (3,) and small.shape == leaf.shape
    same(small.dense(), leaf.dense())
    on_device = jax.tree.map(jnp.asarray, small)
    wanted = np.asarray(jax.tree.map(jnp.asarray, leaf).dense())
    same(np.asarray(on_device.dense()), wanted)
    same(np.asarray(jax.vmap(dense)(on_device)), wanted)
    cut = jax.lax.scan(lambda carry, layer: (carry, layer.dense()), 0, on_device)[1]
    same(np.asarray(cut), wanted)
    same(np.asarray(jax.tree.map(lambda array: array[1], small).dense()), leaf.dense()[1])
    check_coded(small)
    same(uncoded(small).dense(), leaf.dense())


def test_a_stack_of_two_codebooks_has_no_uncoded_leaf():
    small = coded(clustered((3, 40, 50)), stack=1)
    codebook = np.asarray(small.grid.codebook).copy()
    codebook[1] += 1
    grid = replace(small.grid, codebook=codebook)
    with pytest.raises(ValueError, match=r"kernel: layers of a stack must share a codebook"):
        uncoded({"kernel": replace(small, grid=grid)})


def test_files_are_those_of_the_leaves_that_were_coded():
    tree = LEAVES | {"stack": STACKS["one scale"]}
    small = coded(LEAVES) | {"stack": coded(STACKS["one scale"], stack=1)}
    product = {
        "p": LowRank(factors=(LEAVES["clustered"], np.ones((50, 3), "f")), equation="ir,ro->io")
    }
    assert file_of(small | coded(product)) == file_of(tree | product)


def test_a_file_is_read_coded(tmp_path):
    tree = LEAVES | {"empty": clustered((0, 3)), "bias": np.ones(3, "f")}
    jc.save(tmp_path / "small.npz", tree)
    small = jc.load_compressed(tmp_path / "small.npz", coded=True)
    assert all(isinstance(small[name], Coded) for name in LEAVES)
    assert all(isinstance(array, jax.Array) for array in jax.tree.leaves(small))
    for name, leaf in uncoded(small).items():
        same(np.asarray(dense(leaf)), np.asarray(dense(tree[name])))


def test_wrong_lanes_are_refused_by_name():
    small = coded(clustered((40, 50)))
    wrong = replace(small, lanes=small.lanes._replace(words=small.lanes.words[1:]))
    for function in (check_coded, uncoded, lambda tree: jc.save("never.npz", tree)):
        with pytest.raises(ValueError, match=r"^block/kernel: .*; code it again\.$"):
            function({"block": {"kernel": jax.tree.map(jnp.asarray, wrong)}})
    with pytest.raises(ValueError, match="must"):
        wrong.dense()


@pytest.mark.parametrize("options", [{"turns": 0}, {"turns": 1.5}, {"stack": -1}])
def test_steps_and_stacks_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"^(turns|stack): must be an integer of at least"):
        coded(clustered((40, 50)), **options)


def test_more_axes_of_layers_than_axes_are_refused():
    with pytest.raises(ValueError, match="kernel: stack must be at most the 2 axes"):
        coded({"kernel": clustered((40, 50))}, stack=3)


def test_techniques_see_the_leaf_that_was_coded():
    leaf = LEAVES["clustered"]
    small = coded({"kernel": leaf})
    bound = jc.metrics.entropy_bound_bytes({"kernel": leaf})
    assert jc.metrics.entropy_bound_bytes(small) == bound
    assert jc.measure_sparsity(small) == jc.measure_sparsity({"kernel": leaf})
    same(jc.quantize(small, 4)["kernel"], jc.quantize({"kernel": leaf}, 4)["kernel"])
    trained = {"kernel": leaf.dense() * 2}
    same(update_codebooks(small, trained)["kernel"].codebook, leaf.codebook * 2)


@pytest.mark.slow
def test_shared_values_of_coded_leaves_are_trained_together():
    import optax

    leaf = LEAVES["clustered"]
    tx = jc.share_centroids(optax.sgd(1.0), coded({"kernel": leaf}))
    params = {"kernel": jnp.asarray(leaf.dense())}
    gradients = {"kernel": jnp.asarray(RNG.normal(size=leaf.shape), "f")}
    updates = tx.update(gradients, tx.init(params), params)[0]["kernel"]
    members = np.asarray(updates)[leaf.codes == 2]
    assert (members == members[0]).all() and members[0] != 0


@pytest.mark.slow
def test_on_a_mesh_lanes_are_on_all_devices():
    mesh = Mesh(np.array(jax.devices()[:1]), ("x",))
    sharding = NamedSharding(mesh, PartitionSpec("x"))
    leaf = clustered((40, 50))
    placed = replace(leaf, codes=jax.device_put(leaf.codes, sharding))
    small = coded(placed)
    assert all(a.sharding == NamedSharding(mesh, PartitionSpec()) for a in jax.tree.leaves(small))
    same(np.asarray(small.dense()), leaf.dense())
