"""Dense functions on factors: the same results, in thin products."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

import jaxcompress as jc
from jaxcompress.execution._functions import execute
from jaxcompress.leaves import Half, LowRank, Quantized, dense

RNG = np.random.default_rng(0)


def array(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def leaf(equation, **sizes):
    terms = equation.split("->")[0].split(",")
    return LowRank(factors=tuple(array(*(sizes[n] for n in t)) for t in terms), equation=equation)


def close(apply, params, *inputs, tolerance=1e-5):
    got, wanted = execute(apply)(params, *inputs), jax.jit(apply)(dense(params), *inputs)
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        scale = np.abs(np.nan_to_num(other)).max(initial=1)
        np.testing.assert_allclose(one, other, atol=tolerance * scale, rtol=0)


def sizes_made(apply, params, *inputs):
    """How many entries each array has that is computed on the way."""

    def inside(jaxpr):
        for equation in jaxpr.eqns:
            yield from (var.aval.size for var in equation.outvars)
            for value in equation.params.values():
                if inner := getattr(value, "jaxpr", None):
                    yield from inside(inner)

    return list(inside(jax.make_jaxpr(execute(apply))(params, *inputs).jaxpr))


X = array(2, 6)

DENSE = {
    "kernel": leaf("ir,ro->io", i=6, o=5, r=2),
    "turned": leaf("or,ri->oi", i=6, o=5, r=2),
    "query": leaf("ir,rhk->ihk", i=6, h=2, k=3, r=2),
    "out": leaf("hkr,ro->hko", h=2, k=3, o=4, r=2),
    "batch": leaf("br,rio->bio", b=2, i=6, o=4, r=3),
    "between": leaf("ir,rs,so->io", i=6, o=5, r=3, s=2),
    "table": leaf("vr,rd->vd", v=9, d=6, r=2),
}


def layers(params, x, ids):
    query = jnp.einsum("bi,ihk->bhk", x, params["query"])
    return {
        "kernel": x @ params["kernel"],
        "vector": x[0] @ params["kernel"],
        "turned": x @ params["turned"].T,
        "left": params["turned"] @ x.T,
        "both": params["turned"] @ params["kernel"],
        "three": x @ params["between"],
        "query": query,
        "out": jnp.einsum("bhk,hko->bo", query, params["out"]),
        "batch": jnp.einsum("bi,bio->bo", x, params["batch"]),
        "rows": params["table"][ids],
        "row": params["table"][3],
        "taken": jnp.take(params["table"], ids, axis=0, mode="clip"),
        "columns": params["table"][:, ids],
        "filled": jnp.take(params["table"], ids, axis=0, fill_value=0.0),
        "attend": x @ params["table"].T,
        "integers": params["kernel"].astype(jnp.int32),
        "returned": params["kernel"].T,
        "entry": params["kernel"][0],
        "branch": lax.cond(x[0, 0] > 9, lambda w: w, lambda w: 2 * w, params["kernel"]),
    }


def test_dense_layers_heads_and_tables():
    close(layers, DENSE, X, jnp.array([[1, 8], [0, -1], [20, 3]]))


def test_in_bfloat16():
    def apply(w, x):
        return x.astype(jnp.bfloat16) @ w.T.astype(jnp.bfloat16)

    close(apply, DENSE["turned"], X, tolerance=0.01)


def test_what_is_made_on_the_way_is_thin():
    wide, ids = leaf("ir,ro->io", i=64, o=48, r=2), jnp.array([3, 5])
    assert max(sizes_made(lambda w, x: x @ w, wide, array(3, 64))) <= 3 * 64
    assert max(sizes_made(lambda w, x: x @ w.T, wide, array(3, 48))) <= 64 * 3
    assert max(sizes_made(lambda w, i: w[i], wide, ids)) <= 2 * 48
    conv = leaf("hwir,ro->hwio", h=3, w=3, i=40, o=30, r=2)
    made = sizes_made(lambda k, x: convolved(x, k), conv, array(1, 4, 4, 40))
    assert max(made) < 3 * 3 * 40 * 30


def test_factors_are_multiplied_first_where_that_is_less_work():
    thick = leaf("ir,ro->io", i=6, o=5, r=20)
    sizes = sizes_made(lambda w, x: x @ w, thick, array(100, 6))
    assert 30 in sizes and 100 * 20 not in sizes


def convolved(x, kernel, *args, numbers=("NHWC", "HWIO", "NHWC"), **options):
    args = args or ((1, 1), "SAME")
    return lax.conv_general_dilated(x, kernel, *args, dimension_numbers=numbers, **options)


KERNELS = {
    "channels": "hwir,ro->hwio",
    "inputs first": "ir,rhwo->hwio",
    "space": "hir,rwo->hwio",
    "Tucker-2": "ir,hwrs,so->hwio",
    "CP": "hr,wr,ir,or->hwio",
    "no row": "hwr,rio->hwio",
}


def convolutions(kernel, x):
    many = {"padding": ((1, 2), (0, 1)), "rhs_dilation": (1, 2), "lhs_dilation": (1, 2)}
    nchw = {"numbers": ("NCHW", "OIHW", "NCHW")}
    return {
        "many": convolved(x, kernel, (2, 1), **many),
        "NCHW": convolved(x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), **nchw),
    }


@pytest.mark.parametrize("name", KERNELS)
def test_convolutions_of_any_factors(name):
    kernel = leaf(KERNELS[name], h=3, w=2, i=4, o=6, r=2, s=3)
    close(convolutions, kernel, array(2, 5, 6, 4))


def test_convolutions_that_are_made_dense_or_give_another_order():
    def apply(kernel, x):
        return {
            "groups": convolved(jnp.concatenate([x, x], 3), kernel, feature_group_count=2),
            "turned": convolved(x, kernel, numbers=("NHWC", "HWIO", "HWNC")),
            "operand": convolved(kernel.transpose(3, 0, 1, 2), jnp.ones((1, 1, 4, 2))),
        }

    close(apply, leaf("hwir,ro->hwio", h=3, w=2, i=4, o=6, r=2), array(2, 5, 6, 4))


def test_one_dimensional_and_dilated_convolutions():
    kernel = leaf("wir,ro->wio", w=3, i=4, o=6, r=2)

    def apply(kernel, x):
        return convolved(x, kernel, (2,), "VALID", numbers=("NWC", "WIO", "NWC"))

    close(apply, kernel, array(2, 9, 4))


def test_kernels_of_a_depthwise_convolution_are_made_dense():
    kernel = leaf("hwr,rio->hwio", h=3, w=3, i=1, o=4, r=2)
    close(lambda k, x: convolved(x, k, feature_group_count=4), kernel, array(1, 5, 5, 4))


def test_stacked_layers_are_sliced_by_loops():
    stacked = LowRank(factors=(array(3, 6, 2), array(3, 2, 6)), equation="ir,ro->io")
    params = {"stack": stacked, "cell": leaf("ir,ro->io", i=6, o=6, r=2)}

    def apply(params, x):
        def layer(h, w):
            return jnp.tanh(h @ w @ params["cell"].T), w[0]

        def nested(h, step):
            return lax.scan(layer, h + step, params["stack"])[0], None

        last, rows = lax.scan(layer, x, params["stack"])
        whole = lax.scan(lambda h, w: (h + w, None), jnp.zeros((6, 6)), params["stack"])[0]
        return last, rows, whole, lax.scan(nested, x, jnp.arange(2.0))[0], params["stack"][1]

    close(apply, params, X)


def test_stacked_layers_are_taken_one_by_one():
    stacked = LowRank(factors=(array(3, 20, 2), array(3, 2, 20)), equation="ir,ro->io")

    def apply(w, x):
        for k in range(3):
            x = jnp.tanh(x @ w[k])
        return lax.scan(lambda h, layer: (h @ layer.T, None), x, w[::2])[0]

    x = array(2, 20)
    close(apply, stacked, x)
    assert max(sizes_made(apply, stacked, x)) < 20 * 20
    close(lambda w, x: (x @ w[1:, :5, :5], w[:1]), stacked, x[:, :5])


def test_a_loop_over_rows_of_a_leaf_that_is_no_stack():
    close(lambda w, x: lax.scan(lambda h, row: (h + row, None), x, w)[0], DENSE["kernel"], array(5))


def test_a_loop_carries_an_array():
    def apply(w, x):
        return lax.fori_loop(0, 2, lambda _, state: (state[0], state[1] @ state[0]), (w, x))[1]

    close(apply, leaf("ir,ro->io", i=6, o=6, r=2), X)


def test_stacks_slice_as_trees_and_under_vmap():
    stacked = LowRank(factors=(array(3, 6, 2), array(3, 2, 5)), equation="ir,ro->io")
    assert stacked.shape == (3, 6, 5) and stacked.stack == (3,)
    second = jax.tree.map(lambda factor: factor[1], stacked)
    np.testing.assert_allclose(second.dense(), stacked.dense()[1], atol=1e-5)
    fast = jax.jit(jax.vmap(execute(lambda w, x: x @ w), (0, None)))
    np.testing.assert_allclose(fast(stacked, X), X @ stacked.dense(), atol=1e-5)


def test_factors_may_be_compressed_themselves():
    column = Quantized(
        values=np.array([[3, 1], [-4, 2]], np.int8), scale=np.ones((1, 1), "f"), bits=8
    )
    row = Half(values=jnp.ones((2, 3), jnp.float16), dtype=np.dtype("f"))
    both = LowRank(factors=(column, row), equation="ir,ro->io")
    assert both.dense().tolist() == [[4, 4, 4], [-2, -2, -2]]
    close(lambda w, x: x @ w, both, jnp.eye(2))


@pytest.mark.parametrize("compress", [jc.quantize, lambda params: jc.kmeans(params, 4)])
def test_loops_over_a_stack_of_compressed_factors(compress):
    stacked = LowRank(factors=(array(3, 6, 2), array(3, 2, 6)), equation="ir,ro->io")
    small = compress({"w": stacked})["w"]
    close(lambda w, x: lax.scan(lambda h, layer: (h @ layer, None), x, w)[0], small, X)


@pytest.mark.parametrize("equation", ["hwir,ro->hwio", "hr,wr,ir,or->hwio"])
def test_convolutions_in_half_precision_that_sum_in_single(equation):
    kernel = leaf(equation, h=3, w=3, i=2, o=3, r=2)
    half, x = jax.tree.map(lambda f: f.astype(jnp.bfloat16), kernel), array(1, 4, 4, 2)

    def apply(k, x):
        return convolved(x.astype(k.dtype), k, preferred_element_type=jnp.float32)

    got = execute(apply)(half, x)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, apply(dense(half), x), rtol=0.05, atol=0.1)


def test_gradients_reach_the_factors_and_train_them():
    apply = execute(lambda params, x: jax.nn.relu(x @ params["kernel"]) @ params["turned"])
    params = {"kernel": DENSE["kernel"], "turned": DENSE["turned"]}
    goal = array(2, 6)

    @jax.jit
    def step(params, state):
        loss, gradients = jax.value_and_grad(lambda p: jnp.mean((apply(p, X) - goal) ** 2))(params)
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    tx = optax.adam(0.05)
    state, losses = tx.init(params), []
    for _ in range(20):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 2
    assert params["kernel"].equation == "ir,ro->io" and params["kernel"].shape == (6, 5)


def test_gradients_are_those_of_the_product():
    kernel, x = leaf("hwir,ro->hwio", h=3, w=3, i=2, o=3, r=2), array(1, 4, 4, 2)
    fast = execute(lambda k, x: convolved(x, k, (2, 2), "SAME"))
    got = jax.jit(jax.grad(lambda k, x: jnp.sum(fast(k, x) ** 2), (0, 1)))(kernel, x)
    slow = jax.grad(lambda k, x: jnp.sum(convolved(x, dense(k), (2, 2), "SAME") ** 2), (0, 1))
    for one, other in zip(*map(jax.tree.leaves, (got, jax.jit(slow)(kernel, x))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_rows_of_a_table_are_as_precise_as_the_table(dtype):
    """Devices that multiply float32 in fewer bits unless told otherwise would round it."""
    table = jax.tree.map(lambda f: f.astype(dtype), leaf("vr,rs,sd->vd", v=9, d=6, r=2, s=3))
    program = jax.make_jaxpr(execute(lambda w, ids: w[ids]))(table, jnp.array([3, 5]))
    products = [e.params for e in program.jaxpr.eqns if e.primitive.name == "dot_general"]
    assert [p["preferred_element_type"] for p in products] == [jnp.float32] * 2
    assert {p["precision"] for p in products} == {(lax.Precision.HIGHEST,) * 2}
