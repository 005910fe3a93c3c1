"""Trees on several devices: the same numbers as on one, and results that lie as they did."""

import os
import subprocess
import sys

import pytest

SHARDED = """
import sys, tempfile
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import jaxcompress as jc
from jaxcompress.products.shrinkage import halves

kind = AxisType[sys.argv[1]]
assert len(jax.devices()) == 4
mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind))
plain = {"kernel": jnp.round(jax.random.normal(jax.random.key(0), (16, 8)), 1), "bias": jnp.ones(8)}
places = {
    "kernel": NamedSharding(mesh, PartitionSpec("data", "model")),
    "bias": NamedSharding(mesh, PartitionSpec("model")),
}
path = tempfile.mkdtemp() + "/m.npz"
jc.save(path, jc.kmeans(plain, 4))
MASK, SHARED = jc.magnitude_mask(plain, 0.5), jc.kmeans(plain, 4)


def trained(make, start=lambda params: params):
    def run(params):
        params = start(params)
        tx = make()
        state = tx.init(params)
        step = jax.jit(lambda g, s, p: tx.update(g, s, p))
        for _ in range(2):
            updates, state = step(jax.tree.map(jnp.ones_like, params), state, params)
            params = optax.apply_updates(params, updates)
        return params
    return run


def shared_start(params):
    return jax.tree.map(lambda leaf, like: jax.device_put(leaf, like.sharding),
                        jc.dense(SHARED), params)


TABLE = {
    "magnitude_mask": lambda p: jc.magnitude_mask(p, 0.5),
    "layerwise_mask": lambda p: jc.layerwise_mask(p, 0.5),
    "random_mask": lambda p: jc.prune.random_mask(p, 0.5, key=jax.random.key(1)),
    "nm_mask": jc.prune.nm_mask,
    "shuffled_mask": lambda p: jc.prune.shuffled_mask(
        jc.magnitude_mask(p, 0.5), key=jax.random.key(1)
    ),
    "apply_mask": lambda p: jc.apply_mask(p, MASK),
    "dense of kmeans": lambda p: jc.dense(jc.kmeans(p, 4)),
    "dense of uniform": lambda p: jc.dense(jc.uniform(p, 0.3)),
    "load_into": lambda p: jc.load_into(path, p),
    "update_codebooks": lambda p: jc.dense(
        jc.leaves.update_codebooks(jc.kmeans(p, 4), shared_start(p))
    ),
    "hold_mask": trained(lambda: optax.chain(optax.adam(0.1), jc.hold_mask(MASK))),
    "gradual_pruning": trained(
        lambda: optax.chain(optax.sgd(0.1), jc.gradual_pruning(0.5, begin=0, end=1))),
    "share_centroids": trained(
        lambda: jc.share_centroids(optax.sgd(0.1), SHARED), shared_start),
}
UNDER_JIT = {"magnitude_mask", "layerwise_mask", "nm_mask", "apply_mask"}


def check(name, found, expected, *, places):
    for leaf, wanted, place in zip(*map(jax.tree.leaves, (found, expected, places))):
        np.testing.assert_allclose(np.asarray(leaf), np.asarray(wanted), rtol=1e-6, err_msg=name)
        assert leaf.sharding.is_equivalent_to(place, leaf.ndim), (name, leaf.sharding)


expected = {name: function(plain) for name, function in TABLE.items()}
with jax.set_mesh(mesh):
    params = jax.device_put(plain, places)
    for name, function in TABLE.items():
        check(name, function(params), expected[name], places=places)
        if name in UNDER_JIT:
            compiled = jax.jit(function, out_shardings=places)
            check(name + " under jit", compiled(params), expected[name], places=places)
    batch = jax.device_put(np.ones((16, 2)), NamedSharding(mesh, PartitionSpec("data")))
    assert all(half[0].sharding == batch.sharding for half in halves([batch]))
    if kind is AxisType.Explicit:
        mask = jax.jit(lambda p: jc.magnitude_mask(p, 0.5))(params)
        check("mask by its type", mask, expected["magnitude_mask"], places=places)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_results_lie_as_what_they_were_made_from(kind):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED, kind], check=True, env=os.environ | flags)
