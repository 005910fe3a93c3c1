"""Networks of other libraries run from their files without these."""

import subprocess
import sys

import equinox as eqx
import jax
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.nnx import functional
from nets.resnet import ResNet, ResNetConfig

READER = """
import sys, numpy as np, jaxcompress as jc
for name in ("equinox", "flax"):
    with np.load(f"{name}-io.npz") as io:
        found = np.asarray(jc.open_function(f"{name}.npz")(io["x"]))
        assert (found == io["y"]).all(), (name, abs(found - io["y"]).max())
assert not {"flax", "equinox"} & set(sys.modules)
"""


def shipped(folder, name, apply, tree, x):
    jc.ship(folder / f"{name}.npz", apply, tree, x[:1])
    y = jc.jit_for_inference(apply)(jc.dense(tree), x)
    np.savez(folder / f"{name}-io.npz", x=x, y=y)


@pytest.mark.slow
def test_equinox_and_flax_are_not_needed_and_results_are_equal_to_the_bit(tmp_path):
    random = np.random.default_rng(0)
    mlp = eqx.nn.MLP(16, 5, 8, 1, key=jax.random.key(1))
    arrays, static = eqx.partition(mlp, eqx.is_array)

    def per_row(arrays, x):
        return jax.vmap(eqx.combine(arrays, static))(x)

    x = random.standard_normal((3, 16)).astype("f")
    shipped(tmp_path, "equinox", per_row, jc.kmeans(arrays, 16), x)
    config = ResNetConfig(widths=(4, 4, 4), blocks=1)
    net = functional(lambda rngs: ResNet(config, rngs=rngs))
    params, stats = net.init(jax.random.key(0))
    tree = jc.quantize({"params": params, "stats": stats}, 8)
    pictures = random.standard_normal((2, 8, 8, 3)).astype("f")
    shipped(tmp_path, "flax", lambda t, x: net.apply(t["params"], t["stats"], x), tree, pictures)
    found = subprocess.run(
        [sys.executable, "-c", READER], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
