"""One table of techniques, one set of promises that each of them keeps."""

import os
import subprocess
import sys
from collections import namedtuple
from typing import NamedTuple

import equinox as eqx
import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxcompress as jc
from jaxcompress.leaves import half
from jaxcompress.quantization._quantize import quantize
from jaxcompress.trees import named_leaves


def random_half(params):
    return jc.apply_mask(params, jc.prune.random_mask(params, 0.5, key=jax.random.key(7)))


class Technique(NamedTuple):
    """From params to params (or to leaves that stand for them)."""

    apply: object
    jits: bool = True
    tolerance: float = 0.0
    """Of what a second time changes: singular vectors are rounded."""


TECHNIQUES = {
    "magnitude": Technique(lambda p: jc.apply_mask(p, jc.magnitude_mask(p, 0.6))),
    "layerwise": Technique(lambda p: jc.apply_mask(p, jc.layerwise_mask(p, 0.6))),
    "random": Technique(random_half),
    "2:4": Technique(lambda p: jc.apply_mask(p, jc.prune.nm_mask(p, 2, 4))),
    "erk": Technique(
        lambda p: jc.apply_mask(p, jc.layerwise_mask(p, jc.prune.erk_sparsities(p, 0.6)))
    ),
    "k-means": Technique(lambda p: jc.dense(jc.kmeans(p, 3)), jits=False),
    "uniform": Technique(lambda p: jc.dense(jc.uniform(p, 0.3)), jits=False),
    "entropy-constrained": Technique(
        lambda p: jc.dense(jc.entropy_constrained(p, 0.003)), jits=False
    ),
    **{
        f"{bits} bits": Technique(lambda p, n=bits: jc.dense(quantize(p, n)), jits=False)
        for bits in (8, 4, 2, 1)
    },
    "half": Technique(lambda p: jc.dense(half(p)), jits=False),
    "sparse": Technique(lambda p: jc.dense(jc.leaves.sparse(p)), jits=False),
    "low rank": Technique(lambda p: jc.dense(jc.low_rank(p, keep=0.9)), jits=False, tolerance=1e-2),
}

Pair = namedtuple("Pair", "kernel bias")


class Module(eqx.Module):
    kernel: jax.Array
    bias: jax.Array
    activation: object = eqx.field(static=True, default=jax.nn.relu)


def kernel():
    return jax.random.normal(jax.random.key(0), (8, 5))


TREES = {
    "dict": lambda: {"layer": {"kernel": kernel(), "bias": jnp.ones(5)}, "none": None},
    "frozen dict": lambda: flax.core.freeze({"kernel": kernel(), "bias": jnp.ones(5)}),
    "named tuple": lambda: Pair(kernel(), jnp.ones(5)),
    "list": lambda: [kernel(), (jnp.ones(5),)],
    "equinox": lambda: Module(kernel(), jnp.ones(5)),
    "nnx state": lambda: nnx.state(nnx.Linear(8, 5, rngs=nnx.Rngs(0))),
    "bfloat16": lambda: {"kernel": kernel().astype(jnp.bfloat16)},
}


def assert_equal(a, b, tolerance=0.0):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        one, other = np.asarray(x, np.float32), np.asarray(y, np.float32)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:.*fewer than")
@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("name", TECHNIQUES)
def test_structure_and_dtype_are_kept_and_applying_twice_changes_nothing(name, tree):
    technique, params = TECHNIQUES[name], TREES[tree]()
    once = technique.apply(params)
    assert jax.tree.structure(once) == jax.tree.structure(params)
    for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(once), strict=True):
        assert before.dtype == after.dtype and before.shape == after.shape
        if before.ndim < 2:
            np.testing.assert_array_equal(before, after)
        else:
            assert np.any(np.asarray(before != after)) or name in ("sparse", "half")
    assert_equal(technique.apply(once), once, technique.tolerance)


@pytest.mark.parametrize("name", [name for name, t in TECHNIQUES.items() if t.jits])
def test_jit_equals_eager(name):
    technique, params = TECHNIQUES[name], TREES["dict"]()
    assert_equal(jax.jit(technique.apply)(params), technique.apply(params))


@pytest.mark.parametrize("tree", TREES)
def test_files_keep_the_leaves(tmp_path, tree):
    params = TREES[tree]()
    shared = jc.kmeans(params, 3)
    jc.save(tmp_path / "m.npz", shared)
    loaded, expected = named_leaves(jc.load(tmp_path / "m.npz")), named_leaves(jc.dense(shared))
    by_path = dict(zip(loaded.paths, loaded.leaves, strict=True))
    for path, leaf in zip(expected.paths, expected.leaves, strict=True):
        assert_equal(by_path.pop(path), leaf)
    assert not by_path


@pytest.mark.slow
@pytest.mark.parametrize("tree", TREES)
def test_transforms_train_every_kind_of_tree(tree):
    params = TREES[tree]()
    mask = jc.magnitude_mask(params, 0.5)
    pruned = jc.apply_mask(params, mask)
    shared = jc.kmeans(pruned, 3, mask=mask)
    for tx, start in (
        (optax.chain(optax.adam(0.1), jc.hold_mask(mask)), pruned),
        (jc.share_centroids(optax.adam(0.1), shared), jc.dense(shared)),
    ):
        gradients = jax.tree.map(jnp.ones_like, start)
        updates, _ = tx.update(gradients, tx.init(start), start)
        moved = optax.apply_updates(start, updates)
        assert jax.tree.structure(moved) == jax.tree.structure(params)
        assert jc.measure_sparsity(moved) == 0.5


def test_the_transforms_work_in_an_nnx_optimizer():
    layer = nnx.Linear(8, 5, rngs=nnx.Rngs(0))
    mask = jc.magnitude_mask(nnx.state(layer, nnx.Param), 0.5)
    nnx.update(layer, jc.apply_mask(nnx.state(layer, nnx.Param), mask))
    tx = optax.chain(optax.adam(0.1), jc.hold_mask(mask))
    optimizer = nnx.Optimizer(layer, tx, wrt=nnx.Param)
    gradients = nnx.grad(lambda m: jnp.sum((m(jnp.ones((2, 8))) - 1) ** 2))(layer)
    optimizer.update(layer, gradients)
    assert jc.measure_sparsity(nnx.state(layer, nnx.Param)) == 0.5


SHARDED = """
import jax, jax.numpy as jnp, numpy as np, optax
import jaxcompress as jc

assert len(jax.devices()) == 4
mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
params = {"kernel": jnp.round(jax.random.normal(jax.random.key(0), (16, 6)), 1)}  # with ties
placed = jax.device_put(params, {"kernel": rows})
mask = jax.jit(lambda p: jc.magnitude_mask(p, 0.6))(placed)
expected = jc.magnitude_mask(params, 0.6)
np.testing.assert_array_equal(mask["kernel"], expected["kernel"])
shared = jc.kmeans(params, 3, mask=expected)
tx = jc.share_centroids(optax.sgd(0.5), shared)
step = jax.jit(lambda g, s, p: tx.update(g, s, p)[0]["kernel"])
start = jc.dense(shared)
split = jax.device_put(start, {"kernel": rows})
np.testing.assert_allclose(step(split, tx.init(start), split), step(start, tx.init(start), start))
"""


@pytest.mark.slow
def test_sharded_arrays_give_the_same_masks_and_updates():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED], check=True, env=os.environ | flags)


WIDE = """
import jax, jax.numpy as jnp, numpy as np
import jaxcompress as jc

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)
params = {"a": jnp.asarray(rng.standard_normal((10, 10)), jnp.float32)}
params["b"] = jnp.asarray(rng.standard_normal((10, 10)))
eager, traced = jc.magnitude_mask(params, 0.5), jax.jit(lambda p: jc.magnitude_mask(p, 0.5))(params)
for name in params:
    np.testing.assert_array_equal(eager[name], traced[name])
assert 30 < np.sum(~np.asarray(eager["a"])) < 70
"""


@pytest.mark.slow
def test_leaves_of_several_widths_share_one_threshold():
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", WIDE], check=True, env=environment)


def test_a_mask_grown_in_an_nnx_optimizer_prunes_and_shares():
    layer = nnx.Linear(8, 5, rngs=nnx.Rngs(0))
    tx = optax.chain(optax.sgd(0.1), jc.gradual_pruning(0.5, begin=0, end=1))
    optimizer = nnx.Optimizer(layer, tx, wrt=nnx.Param)
    for _ in range(2):
        gradients = nnx.grad(lambda m: jnp.sum((m(jnp.ones((2, 8))) - 1) ** 2))(layer)
        optimizer.update(layer, gradients)
    params = nnx.state(layer, nnx.Param)
    assert jc.measure_sparsity(params) == 0.5
    mask = jc.optim.current_mask(optimizer.opt_state)
    assert jc.measure_sparsity(jc.apply_mask(params, mask)) == 0.5
    assert jc.measure_sparsity(jc.kmeans(params, 4, mask=mask)) == 0.5
