"""Weights as products: the best ones, where they are smaller, of the rank that was asked for."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.leaves import LowRank
from jaxcompress.leaves.lowrank import broken_rule
from jaxcompress.lowrank._matrices import matrix_of
from jaxcompress.lowrank._splits import Axes

RNG = np.random.default_rng(0)


def normal(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def relative(one, other):
    return np.linalg.norm(np.asarray(one, np.float64) - other) / np.linalg.norm(other)


# The leaf.


def test_the_leaf_is_its_product_in_numpy_and_in_jax():
    factors = normal(3, 4, 2), normal(3, 2, 5)
    leaf = LowRank(factors=factors, equation="ir,ro->io")
    wanted = factors[0] @ factors[1]
    assert leaf.shape == wanted.shape and leaf.dtype == np.float32 and leaf.stack == (3,)
    assert isinstance(leaf.dense(), np.ndarray)
    np.testing.assert_allclose(leaf.dense(), wanted, rtol=1e-5, atol=1e-6)
    on_device = jax.tree.map(jnp.asarray, leaf)
    np.testing.assert_allclose(jax.jit(jc.dense)(on_device), wanted, rtol=1e-5, atol=1e-6)


def test_several_factors_are_multiplied_one_after_the_other():
    factors = normal(3, 2), normal(2, 2), normal(4, 2), normal(5, 2)
    equation = "hr,wr,ir,or->hwio"
    leaf = LowRank(factors=factors, equation=equation)
    np.testing.assert_allclose(leaf.dense(), np.einsum(equation, *factors), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16])
def test_small_dtypes_are_summed_in_single_precision(dtype):
    ones = np.ones((1, 5000), dtype), np.ones((5000, 1), dtype)
    leaf = LowRank(factors=ones, equation="ir,ro->io")
    assert leaf.dense().dtype == dtype and float(leaf.dense()[0, 0]) == float(
        np.asarray(5000, dtype)
    )
    assert float(jax.tree.map(jnp.asarray, leaf).dense()[0, 0]) == float(np.asarray(5000, dtype))


def test_an_empty_stack_has_its_shape():
    leaf = LowRank(factors=(np.ones((0, 4, 2)), np.ones((0, 2, 5))), equation="ir,ro->io")
    assert leaf.dense().shape == leaf.shape == (0, 4, 5)


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("io", [(2, 3)]),
        ("ir,ro", [(2, 3), (3, 2)]),
        ("ir,RO->io", [(2, 3), (3, 2)]),
        ("...ir,ro->io", [(2, 3), (3, 2)]),
        ("ir,ro->io", [(2, 3)]),
        ("ir,ro->io", [(2,), (3, 2)]),
        ("ir,ro->io", [(1, 2, 3), (2, 3, 2)]),
        ("ir,ro->io", [(1, 2, 3), (3, 2)]),
        ("ir,iro->io", [(2, 3), (2, 3, 2)]),
        (",".join(["ir", *["r"] * 7, "ro"]) + "->io", [(2, 1), *[(1,)] * 7, (1, 2)]),
    ],
)
def test_what_is_no_product_is_refused(equation, shapes, tmp_path):
    assert broken_rule(equation, shapes)
    leaf = LowRank(factors=tuple(np.ones(s, "f") for s in shapes), equation=equation)
    with pytest.raises(ValueError, match="^w: .*; make the leaf with low_rank"):
        jc.save(tmp_path / "m.npz", {"w": leaf})


def test_factors_of_two_dtypes_or_not_finite_are_not_stored(tmp_path):
    for second, message in (
        (np.ones((2, 3), np.float64), "one dtype, got float32, float64"),
        (np.array([[1, np.nan, 1], [1, 1, 1]], "f"), "1 NaN or infinite of 6, the first at .0, 1."),
    ):
        leaf = LowRank(factors=(np.ones((4, 2), "f"), second), equation="ir,ro->io")
        with pytest.raises(ValueError, match=f"^w: .*{message}"):
            jc.save(tmp_path / "m.npz", {"w": leaf})


def test_factors_that_are_products_are_not_stored(tmp_path):
    inner = LowRank(factors=(np.ones((4, 2), "f"), np.ones((2, 2), "f")), equation="ir,ro->io")
    leaf = LowRank(factors=(inner, np.ones((2, 3), "f")), equation="ir,ro->io")
    with pytest.raises(ValueError, match="^w: factors must be arrays or .*, got LowRank; make"):
        jc.save(tmp_path / "m.npz", {"w": leaf})


# Ranks.


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.float16, np.float64])
def test_a_product_is_the_best_of_its_rank_in_every_dtype(dtype):
    params = {"kernel": normal(20, 30).astype(dtype), "bias": np.zeros(30, dtype)}
    thin = jc.low_rank(params, keep=0.5)
    left, right = thin["kernel"].factors
    assert left.shape == (20, 6) and right.shape == (6, 30) and left.dtype == right.dtype == dtype
    assert thin["bias"] is params["bias"]
    weight = params["kernel"].astype(np.float64)
    u, s, v = np.linalg.svd(weight, full_matrices=False)
    best = np.linalg.norm(s[6:]) / np.linalg.norm(s)
    assert relative(thin["kernel"].dense(), weight) == pytest.approx(best, rel=0.01)
    np.testing.assert_allclose(
        np.linalg.norm(np.asarray(left, "f"), axis=0),
        np.linalg.norm(np.asarray(right, "f"), axis=1),
        rtol=0.01,
    )


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 1), st.sampled_from([(), (2,)]))
@settings(max_examples=60, deadline=None)
def test_a_product_is_smaller_than_its_tensor_and_within_the_ratio(m, n, ratio, stack):
    params = {"kernel": np.ones((*stack, m, n), "f")}
    plan = jc.lowrank.plan_ranks(
        params, keep=ratio, split=lambda *_: Axes((len(stack),), (len(stack) + 1,))
    )
    assert plan.ranks.keys() | plan.left_dense.keys() == {"kernel"}
    if plan.ranks:
        kept = plan.ranks["kernel"] * (m + n)
        assert kept < m * n and kept <= ratio * m * n < kept + m + n + (ratio == 1)
    else:
        assert m + n > ratio * m * n or m + n >= m * n


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_factors_of_huge_and_of_tiny_weights_share_their_size(size, dtype):
    weight = (normal(20, 30) * size).astype(dtype)
    left, right = (
        np.asarray(f, np.float64) for f in jc.low_rank({"w": weight}, keep=0.5)["w"].factors
    )
    s = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
    best = np.linalg.norm(s[6:]) / np.linalg.norm(s)
    exact = weight.astype(np.float64) / size
    assert relative(left @ right / size, exact) == pytest.approx(best, rel=0.01)
    np.testing.assert_allclose(
        np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1), rtol=0.01
    )


def test_half_of_the_rank_of_a_square_matrix_saves_nothing():
    plan = jc.lowrank.plan_ranks({"w": normal(10, 10)}, ranks={"w": 5})
    assert plan.ranks == {}
    assert plan.left_dense == {"w": "rank 5 has 100 parameters, not fewer than its 100"}
    params = {"w": normal(10, 10)}
    assert jc.low_rank(params, ranks={"w": 5})["w"] is params["w"]
    assert isinstance(jc.low_rank(params, ranks={"w": 4})["w"], LowRank)


def diagonal(*values, columns=40):
    matrix = np.zeros((len(values), columns), np.float32)
    np.fill_diagonal(matrix, values)
    return matrix


def test_energy_takes_the_lowest_rank_that_keeps_the_share():
    params = {"w": diagonal(4, 2, 2, 1, 0)}  # squares 16, 4, 4, 1, 0
    for share, rank in ((0.5, 1), (16 / 25, 1), (0.65, 2), (0.8, 2), (0.81, 3), (0.97, 4)):
        assert jc.lowrank.plan_ranks(params, ranks=jc.lowrank.by_energy(keep=share)).ranks == {
            "w": rank
        }
    assert jc.lowrank.plan_ranks({"w": normal(9, 9)}, ranks=jc.lowrank.by_energy(keep=1)).left_dense


def test_a_matrix_of_zeros_is_a_product_of_rank_one():
    thin = jc.low_rank({"w": np.zeros((9, 9), "f")}, ranks=jc.lowrank.by_energy(keep=0.9))["w"]
    assert thin.factors[0].shape == (9, 1) and not thin.dense().any()
    assert jc.lowrank.plan_ranks(
        {"w": np.zeros((9, 9), "f")}, ranks=jc.lowrank.by_budget(99)
    ).ranks == {"w": 1}


def test_a_budget_is_spent_where_the_error_falls_most_by_hand():
    # Shares of the squares: 16, 4, 4, 1 of 25 and 9, 9, 1, 1 of 20, each for 44 parameters.
    params = {"a": diagonal(4, 2, 2, 1), "b": 100 * diagonal(3, 3, 1, 1)}
    for parameters, ranks in (
        (88, {"a": 1, "b": 1}),
        (131, {"a": 1, "b": 1}),
        (132, {"a": 1, "b": 2}),  # 0.45 for b, 0.16 for a
        (176, {"a": 2, "b": 2}),
        (240, {"a": 3, "b": 2}),
        (260, {"b": 2}),  # all 160 of a: 0.2 for 72 more
    ):
        assert jc.lowrank.plan_ranks(params, ranks=jc.lowrank.by_budget(parameters)).ranks == ranks
    plan = jc.lowrank.plan_ranks(params, ranks=jc.lowrank.by_budget(320))
    assert plan.left_dense == dict.fromkeys("ab", "the budget has room for all of it")


def spent(params, plan):
    stored = sum(params[path].size for path in plan.left_dense)
    return stored + sum(rank * sum(params[path].shape) for path, rank in plan.ranks.items())


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 1.1))
@settings(max_examples=30, deadline=None)
def test_a_budget_is_met_and_nearly_the_best_use_is_made_of_it(seed, share):
    rng = np.random.default_rng(seed)
    shapes = [(6, 9), (8, 8), (5, 20)]
    params = {
        name: (rng.normal(size=shape) * rng.uniform(0, 1, shape[1]) ** 4).astype("f")
        for name, shape in zip("abc", shapes, strict=True)
    }
    parameters = int(share * sum(p.size for p in params.values()))
    plan = jc.lowrank.plan_ranks(params, ranks=jc.lowrank.by_budget(parameters))
    assert spent(params, plan) <= parameters

    def choices(path):
        squares = np.linalg.svd(params[path], compute_uv=False) ** 2
        left_out = 1 - np.cumsum(squares) / squares.sum()
        costs = [r * sum(params[path].shape) for r in range(1, len(squares) + 1)]
        paying = [(c, e) for c, e in zip(costs, left_out, strict=True) if c < params[path].size]
        return [*paying, (params[path].size, 0.0)]

    def error(path):
        rank = plan.ranks.get(path)
        return 0.0 if rank is None else choices(path)[rank - 1][1]

    every = itertools.product(*(choices(path) for path in params))
    fitting = [sum(e for _, e in way) for way in every if sum(c for c, _ in way) <= parameters]
    worth = max(e - f for path in params for (_, e), (_, f) in itertools.pairwise(choices(path)))
    assert sum(map(error, params)) <= min(fitting) + worth + 1e-6  # one rank that did not fit


def test_a_budget_below_rank_one_says_what_is_needed():
    params = {"a": normal(4, 40), "b": normal(8, 8)}
    with pytest.raises(ValueError, match="^parameters: must be at least 60, .* got 59; raise it"):
        jc.low_rank(params, ranks=jc.lowrank.by_budget(59))


# Splits and moments.


def test_kernels_are_split_at_the_output_or_across_space():
    kernel = {"conv": normal(3, 3, 8, 16)}
    both = {
        split: jc.low_rank(kernel, keep=0.4, split=split)["conv"]
        for split in (jc.lowrank.last_axis, jc.lowrank.across_space)
    }
    assert both[jc.lowrank.last_axis].equation == "hwir,ro->hwio"
    assert [f.shape for f in both[jc.lowrank.last_axis].factors] == [(3, 3, 8, 5), (5, 16)]
    assert both[jc.lowrank.across_space].equation == "hir,rwo->hwio"
    assert [f.shape for f in both[jc.lowrank.across_space].factors] == [(3, 8, 6), (6, 3, 16)]
    for split, leaf in both.items():
        axes = split("conv", kernel["conv"])
        order = [*axes.rows, *axes.columns]
        matrix = (
            kernel["conv"]
            .transpose(order)
            .reshape(len(leaf.factors[0].reshape(-1, leaf.factors[0].shape[-1])), -1)
        )
        s = np.linalg.svd(matrix, compute_uv=False)
        best = np.linalg.norm(s[leaf.factors[1].shape[0] :]) / np.linalg.norm(s)
        assert relative(leaf.dense(), kernel["conv"]) == pytest.approx(best, rel=1e-3)


def attention(params, x):
    def block(x, layer):
        query, key = (jnp.einsum("ti,ihk->thk", x, layer[name]) for name in ("query", "key"))
        weights = jax.nn.softmax(jnp.einsum("thk,shk->hts", query, key))
        mixed = jnp.einsum("hts,shk->thk", weights, query)
        return x + jnp.einsum("thk,hko->to", mixed, layer["out"]), None

    x = params["table"][x]
    return jax.lax.scan(block, x, params["blocks"])[0] @ params["table"].T


def attention_params():
    heads = {name: normal(2, 12, 3, 4) for name in ("query", "key")}
    return {"table": normal(10, 12), "blocks": heads | {"out": normal(2, 3, 4, 12)}}


def test_traced_splits_find_heads_tables_and_stacked_layers():
    params, x = attention_params(), jnp.arange(5)
    split = jc.lowrank.summed_axes(attention, params, x)
    for path, leaf, axes in (
        ("blocks/query", params["blocks"]["query"], Axes((1,), (2, 3))),
        ("blocks/out", params["blocks"]["out"], Axes((1, 2), (3,))),
        ("table", params["table"], Axes((1,), (0,))),
        ("elsewhere", np.ones((3, 3)), Axes((0,), (1,))),
    ):
        assert split(path, leaf) == axes
    thin = jc.low_rank(params, keep=0.6, split=split)
    query = thin["blocks"]["query"]
    assert [f.shape for f in query.factors] == [(2, 12, 3), (2, 3, 3, 4)] and query.stack == (2,)
    assert thin["table"].equation == "or,ri->io"
    np.testing.assert_allclose(
        jc.execute(attention)(thin, x), jax.jit(attention)(jc.dense(thin), x), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    "dtype, size", [("f4", 1e38), ("f4", 1e-35), ("f8", 1e200), ("f8", 1e-200)]
)
def test_numbers_whose_squares_overflow_or_vanish_are_no_special_case(dtype, size):
    usual = np.outer(np.linspace(0.5, 1, 10), np.ones(12)).astype(dtype)
    params = {"usual": usual, "far": (usual * size).astype(dtype)}
    for rule in (jc.lowrank.by_energy(keep=0.9), jc.lowrank.by_budget(44)):
        assert jc.lowrank.plan_ranks(params, ranks=rule).ranks == {"usual": 1, "far": 1}
    left, right = jc.low_rank({"far": np.asarray(params["far"])}, keep=0.5)["far"].factors
    product = np.asarray(left, "f8") / size**0.5 @ (np.asarray(right, "f8") / size**0.5)
    np.testing.assert_allclose(product, usual, rtol=1e-5)


def test_moments_lower_the_error_of_what_layers_put_out():
    params, x = {"kernel": normal(12, 16)}, normal(200, 12) * np.geomspace(1, 0.01, 12, dtype="f")
    apply = lambda params, x: x @ params["kernel"]  # noqa: E731
    moments = jc.quantization.input_moments(apply, params, [x])
    outputs = apply(params, x)

    def error(tree):
        return relative(apply(jc.dense(tree), x), outputs)

    weighted = jc.low_rank(params, ranks={"kernel": 3}, moments=moments)
    assert error(weighted) < 0.7 * error(jc.low_rank(params, ranks={"kernel": 3}))
    s = np.linalg.svd(outputs, compute_uv=False)  # no product of rank 3 does better
    assert error(weighted) == pytest.approx(np.linalg.norm(s[3:]) / np.linalg.norm(s), rel=1e-3)
    energy = jc.lowrank.plan_ranks(
        params, ranks=jc.lowrank.by_energy(keep=0.9), moments=moments
    ).ranks["kernel"]
    assert energy < jc.lowrank.plan_ranks(params, ranks=jc.lowrank.by_energy(keep=0.9)).ranks.get(
        "kernel", 12
    )


def test_singular_moments_leave_weights_of_unseen_inputs_to_their_size():
    weight = diagonal(1, 1, 5, 3, columns=9)
    x = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    apply = lambda params, x: x @ params["w"]  # noqa: E731
    moments = jc.quantization.input_moments(apply, {"w": weight}, [x])
    thin = jc.low_rank({"w": weight}, ranks={"w": 2}, moments=moments)["w"].dense()
    np.testing.assert_allclose(thin[:2], weight[:2], atol=1e-3)
    # Of rank 3 nothing is saved here; the third direction would be that of 5.
    assert np.isfinite(thin).all()
    seen = matrix_of("w", weight, Axes((0,), (1,)), moments.layers["w"]).squares
    assert seen[2] > 2 * seen[3] > 0


def test_moments_of_stacked_layers_heads_and_convolutions_have_the_order_of_the_rows():
    def apply(params, x):
        h = jax.lax.scan(
            lambda h, w: (jnp.einsum("bhk,hko->bo", h.reshape(-1, 4, 3), w), None), x, params["s"]
        )[0]
        image = h.reshape(-1, 2, 2, 3).transpose(0, 3, 1, 2)
        return jax.lax.conv_general_dilated(
            image, params["k"], (1, 1), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW")
        )

    params, x = {"s": normal(2, 4, 3, 12), "k": normal(8, 3, 2, 2)}, normal(50, 12)
    split = jc.lowrank.summed_axes(apply, params, x)
    moments = jc.quantization.input_moments(apply, params, [x])
    found = {
        path: matrix_of(path, params[path], split(path, params[path]), moments.layers[path])
        for path in params
    }
    first = x.T.astype(np.float64) @ x
    np.testing.assert_allclose(found["s"].moments[0], first, rtol=1e-4, atol=1e-4)
    h = x
    for w in params["s"]:
        h = h @ w.reshape(12, 12)
    assert found["k"].rows == (3, 2, 2)  # inputs, height, width
    rows = h.reshape(-1, 2, 2, 3).transpose(0, 3, 1, 2).reshape(50, -1)
    np.testing.assert_allclose(found["k"].moments[0], rows.T @ rows, rtol=1e-3, atol=1e-2)


def test_inputs_that_are_all_zero_decide_nothing():
    params = {"w": normal(12, 16)}
    moments = jc.quantization.input_moments(
        lambda p, x: x @ p["w"], params, [np.zeros((9, 12), "f")]
    )
    with_moments, without = (
        jc.low_rank(params, keep=0.5, moments=found)["w"].dense() for found in (moments, None)
    )
    np.testing.assert_allclose(with_moments, without, atol=1e-5)


def test_moments_of_a_taller_stack_are_refused():
    def apply(params, x):
        return jax.lax.scan(lambda h, w: (h @ w, None), x, params["w"])[0]

    whole, x = {"w": normal(3, 8, 8)}, normal(5, 8)
    moments = jc.quantization.input_moments(apply, whole, [x])
    shallow = {"w": whole["w"][:2]}
    split = jc.lowrank.summed_axes(apply, shallow, x)
    with pytest.raises(ValueError, match="w: rows must be what its products sum over"):
        jc.low_rank(shallow, keep=0.5, split=split, moments=moments)


def test_moments_of_other_rows_are_refused():
    """Of a kernel `[out, in]` under the default split they were ignored, and nobody told."""
    params, x = {"w": normal(6, 8)}, normal(9, 8)
    apply = lambda p, x: x @ p["w"].T  # noqa: E731
    moments = jc.quantization.input_moments(apply, params, [x])
    with pytest.raises(
        ValueError, match=r"w: rows must .* got the axes \(0,\) .* split=summed_axes"
    ):
        jc.low_rank(params, keep=0.5, moments=moments)
    jc.low_rank(params, keep=0.5, moments=moments, split=jc.lowrank.summed_axes(apply, params, x))


def test_a_weight_in_two_products_meets_the_inputs_of_both():
    params, one, two = {"w": normal(6, 6)}, normal(9, 6), normal(9, 6)
    apply = lambda p, x, y: (x @ p["w"], y @ p["w"])  # noqa: E731
    moments = jc.quantization.input_moments(apply, params, [(one, two)])
    found = matrix_of("w", params["w"], Axes((0,), (1,)), moments.layers["w"]).moments
    both = np.concatenate([one, two])
    np.testing.assert_allclose(found[0], both.T @ both, rtol=1e-4, atol=1e-4)


def test_groups_of_a_convolution_have_no_moments_in_common():
    params, x = {"k": normal(3, 3, 4, 8)}, normal(2, 6, 6, 8)

    def apply(params, x):
        return jax.lax.conv_general_dilated(
            x,
            params["k"],
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        )

    moments = jc.quantization.input_moments(apply, params, [x])
    assert moments.layers["k"]
    weighed, plain = (
        jc.low_rank(params, keep=0.5, moments=found)["k"].dense() for found in (moments, None)
    )
    np.testing.assert_array_equal(weighed, plain)


# Decompositions.


@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_a_sketch_is_close_to_the_best_and_the_same_each_time(shape):
    matrix = normal(*shape)
    best, sketched = jc.lowrank.exact_svd(matrix, 8), jc.lowrank.randomized_svd(matrix, 8, seed=3)

    def error(found):
        return np.linalg.norm(matrix - (found.left * found.values) @ found.right)

    assert error(best) <= error(sketched) <= 1.01 * error(best)
    assert [part.shape for part in sketched] == [(shape[0], 8), (8,), (8, shape[1])]
    np.testing.assert_allclose(sketched.left.T @ sketched.left, np.eye(8), atol=1e-5)
    again = jc.lowrank.randomized_svd(matrix, 8, seed=3)
    for one, other in zip(sketched, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(jc.lowrank.randomized_svd(matrix, 8, seed=4).left, sketched.left)


def test_large_matrices_of_low_rank_are_sketched(monkeypatch):
    calls = []
    monkeypatch.setattr("jaxcompress.lowrank._svd.randomized_svd", lambda *a, **k: calls.append(a))
    monkeypatch.setattr("jaxcompress.lowrank._svd.exact_svd", lambda *a: calls.append(None))
    large = np.zeros((512, 600), "f")
    for matrix, rank in ((large, 128), (large, 129), (large[:511], 8)):
        jc.lowrank.truncated_svd(matrix, rank)
    assert [call is not None for call in calls] == [True, False, False]


def test_the_decomposition_is_a_function():
    asked = []

    def svd(matrix, rank):
        asked.append((matrix.shape, rank))
        return jc.lowrank.exact_svd(matrix, rank)

    jc.low_rank({"w": normal(10, 12), "s": normal(2, 2)}, keep=0.5, svd=svd)
    assert asked == [((10, 12), 2)]


# More factors.


@pytest.mark.slow
def test_tucker_and_cp_find_the_factors_a_kernel_is_made_of():
    pytest.importorskip("tensorly")
    core = normal(3, 3, 3, 4)
    tucker = np.einsum("ir,hwrs,so->hwio", normal(12, 3), core, normal(4, 16))
    parallel = np.einsum(
        "hr,wr,ir,or->hwio", normal(3, 2), normal(3, 2), normal(8, 2), normal(9, 2)
    )
    params = {"tucker": tucker, "parallel": parallel, "dense": normal(5, 5)}
    thin = jc.lowrank.low_rank_convolutions(params, jc.lowrank.tucker2, keep=0.2)
    assert [f.shape for f in thin["tucker"].factors] == [(12, 4), (3, 3, 4, 5), (5, 16)]
    assert relative(thin["tucker"].dense(), tucker) < 1e-4
    thin = jc.lowrank.low_rank_convolutions(params, jc.lowrank.cp, keep=0.15)
    assert [f.shape for f in thin["parallel"].factors] == [(3, 4), (3, 4), (8, 4), (9, 4)]
    assert relative(thin["parallel"].dense(), parallel) < 1e-2
    assert thin["dense"] is params["dense"]
    for method in (jc.lowrank.tucker2, jc.lowrank.cp):
        small = {"k": normal(1, 1, 3, 3)}
        assert jc.lowrank.low_rank_convolutions(small, method, keep=0.5)["k"] is small["k"]


ONE = np.zeros((3, 3, 8, 9), "f")
ONE[1, 1, 2, 3] = 1


@pytest.mark.parametrize("size", [1, 1e-30, 1e25])
@pytest.mark.parametrize("kernel", [np.ones((3, 3, 8, 9), "f"), ONE], ids=["ones", "one"])
@pytest.mark.parametrize("method", [jc.lowrank.tucker2, jc.lowrank.cp])
def test_kernels_of_a_lower_rank_than_asked_for_are_found(method, kernel, size):
    pytest.importorskip("tensorly")
    kernel = (kernel * size).astype("f")
    thin = jc.lowrank.low_rank_convolutions({"k": kernel}, method, keep=0.5)["k"]
    assert all(np.isfinite(factor).all() for factor in thin.factors)
    assert relative(thin.dense() / size, kernel.astype("f8") / size) < 1e-4


@pytest.mark.parametrize("method", [jc.lowrank.tucker2, jc.lowrank.cp])
def test_kernels_that_are_zero_stay(method):
    params = {"k": np.zeros((3, 3, 8, 8), "f")}
    assert jc.lowrank.low_rank_convolutions(params, method, keep=0.5)["k"] is params["k"]


def test_tucker_has_no_higher_ranks_than_its_matrices():
    pytest.importorskip("tensorly")
    kernel = normal(1, 3, 19, 4)
    thin = jc.lowrank.low_rank_convolutions({"k": kernel}, jc.lowrank.tucker2, keep=0.9)["k"]
    r, s = thin.factors[1].shape[2:]
    assert r <= 3 * s and s <= 3 * r
    assert thin.shape == kernel.shape and relative(thin.dense(), kernel) < 1


@pytest.mark.parametrize("method", [jc.lowrank.tucker2, jc.lowrank.cp])
def test_without_tensorly_it_is_named(monkeypatch, method):
    monkeypatch.setitem(sys.modules, "tensorly.decomposition", None)
    with pytest.raises(ImportError, match=r"^lowrank: needs tensorly.*jaxcompress\[lowrank\]"):
        jc.lowrank.low_rank_convolutions({"k": normal(3, 3, 8, 8)}, method, keep=0.5)


def test_convolutions_refuse_what_they_cannot_do():
    def never(kernel, *, keep):
        raise AssertionError

    bad = normal(3, 3, 2, 2)
    bad[0, 0, 1, 1] = np.inf
    for params, options, message in (
        ({"k": bad}, {}, "k: must be finite, got 1"),
        ({"k": normal(3, 3)}, {"scope": lambda *_: True}, "k: kernels must have four axes"),
        ({"k": normal(3, 3)}, {}, "scope: no leaf is chosen"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            jc.lowrank.low_rank_convolutions(params, never, keep=0.5, **options)
    with pytest.raises(ValueError, match="^keep: must be in"):
        jc.lowrank.low_rank_convolutions({"k": bad}, never, keep=2)
    larger = LowRank(factors=(np.ones((3, 3, 2, 9)), np.ones((9, 2))), equation="hwir,ro->hwio")
    kept = {"k": normal(3, 3, 2, 2)}
    assert (
        jc.lowrank.low_rank_convolutions(kept, lambda *_, keep: larger, keep=0.5)["k"] is kept["k"]
    )


# What is refused, and what goes with what.


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"keep": 0}, ValueError, "keep: must be finite and above 0, got 0; pass the fraction"),
        ({"keep": 50}, ValueError, r"keep: must be in \(0, 1\], got 50; .* not a percentage"),
        ({"keep": float("nan")}, ValueError, "keep: must be finite and above 0, got nan"),
        ({"keep": "half"}, TypeError, "keep: must be a number above 0, got 'half'"),
        ({}, ValueError, "keep: one of keep and ranks must be given, got None and None"),
        ({"keep": 0.5, "ranks": {"w": 1}}, ValueError, "keep: one of keep and ranks"),
        ({"ranks": 8}, TypeError, "ranks: must be a rule or a rank for each path, got 8; pass"),
        ({"ranks": {"w": 0}}, ValueError, "w: rank must be at least 1, got 0; leave it out"),
        ({"ranks": {"w": 1.5}}, TypeError, "w: rank must be an integer, got 1.5"),
        ({"ranks": {"w": True}}, TypeError, "w: rank must be an integer, got True"),
        ({"ranks": {"w": "8"}}, TypeError, "w: rank must be an integer, got '8'"),
        ({"ranks": lambda matrices: [0]}, ValueError, "w: rank must be at least 1, got 0"),
        ({"ranks": lambda matrices: []}, ValueError, "ranks: a rule must give a rank for each"),
        ({"ranks": lambda matrices: [1.5]}, TypeError, "w: rank must be an integer, got 1.5"),
        ({"ranks": {"v": 1}}, ValueError, "v: ranks must be for tensors in the scope, .* among w"),
        ({"keep": 0.5, "scope": lambda *_: False}, ValueError, "scope: no leaf is chosen"),
        ({"keep": 0.5, "split": lambda *_: Axes((0,), ())}, ValueError, "w: the split must name"),
        ({"keep": 0.5, "split": lambda *_: Axes((0,), (0,))}, ValueError, "w: the split must"),
        ({"keep": 0.5, "split": lambda *_: Axes((0,), (2,))}, ValueError, "w: the split must"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    for function in (jc.low_rank, jc.lowrank.plan_ranks):
        with pytest.raises(error, match=f"^{message}"):
            function({"w": normal(10, 12)}, **arguments)


RULES = {
    "energy": lambda value: jc.lowrank.by_energy(keep=value),
    "ratio": lambda value: jc.lowrank.by_ratio(keep=value),
    "budget": jc.lowrank.by_budget,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_rules_refuse_what_is_no_fraction_or_number(rule, value):
    with pytest.raises(ValueError, match="must be finite and above 0"):
        RULES[rule](value)
    with pytest.raises(TypeError, match="number"):
        RULES[rule]("much")


def test_vectors_are_no_matrices():
    params = {"w": normal(10, 12), "bias": np.ones(12, "f")}
    with pytest.raises(
        ValueError, match=r"^bias: only .* got shape \(12,\); leave it out of the sc"
    ):
        jc.low_rank(params, keep=0.5, scope=jc.scopes.everything)


def test_weights_that_are_not_finite_or_not_floating_are_named():
    bad = normal(10, 12)
    bad[2, 3:5] = np.nan
    with pytest.raises(
        ValueError, match="^block/w: .* 2 NaN or infinite of 120, the first at .2, 3"
    ):
        jc.low_rank({"block": {"w": bad}}, keep=0.5)
    with pytest.raises(TypeError, match="^w: leaves in the scope must be of floating-point"):
        jc.low_rank({"w": np.ones((9, 9), int)}, keep=0.5, scope=lambda *_: True)
    with pytest.raises(TypeError, match="^low_rank: params must be concrete"):
        jax.jit(lambda p: jc.low_rank(p, keep=0.5))({"w": normal(9, 9)})


@pytest.mark.parametrize(
    "layout, technique",
    [
        ("csr", lambda thin: jc.quantize(thin, 8)),
        ("packed", lambda thin: jc.quantize(thin, 4, granularity=jc.quantization.per_block(8))),
        ("entropy", lambda thin: jc.kmeans(thin, 8)),
        ("packed", jc.leaves.half),
        ("csr", jc.leaves.sparse),
        ("packed", lambda thin: thin),
    ],
)
def test_factors_are_compressed_and_stored(tmp_path, layout, technique):
    params = {"w": normal(24, 20), "k": normal(3, 3, 6, 12), "b": np.ones(3, "f")}
    thin = jc.low_rank(params, keep=0.5)
    tree = technique(thin)
    assert isinstance(tree["w"], LowRank) and tree["k"].shape == (3, 3, 6, 12)
    jc.save(tmp_path / "m.npz", tree, layout=layout)
    back = jc.load_compressed(tmp_path / "m.npz")
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for one, other in zip(*map(jax.tree.leaves, (back, tree)), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded = jc.load(tmp_path / "m.npz")
    np.testing.assert_allclose(loaded["k"], jax.jit(jc.dense)(tree["k"]), rtol=1e-4, atol=1e-5)
    assert jc.inspect(tmp_path / "m.npz")["version"] == (5 if layout == "entropy" else 4)
    assert jc.metrics.entropy_bound_bytes(tree) <= jc.metrics.entropy_bound_bytes(thin)


def test_rounded_factors_make_nearly_the_same_tensor():
    thin = jc.low_rank({"w": normal(24, 20)}, keep=0.5)
    rounded = jc.quantize(thin)
    assert [type(factor) for factor in rounded["w"].factors] == [jc.Quantized] * 2
    assert relative(rounded["w"].dense(), thin["w"].dense()) < 0.02


def test_compressed_leaves_and_products_stay_as_they_are():
    params = jc.quantize({"w": normal(10, 12)}) | {"v": normal(10, 12)}
    once = jc.low_rank(params, keep=0.5)
    assert once["w"] is params["w"]
    assert jc.low_rank(once | {"u": normal(10, 12)}, keep=0.5)["v"] is once["v"]


def test_shared_factors_are_trained_by_their_centroids():
    thin = jc.low_rank({"w": normal(10, 12)}, keep=0.5)
    shared = jc.kmeans(thin, 4)
    params = jc.decoded(shared)
    tx = jc.share_centroids(optax.sgd(0.1), shared)

    @jax.jit
    def moved_by(gradients, params):
        return optax.apply_updates(params, tx.update(gradients, state, params)[0])

    state, gradients = tx.init(params), jax.tree.map(np.ones_like, params)
    moved = moved_by(gradients, params)
    assert all(len(np.unique(factor)) <= 4 for factor in moved["w"].factors)
    again = jc.leaves.update_codebooks(shared, moved)
    np.testing.assert_array_equal(again["w"].factors[0].dense(), moved["w"].factors[0])
