"""A file of a network that was cut fills the template of the whole one, if the network runs so."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxcompress as jc

X = np.ones((5, 3), np.float32)


def apply(params, x):
    return jax.nn.relu(x @ params["in"]["kernel"] + params["in"]["bias"]) @ params["out"]


def whole(wide=6):
    rng = np.random.default_rng(wide)
    first = {"kernel": rng.normal(size=(3, wide)), "bias": rng.normal(size=wide)}
    tree = {"in": first, "out": rng.normal(size=(wide, 2))}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


def cut(fn, params, keep, *inputs):
    groups = jc.unit_groups(fn, params, *inputs)
    (name,) = groups.names
    return jc.shrink(params, groups, {name: np.array(keep)})


def test_the_sizes_of_the_file_are_taken(tmp_path):
    small = cut(apply, whole(), [1, 0, 1, 0, 0, 1] == np.ones(6), X)
    path = tmp_path / "m.npz"
    jc.save(path, jc.leaves.half(small))
    for template in (whole(), jax.eval_shape(whole)):
        found = jc.load_into(path, template, fits=(apply, X))
        assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, small)
        np.testing.assert_array_equal(found["out"], jc.load(path)["out"])
    with pytest.raises(
        ValueError, match="m.npz: .* 3 differences; if the network was cut"
    ) as error:
        jc.load_into(path, whole())
    assert "pass fits=(apply, *inputs)" in str(error.value)
    assert "in/bias: shape must be (6,), got (3,)" in str(error.value)


def test_the_sizes_of_the_file_are_taken_unproved(tmp_path):
    small, path = cut(apply, whole(), [1, 0, 1, 0, 0, 1] == np.ones(6), X), tmp_path / "m.npz"
    jc.save(path, small)
    found = jc.load_into(path, whole(), sizes="file")
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, small)
    assert jax.tree.structure(found) == jax.tree.structure(whole())
    for each in (whole(), {**small, "more": X}):  # larger, and with another tensor
        jc.save(path, each)
        with pytest.raises(ValueError, match="must have the tensors of the template"):
            jc.load_into(path, small, sizes="file")
    with pytest.raises(ValueError, match=r"^sizes: must be template or file, got 'mine'"):
        jc.load_into(path, small, sizes="mine")
    with pytest.raises(ValueError, match=r"^sizes: must be left out with fits"):
        jc.load_into(path, whole(), sizes="file", fits=(apply, X))


def test_a_file_that_was_not_cut_needs_no_proof(tmp_path):
    jc.save(tmp_path / "m.npz", whole())

    def unused(params, x):
        raise AssertionError

    found = jc.load_into(tmp_path / "m.npz", whole(), fits=(lambda p, x: apply(p, x), X))
    jax.tree.map(np.testing.assert_array_equal, found, whole())
    with pytest.raises(ValueError, match="apply: must run on the parameters and inputs given"):
        jc.load_into(tmp_path / "m.npz", whole(), fits=(unused, X))


@pytest.mark.slow
def test_modules_of_flax(tmp_path):
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.a, self.b = nnx.Linear(3, 8, rngs=rngs), nnx.Linear(8, 2, rngs=rngs)

        def __call__(self, x):
            return self.b(nnx.relu(self.a(x)))

    graph, state = nnx.split(Net(nnx.Rngs(0)))
    run = lambda state, x: nnx.merge(graph, state)(x)  # noqa: E731
    small = cut(run, state, np.arange(8) < 3, X)
    jc.save(tmp_path / "m.npz", small)
    found = jc.load_into(tmp_path / "m.npz", state, fits=(run, X))
    assert jax.tree.structure(found) == jax.tree.structure(state)
    np.testing.assert_array_equal(run(found, X), run(small, X))


@pytest.mark.slow
def test_modules_of_equinox(tmp_path):
    net = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.key(0))
    params, static = eqx.partition(net, eqx.is_array)
    run = lambda params, x: jax.vmap(eqx.combine(params, static))(x)  # noqa: E731
    small = cut(run, params, np.arange(8) < 3, X)
    jc.save(tmp_path / "m.npz", small)
    found = jc.load_into(tmp_path / "m.npz", params, fits=(run, X))
    assert isinstance(found, eqx.nn.MLP) and found.layers[0].weight.shape == (3, 3)
    np.testing.assert_array_equal(run(found, X), run(small, X))


WRONG = {
    "sizes that do not go together": (
        lambda t: {**t, "out": t["out"][:4]},
        "m.npz: must be parameters that apply runs with, got .*; make the template",
    ),
    "other results": (
        lambda t: {**t, "out": t["out"][:, :1]},
        r"m.npz: must give results of the same shapes .*, float32\[5, 2\], got float32\[5, 1\]",
    ),
    "other results of half precision": (
        lambda t: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), t),
        "in/bias: dtype must be float32, got bfloat16",
    ),
    "a bias that is stretched": (
        lambda t: {**t, "in": {**t["in"], "bias": t["in"]["bias"][:1]}},
        "m.npz: sizes must be those of one cut, got an axis of 1 that apply stretches",
    ),
    "larger": (lambda t: whole(7), r"out: shape must be \(6, 2\), got \(7, 2\)"),
    "empty": (lambda t: whole(0), r"out: shape must be \(6, 2\), got \(0, 2\)"),
    "another rank": (
        lambda t: {**t, "out": t["out"][:, 0]},
        r"out: shape must be \(6, 2\), got \(6,\)",
    ),
    "another name": (lambda t: {**t, "more": t["out"]}, "more: is not in the template"),
    "one less": (lambda t: {"in": t["in"]}, "out: is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_cut_gives_is_refused(name, tmp_path):
    change, reason = WRONG[name]
    jc.save(tmp_path / "m.npz", change(whole()))
    with pytest.raises(ValueError, match=reason):
        jc.load_into(tmp_path / "m.npz", whole(), fits=(apply, X))


PROGRAM = """
import jax, numpy as np, jaxcompress as jc
apply = lambda p, x: x @ p["a"] @ p["b"]
net = lambda n: {"a": np.ones((3, n), "f"), "b": np.ones((n, 2), "f")}
split = jax.sharding.NamedSharding(jax.make_mesh((2,), ("x",)), jax.sharding.PartitionSpec("x"))
template = {"a": net(6)["a"], "b": jax.device_put(net(6)["b"], split)}
for rows in (4, 3):
    jc.save("m.npz", net(rows))
    found = jc.load_into("m.npz", template, fits=(apply, np.ones((1, 3), "f")))["b"]
    print(found.shape, len(found.devices()), found.sharding.is_fully_replicated)
"""


@pytest.mark.slow
def test_arrays_go_where_those_of_the_template_lie(tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | flags, cwd=tmp_path, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == "(4, 2) 2 False\n(3, 2) 2 True\n"


def test_one_unit_that_is_left_is_no_stretched_axis(tmp_path):
    small = cut(apply, whole(), np.arange(6) == 2, X)
    jc.save(tmp_path / "m.npz", small)
    found = jc.load_into(tmp_path / "m.npz", whole(), fits=(apply, X[:1]))
    assert found["in"]["bias"].shape == (1,)


def test_bad_proofs(tmp_path):
    jc.save(tmp_path / "m.npz", whole(3))
    for fits in (apply, (), (X, apply), "apply"):
        with pytest.raises(TypeError, match=r"fits: must be \(apply, \*inputs\)"):
            jc.load_into(tmp_path / "m.npz", whole(), fits=fits)
    with pytest.raises(ValueError, match="apply: must run on the parameters and inputs given"):
        jc.load_into(tmp_path / "m.npz", whole(), fits=(apply, X[:, :2]))
