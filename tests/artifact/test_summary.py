"""Summaries of trees in memory: small arrays by hand, real trees, and what `inspect` says."""

import json

import click.testing
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import jaxcompress as jc
from jaxcompress.cli import cli

LEAF = jc.Clustered(
    codes=np.array([[0, 0, 1, 2]], np.uint8), codebook=np.array([-1.0, 3.0], np.float32)
)
TREE = {"kernel": LEAF, "bias": np.array([0.0, 2.0], np.float32), "steps": np.arange(3)}


def rows_of(tree, **options):
    return {row.path: row for row in jc.summary(tree, **options).rows}


def test_rows_by_hand():
    rows = rows_of(TREE, layout="packed")
    kernel, bias, steps = rows["kernel"], rows["bias"], rows["steps"]
    assert kernel[:5] == ("kernel", (1, 4), "float32", "clustered", kernel.packing)
    assert (kernel.weights, kernel.nonzero, kernel.sparsity, kernel.k) == (4, 2, 0.5, 2)
    assert kernel.bound_bytes == 4 * 1.5 / 8 + 2 * 4 and kernel.dense_bytes == 16
    assert (bias.form, bias.nonzero, bias.sparsity, bias.k, bias.bits) == (
        "dense",
        1,
        0.5,
        *2 * [None],
    )
    assert (steps.dtype, steps.weights, steps.dense_bytes) == ("int64", 3, 24)


def test_the_total_by_hand():
    told = jc.summary(TREE)
    size = jc.size_bytes(TREE)
    assert told.total.tensors == 3 and told.total.weights == 9 and told.total.nonzero == 5
    assert told.total.file_bytes == size and told.total.dense_bytes == 16 + 8 + 24
    assert told.total.ratio == 48 / size and told.total.bits_per_weight == 8 * size / 9
    assert told.total.sparsity == 1 - 5 / 9


def test_each_kind_of_leaf_says_its_form():
    w = {"w": np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)}
    grid = jc.quantize(w, bits=4)["w"]
    leaves = {
        "quantized": grid,
        "half": jc.leaves.half(w)["w"],
        "sparse": jc.leaves.sparse(jc.apply_mask(w, jc.magnitude_mask(w, 0.9)))["w"],
        "lowrank": jc.quantize(jc.low_rank(w, keep=0.3), bits=4)["w"],
        "coded": jc.leaves.coded(jc.quantize(w, bits=3))["w"],
    }
    rows = rows_of(leaves | {"tied": grid}, layout="packed")
    assert [rows[name].form for name in leaves] == [*list(leaves)[:-1], "quantized"]
    assert (rows["tied"].form, rows["tied"].packing) == ("same", "quantized")
    assert rows["quantized"].bits == rows["lowrank"].bits == 4 and rows["coded"].bits == 3
    assert rows["quantized"].levels == np.unique(np.asarray(grid.values)).size
    assert rows["half"].packing == "bfloat16" and rows["lowrank"].packing == "ir,ro->io"
    assert rows["sparse"].nonzero == 410 and rows["lowrank"].shape == (64, 64)


@pytest.mark.parametrize("layout", ["entropy", "packed", "csr"])
def test_it_is_what_inspect_says_of_the_file(tmp_path, layout):
    path = str(tmp_path / "m.npz")
    size = jc.save(path, TREE, layout=layout)
    run = click.testing.CliRunner().invoke
    told = jc.summary(TREE, layout=layout)
    assert jc.size_bytes(TREE, layout=layout) == size == told.total.file_bytes
    said = json.loads(run(cli, ["inspect", path, "--json"]).output)
    assert said == {"file": path, "metadata": {}} | json.loads(json.dumps(told.as_dict()))
    shown = run(cli, ["inspect", path]).output.splitlines()
    assert [line.split() for line in str(told).splitlines()] == [line.split() for line in shown]


def test_size_counts_the_metadata():
    assert jc.size_bytes(TREE, metadata={"epoch": 3}) == len(
        jc.artifact.encode(TREE, metadata={"epoch": 3})
    )
    assert jc.size_bytes(TREE, metadata={"note": "x" * 500}) > jc.size_bytes(TREE)


def test_scalars_are_plain_numbers_with_the_parameters_that_are_counted():
    scalars = jc.summary(TREE).scalars()
    assert {type(number) for number in scalars.values()} == {float}
    assert scalars["parameters"] == 6 == jc.count_parameters(TREE)
    assert scalars["nonzero_fraction"] == pytest.approx(5 / 9)
    assert scalars["bytes"] == jc.size_bytes(TREE) and scalars["dense_bytes"] == 48
    assert scalars["entropy_bound_bytes"] == 8.75 + 8 + 24


def test_a_tree_without_leaves():
    told = jc.summary({})
    assert told.rows == [] and told.total.weights == 0 == jc.count_parameters({})
    assert told.scalars()["bytes"] == jc.size_bytes({}) and "total of 0" in str(told)


def test_a_name_cannot_steer_the_terminal():
    assert "\x1b" not in str(jc.summary({"\x1b]0;x\x07": np.zeros(2)}))


@pytest.mark.parametrize("function", [jc.summary, jc.size_bytes])
def test_what_save_refuses_is_refused(function):
    with pytest.raises(TypeError, match="w: leaves must be concrete arrays, got ShapeDtype"):
        function({"w": jax.ShapeDtypeStruct((2,), np.float32)})
    with pytest.raises(TypeError, match="w: .*leave random keys out of the tree"):
        function({"w": jax.random.key(0)})
    with pytest.raises(TypeError, match=r"w: leaves must be arrays, got list|float"):
        function({"w": 1.0})
    with pytest.raises(ValueError, match="layout: must be one of csr, packed, entropy"):
        function({"w": np.zeros(2)}, layout="zip")
    with pytest.raises(TypeError, match="concrete"):
        jax.jit(lambda w: function({"w": w}))(jnp.zeros(2))


def trained():
    net = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adam(1e-3), wrt=nnx.Param)
    grads = nnx.grad(lambda net: jnp.sum(net(jnp.ones((2, 4)))))(net)
    optimizer.update(net, grads)
    return net, optimizer


def test_modules_states_and_optimizers_of_nnx_as_they_are():
    net, optimizer = trained()
    state = nnx.state(net)
    kernel = rows_of(state)["kernel/value"]
    assert (kernel.shape, kernel.weights) == ((4, 3), 12)
    assert jc.count_parameters(state) == jc.count_parameters(net) == 15
    assert jc.count_parameters(nnx.state(net, nnx.Param)) == 15
    both = jc.count_parameters(nnx.state(optimizer))
    assert both == jc.count_parameters(optimizer) == 2 * 15  # moments; counters are integers
    told = jc.summary({"model": state, "optimizer": nnx.state(optimizer)})
    assert told.optimizer_states.tensors == len(told.rows) - 2
    assert "which inference does not need" in str(told)
    assert jc.summary(optimizer).total.file_bytes == jc.size_bytes(optimizer)


def test_trees_of_orbax_as_they_are(tmp_path):
    net, optimizer = trained()
    tree = {"params": nnx.state(net, nnx.Param), "optimizer": nnx.state(optimizer)}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run", nnx.to_pure_dict(nnx.State(tree)))
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "run")
    assert jc.count_parameters(restored) == 3 * 15
    assert {row.path for row in jc.summary(restored).rows} >= {"params/kernel", "params/bias"}
    assert jc.summary(restored).total.weights == jc.summary(tree).total.weights
