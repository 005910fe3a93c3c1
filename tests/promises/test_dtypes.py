"""One table: each technique handles each dtype rightly, or refuses it by path."""

import functools
import warnings

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx

import jaxcompress as jc
from jaxcompress.kinds import FLOATS, NUMBERS, REALS, WEIGHTS, kind_of, native
from jaxcompress.prune import Slice, UnitGroup
from jaxcompress.trees import named_leaves

DTYPES = {
    **{name: np.dtype(name) for name in ("float16", "float32", "float64", "complex64")},
    **{name: np.dtype(name) for name in ("int8", "int32", "uint8", "bool")},
    **{
        name: np.dtype(getattr(ml_dtypes, name))
        for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz")
    },
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in ("float4_e2m1fn", "int4", "uint4")},
}
"""Of the leaf in the scope."""

ORDERS = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
}


def every(path, leaf):
    del path
    return leaf.ndim >= 0 and leaf.size > 0


def only_w(path, leaf):
    del leaf
    return path == "w"


def tensor(dtype):
    """Return 16 numbers, of which none is zero and few are alike, in any dtype."""
    values = np.array([1, -2, 3, 0.5, -1, 4, 2, -3, 6, -4, 1.5, -6, -0.5, 1, -1.5, 2]).reshape(4, 4)
    if dtype == np.complex64:
        return (values * (1 + 1j)).astype(dtype)
    if kind_of(np.empty(0, dtype)).name in ("INTEGER", "BOOLEAN"):
        values = np.sign(values) * np.ceil(np.abs(values))
    if dtype in (np.uint8, ml_dtypes.uint4):
        values = np.abs(values)
    return values.astype(dtype)


def in_tree(dtype):
    return {"ids": np.arange(3), "w": tensor(dtype)}


def gradual(params):
    tx = jc.gradual_pruning(0.5, begin=0, end=0 + 1, scope=only_w)
    state = tx.init(params)
    for _ in range(2):
        updates = {"ids": None, "w": jnp.zeros_like(native(params["w"]))}
        updates, state = tx.update(updates, state, params)
    return {"ids": params["ids"], "w": native(params["w"]) + updates["w"]}


def masked(mask):
    return lambda p: jc.apply_mask(p, mask(p))


def shared(technique, *args):
    return lambda p: jc.dense(technique(p, *args, scope=only_w))


def counted(measure, params):
    """Return the params, of which a measure has seen one column and zeros."""
    zeros = params | {
        "w": np.where(np.arange(4) == 1, native(params["w"]), np.zeros_like(params["w"]))
    }
    assert (
        measure(zeros, scope=only_w)
        == {
            jc.measure_sparsity: 0.75,
            jc.metrics.count_distinct: len(set(native(params["w"])[:, 1].tolist())),
        }[measure]
    )
    return params | {"w": native(params["w"])}


TECHNIQUES = {
    "magnitude": (WEIGHTS, masked(lambda p: jc.magnitude_mask(p, 0.5, scope=only_w))),
    "layerwise": (WEIGHTS, masked(lambda p: jc.layerwise_mask(p, 0.5, scope=only_w))),
    "random": (
        WEIGHTS,
        masked(lambda p: jc.prune.random_mask(p, 0.5, key=jax.random.key(0), scope=only_w)),
    ),
    "2:4": (WEIGHTS, masked(lambda p: jc.prune.nm_mask(p, scope=only_w))),
    "gradual": (WEIGHTS, gradual),
    "k-means": (REALS, shared(jc.kmeans, 3)),
    "uniform": (REALS, shared(jc.uniform, 1.0)),
    "entropy-constrained": (REALS, shared(jc.entropy_constrained, 0.1)),
    "compress": (
        REALS,
        lambda p: jc.dense(jc.compress(p, sparsity=0.5, clusters=3, scope=only_w)),
    ),
    "half": (FLOATS, shared(jc.leaves.half)),
    "quantize": (FLOATS, shared(jc.quantize)),
    "low rank": (FLOATS, shared(functools.partial(jc.low_rank, keep=0.8))),
    "sparse": (NUMBERS, shared(jc.leaves.sparse)),
    "sparsity": (NUMBERS, lambda p: counted(jc.measure_sparsity, p)),
    "distinct": (NUMBERS, lambda p: counted(jc.metrics.count_distinct, p)),
}
"""The kinds that a technique handles, and from params to params."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fewer than")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_technique_handles_a_dtype_or_names_the_leaf(name, dtype):
    kinds, apply = TECHNIQUES[name]
    params = in_tree(DTYPES[dtype])
    before = {path: leaf.copy() for path, leaf in params.items()}
    if kind_of(params["w"]) not in kinds.members:
        with pytest.raises(TypeError, match=f"^w: .* must be of {kinds.words}, got {dtype}; "):
            apply(params)
        return
    after = apply(params)
    assert jax.tree.structure(after) == jax.tree.structure(params)
    assert np.asarray(after["w"]).dtype in (params["w"].dtype, jnp.asarray(params["w"]).dtype)
    np.testing.assert_array_equal(after["ids"], before["ids"])
    np.testing.assert_array_equal(params["w"], before["w"])
    removed = {"magnitude", "layerwise", "random", "2:4", "gradual", "compress"}
    assert np.count_nonzero(after["w"]) == (8 if name in removed else 16) or name in (
        "uniform",
        "entropy-constrained",
        "low rank",
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", TECHNIQUES)
def test_arrays_count_by_their_values_in_any_order(name, order):
    _, apply = TECHNIQUES[name]
    plain = in_tree(np.dtype("float32"))
    other = plain | {"w": ORDERS[order](plain["w"])}
    other["w"].flags.writeable = False
    with warnings.catch_warnings(action="ignore"):
        expected, found = apply(plain)["w"], apply(other)["w"]
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["k-means", "compress", "magnitude", "quantize"])
def test_mapped_and_broadcast_arrays(tmp_path, name):
    _, apply = TECHNIQUES[name]
    plain = in_tree(np.dtype("float32"))
    np.save(tmp_path / "w.npy", plain["w"])
    mapped = plain | {"w": np.load(tmp_path / "w.npy", mmap_mode="r")}
    np.testing.assert_array_equal(apply(mapped)["w"], apply(plain)["w"])
    row = np.broadcast_to(plain["w"][0], (4, 4))
    broadcast, copied = apply(plain | {"w": row}), apply(plain | {"w": row.copy()})
    np.testing.assert_array_equal(broadcast["w"], copied["w"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_mask_removes_is_zero_in_every_dtype(dtype):
    params = in_tree(DTYPES[dtype])
    mask = {"ids": np.array([True, False, True]), "w": np.arange(16).reshape(4, 4) % 2 == 0}
    pruned = jc.apply_mask(params, mask)
    expected = params["w"].copy()
    expected[~mask["w"]] = 0
    np.testing.assert_array_equal(pruned["w"], expected)
    assert pruned["w"].dtype == params["w"].dtype and pruned["ids"].tolist() == [0, 0, 2]
    traced = jax.jit(jc.apply_mask)(params, mask)
    np.testing.assert_array_equal(traced["w"], expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("update", ["same", "float", "none"])
def test_a_held_mask_takes_every_dtype_to_zero(dtype, update):
    params = jax.tree.map(jnp.asarray, in_tree(DTYPES[dtype]))
    number = kind_of(params["w"]).name in ("INTEGER", "BOOLEAN")
    if (update != "same" and not number) or (update == "float" and dtype.endswith("int4")):
        return  # JAX adds no numbers of four bits to floats
    mask = {"ids": np.ones(3, bool), "w": np.arange(16).reshape(4, 4) % 2 == 0}
    tx = jc.hold_mask(mask)
    zeros = {
        "same": jnp.zeros_like(params["w"]),
        "float": jnp.zeros((4, 4)),
        "none": np.zeros((4, 4), jax.dtypes.float0),  # what jax.grad gives for integers
    }
    moves, _ = tx.update({"ids": None, "w": zeros[update]}, tx.init(params), params)
    after = optax.apply_updates({"w": params["w"]}, {"w": moves["w"]})["w"]
    assert after.dtype == params["w"].dtype
    np.testing.assert_array_equal(after, np.where(mask["w"], params["w"], jnp.zeros_like(after)))


STORED = [name for name in DTYPES if name not in ("float8_e4m3b11fnuz", "float4_e2m1fn")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["as it is", *ORDERS])
def test_a_file_keeps_a_dtype_exactly_or_names_the_leaf(tmp_path, dtype, order):
    params = in_tree(DTYPES[dtype])
    if order != "as it is":
        params["w"] = ORDERS[order](params["w"])
    path = tmp_path / "m.npz"
    if dtype not in STORED:
        with pytest.raises(TypeError, match=f"^w: dtype must be one of .*, got {dtype}; convert"):
            jc.save(path, params)
        assert not path.exists()
        return
    jc.save(path, params)
    found = np.asarray(jc.load(path)["w"])
    assert found.dtype == DTYPES[dtype]
    np.testing.assert_array_equal(found.view(np.uint8), tensor(DTYPES[dtype]).view(np.uint8))


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_small_floats_are_shared_and_stored(tmp_path, dtype):
    params = in_tree(DTYPES[dtype])
    leaf = jc.kmeans(params, 3, scope=only_w)["w"]
    jc.save(tmp_path / "m.npz", {"w": leaf})
    loaded = jc.load_compressed(tmp_path / "m.npz")["w"]
    assert loaded.dtype == DTYPES[dtype]
    np.testing.assert_array_equal(loaded.dense(), leaf.dense())


def net_with_keys():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.inner = nnx.Linear(4, 8, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            return self.drop(self.inner(x))

    net = Net(nnx.Rngs(0))
    net.eval()
    graph, state = nnx.split(net)
    return (lambda s, x: nnx.merge(graph, s)(x)), state


IGNORE_KEYS = {
    "mask": lambda s: jc.apply_mask(s, jc.magnitude_mask(s, 0.5)),
    "mask under jit": jax.jit(lambda s: jc.apply_mask(s, jc.magnitude_mask(s, 0.5))),
    "k-means": lambda s: jc.dense(jc.kmeans(s, 4)),
    "compress": lambda s: jc.dense(jc.compress(s, clusters=4)),
    "half": lambda s: jc.dense(jc.leaves.half(s)),
    "quantize": lambda s: jc.dense(jc.quantize(s)),
    "low rank": lambda s: jc.dense(jc.low_rank(s, keep=0.9)),
}


@pytest.mark.parametrize("name", IGNORE_KEYS)
def test_random_keys_pass_through(name):
    _, state = net_with_keys()
    after = IGNORE_KEYS[name](state)
    key, before = (t["drop"]["rngs"]["key"].get_value() for t in (after, state))
    assert key.dtype == before.dtype and bool(jnp.all(key == before))
    assert jc.measure_sparsity(state) == 0 and jc.metrics.entropy_bound_bytes(state) > 160


REFUSE_KEYS = {
    "save": lambda s, path: jc.save(path / "m.npz", s),
    "compress to a size": lambda s, path: jc.compress(s, target_bytes=2000),
    "k-means of all": lambda s, path: jc.kmeans(s, 4, scope=lambda p, leaf: "key" in p),
    "sparse of all": lambda s, path: jc.leaves.sparse(s, scope=every),
    "sparsity of all": lambda s, path: jc.measure_sparsity(s, scope=every),
    "mask": lambda s, path: jc.apply_mask(s, jax.tree.map(lambda x: np.zeros(x.shape, bool), s)),
    "hold": lambda s, path: jc.hold_mask(jax.tree.map(lambda x: np.zeros(x.shape, bool), s)).init(
        s
    ),
}


@pytest.mark.parametrize("name", REFUSE_KEYS)
def test_random_keys_that_would_be_numbers_are_named(tmp_path, name):
    if name == "compress to a size":
        pytest.importorskip("constriction")
    _, state = net_with_keys()
    with pytest.raises(TypeError, match=r"^drop/rngs/key.*key<fry>.*nnx\.split\(net, nnx\.Param"):
        REFUSE_KEYS[name](state, tmp_path)


@pytest.mark.slow
def test_keys_cannot_be_exported(tmp_path):
    for library in ("onnx", "onnxruntime", "jax2onnx"):
        pytest.importorskip(library)
    apply, state = net_with_keys()
    with pytest.raises(TypeError, match=r"^params/drop/rngs/key.* must be numbers, .*nnx\.Param"):
        jc.export_onnx(tmp_path / "m.onnx", apply, state, jnp.ones((2, 4)))


def test_scales_that_are_exponents_alone_are_no_weights():
    scales = np.ones((4, 4), ml_dtypes.float8_e8m0fnu)
    params = {"scales": scales, "w": tensor(np.dtype("float32"))}
    after = jc.apply_mask(params, jc.magnitude_mask(params, 0.5))
    np.testing.assert_array_equal(after["scales"], scales)
    with pytest.raises(TypeError, match="^scales: leaves in the scope must be of numbers, got"):
        jc.apply_mask(params, jax.tree.map(lambda x: np.zeros(x.shape, bool), params))


def group_of(dtype):
    part = Slice("w", 1, np.arange(4)[:, None])
    return UnitGroup(name="w", size=4, slices=(part,), changes_function=False, parameters=4), {
        "w": tensor(DTYPES[dtype])
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_units_are_scored_by_magnitude_in_every_dtype(dtype):
    group, params = group_of(dtype)
    wide = params["w"].astype(np.complex128 if dtype == "complex64" else np.float64)
    expected = np.abs(wide).sum(axis=0)
    np.testing.assert_allclose(jc.prune.l1_score(params, [group])["w"], expected, rtol=1e-6)
    squares = np.sqrt((np.abs(wide) ** 2).sum(axis=0))
    np.testing.assert_allclose(jc.prune.l2_score(params, [group])["w"], squares, rtol=1e-6)
    apart = np.abs(wide[:, :, None] - wide[:, None, :]) ** 2
    medians = np.sqrt(apart.sum(axis=0)).sum(axis=1)
    found = jc.prune.geometric_median_score(params, [group])["w"]
    np.testing.assert_allclose(found, medians, rtol=1e-6, atol=1e-6)
    lasso = float(jc.prune.group_lasso(params, [group]))
    np.testing.assert_allclose(lasso, 2 * squares.sum(), rtol=1e-2)


def test_the_taylor_score_of_complex_weights_is_the_change_of_the_loss():
    group, params = group_of("complex64")
    loss = lambda p: jnp.sum(jnp.abs(p["w"] * jnp.asarray([1, 2j, 3, 1 - 1j])).real ** 2)  # noqa: E731
    found = jc.prune.taylor_score(jax.grad(loss)(params))(params, [group])["w"]
    expected = [2 * loss({"w": jnp.where(jnp.arange(4) == n, params["w"], 0)}) for n in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_units_of_complex_layers_are_cut():
    rng = np.random.default_rng(0)
    params = {
        name: (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
        for name, shape in (("in", (3, 4)), ("out", (4, 2)))
    }
    x = np.ones((2, 3), np.complex64)
    groups = jc.unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, x)
    keep = jc.choose_units(params, groups, remove=0.5)
    sizes = {path: leaf.shape for path, leaf in jc.shrink(params, groups, keep).items()}
    assert sizes == {"in": (3, 2), "out": (2, 2)}


def compressed_leaves():
    kernel = {"w": tensor(np.dtype("float32"))}
    yield from (
        jc.kmeans(kernel, 3)["w"],
        jc.leaves.half(kernel)["w"],
        jc.quantize(kernel)["w"],
        jc.leaves.sparse(kernel)["w"],
        jc.low_rank(kernel, keep=1.0, scope=every)["w"],
    )


def test_leaves_say_their_size_as_arrays_do():
    for leaf in compressed_leaves():
        assert (leaf.ndim, leaf.size, leaf.shape) == (2, 16, (4, 4))
    wide = {"w": np.outer(np.arange(1.0, 9.0), np.arange(1.0, 9.0)).astype("f")}
    leaf = jc.low_rank(wide, ranks={"w": 1})["w"]
    assert (type(leaf), leaf.ndim, leaf.size) == (jc.LowRank, 2, 64)


@pytest.mark.parametrize("technique", ["half", "sparse", "kmeans", "low_rank"])
def test_a_scope_of_compressed_leaves_alone_is_empty(technique):
    apply = {
        "half": jc.leaves.half,
        "sparse": jc.leaves.sparse,
        "kmeans": lambda p: jc.kmeans(p, 2),
        "low_rank": lambda p: jc.low_rank(p, keep=0.5),
    }[technique]
    leaf = jc.kmeans({"w": tensor(np.dtype("float32"))}, 3)["w"]
    with pytest.raises(ValueError, match="^scope: at least one leaf must be an array yet, got 1 "):
        apply({"w": leaf})
    mixed = apply({"v": tensor(np.dtype("float32")), "w": leaf})
    assert mixed["w"] is leaf and named_leaves(jc.dense(mixed)).paths == ["v", "w"]


def net(params, x):
    return jax.nn.relu(x @ params["in"]) @ params["out"]


def shrunk(params, x):
    groups = jc.unit_groups(net, params, x)
    keep = jc.choose_units(params, groups, remove=0.5)
    assert jc.check_shrink(net, params, groups, keep, x) < 1e-5
    return jc.shrink(params, groups, keep)


def trained(params, x):
    aware = jc.quantization_aware(net, None)
    return aware.apply(aware.init(params, x), x)


TRACED = {
    "units": shrunk,
    "quantization-aware": trained,
    "calibrated": lambda p, x: jc.quantization.fake_quantized(net, jc.calibrate(net, p, [x]))(p, x),
    "executed": lambda p, x: jc.execute(net)(jc.quantize(p), x),
    "executed plain": lambda p, x: jc.execute(net)(p, x),
    "equalized": lambda p, x: jc.quantization.equalize(net, p, x),
    "by moments": lambda p, x: jc.low_rank(
        p, keep=0.8, moments=jc.quantization.input_moments(net, p, [x])
    ),
    "shared": lambda p, x: jc.share_centroids(optax.sgd(0.1), jc.kmeans(p, 3)).init(
        jc.dense(jc.kmeans(p, 3))
    ),
    "flops": lambda p, x: jc.flops(net, p, x),
    "distilled": lambda p, x: jc.distillation_loss(x, x[::-1], np.arange(4)),
}
"""Functions that trace or run the user's function, which JAX gives arrays of one order only."""


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", TRACED)
def test_functions_see_values_in_any_order(name, order):
    rng = np.random.default_rng(0)
    params = {"in": rng.normal(size=(6, 8)).astype("f"), "out": rng.normal(size=(8, 5)).astype("f")}
    x = rng.normal(size=(4, 6)).astype("f")
    expected = TRACED[name](params, x)
    for again in range(2):  # a compiled function reads other orders wrongly, the first refuses them
        del again
        found = TRACED[name](jax.tree.map(ORDERS[order], params), ORDERS[order](x))
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("dtype", DTYPES)
def test_training_on_integers_handles_a_dtype_or_names_the_leaf(dtype):
    aware = jc.quantization_aware(lambda p, x: x.astype(p["w"].dtype) @ p["w"], None, scope=only_w)
    params, x = in_tree(DTYPES[dtype]), np.ones((2, 4), "f")
    if kind_of(params["w"]) not in FLOATS.members:
        rule = f"^w: .* must be of {FLOATS.words}, got {dtype}; "
        with pytest.raises((TypeError, ValueError), match=rule):
            aware.init(params, x)
        return
    found = aware.apply(aware.init(params, x), x)
    np.testing.assert_allclose(found, x @ params["w"].astype("f"), atol=0.1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_centroids_of_a_dtype_move_by_their_gradients(dtype):
    params = {"w": jnp.asarray(tensor(DTYPES[dtype]))}
    if kind_of(params["w"]) not in REALS.members:
        with pytest.raises(TypeError, match=f"^w: .* must be of {REALS.words}, got {dtype}; "):
            jc.kmeans(params, 3, scope=only_w)
        return
    shared = jc.kmeans(params, 3, scope=only_w)
    tx, start = jc.share_centroids(optax.sgd(1.0), shared), jc.dense(shared)
    ones = {"w": jnp.zeros_like(start["w"]).at[0, 0].set(1)}
    moves, _ = tx.update(ones, tx.init(start), start)
    moves = np.asarray(moves["w"].astype("f"))
    codes = np.asarray(shared["w"].codes)
    np.testing.assert_array_equal(moves, -(codes == codes[0, 0]).astype("f"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stacked", [True, False])
def test_blocks_of_every_dtype_are_dropped(dtype, stacked):
    w = tensor(DTYPES[dtype])
    blocks = {"w": w} if stacked else list(w)
    kept = jc.drop_blocks({"blocks": blocks}, "blocks", keep=[0, 2])["blocks"]
    found = np.asarray(kept["w"]) if stacked else np.stack(kept)
    assert found.dtype == w.dtype
    np.testing.assert_array_equal(found, w[[0, 2]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_of_a_dtype_are_distilled_or_named(dtype):
    logits, labels = tensor(DTYPES[dtype]), np.arange(4)
    if kind_of(logits) not in REALS.members:
        with pytest.raises(TypeError, match=f"^student: logits must be .*, got {dtype}"):
            jc.distillation_loss(logits, logits[::-1], labels)
        return
    wide = logits.astype("f")
    found = jc.distillation_loss(logits, logits[::-1].copy(), labels)
    np.testing.assert_allclose(found, jc.distillation_loss(wide, wide[::-1], labels), rtol=1e-6)
