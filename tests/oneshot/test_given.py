"""Checkpoints of somebody else: nothing is ruined without a word."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.oneshot import report
from jaxcompress.oneshot.outcomes import Outcome, decibels, outcome_of
from jaxcompress.oneshot.rules import Rule, Treatments
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.oneshot.stream import prune
from jaxcompress.oneshot.survey import AVERAGE, OUTSIDE, RULE, STATE, THIN, survey
from jaxcompress.oneshot.ways import Treatment
from jaxcompress.states import averages

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


PARAMS = {"a": normal(256, 256), "b": 0.01 * normal(256, 256)}


def compressed(treatment, *arguments):
    return treatment.treat("w", *arguments).leaf


def errors(params, small):
    return {outcome.path: outcome.relative_error for outcome in report(params, small).outcomes}


@pytest.mark.parametrize("options", [{"target_bytes": 40_000}, {"step_size": 1.0}])
def test_tensors_of_small_magnitude_keep_the_same_relative_error(options):
    found = errors(PARAMS, jc.compress(PARAMS, **options))
    assert found["a"] == pytest.approx(found["b"], rel=0.05) and found["a"] < 0.35


def test_channels_of_small_magnitude_do_too():
    sizes = np.exp(np.linspace(-6, 0, 128, dtype=np.float32))
    params = {"w": normal(300, 128) * sizes}
    small = jc.dense(jc.compress(params))["w"]
    of_channels = np.linalg.norm(small - params["w"], axis=0) / np.linalg.norm(params["w"], axis=0)
    assert of_channels.max() < 0.09


@pytest.mark.slow
def test_a_size_that_needs_larger_errors_is_refused_with_the_one_that_does_not():
    with pytest.raises(ValueError, match="10,000 bytes cannot be made with errors of at most 0.5"):
        jc.compress(PARAMS, target_bytes=10_000)
    with pytest.raises(ValueError, match="errors of at most 0.1 in each"):
        jc.compress(PARAMS, target_bytes=30_000, max_error=0.1)


def test_steps_are_finer_where_the_error_would_be_too_large():
    found = errors(PARAMS, jc.compress(PARAMS, step_size=4.0, max_error=0.2))
    assert all(0.1 < error <= 0.2 for error in found.values())


def test_a_tensor_that_would_be_lost_is_refused_and_named():
    params = {"a": normal(64, 64), "b": 0.1 * normal(64, 64)}
    with pytest.raises(ValueError, match=r"larger ones in 1 of 2 tensors; .* raise max_error: b 0"):
        jc.compress(params, sparsity=0.58)
    jc.compress(params, sparsity=0.58, max_error=1)


def test_small_tensors_have_finer_steps():
    params = {"large": normal(400, 400), "small": normal(20, 20)}
    found = errors(params, jc.compress(params))
    assert found["small"] < 0.5 * found["large"]


def test_vectors_tables_of_few_rows_and_what_would_grow_stay_exact():
    params = {
        "token": normal(1, 1, 768),
        "types": normal(2, 384),
        "scale": normal(64, 1),
        "w": normal(64, 64),
    }
    small = jc.compress(params)
    assert [name for name in params if small[name] is not params[name]] == ["w"]
    chosen = jc.compress(params, scope=jc.scopes.matching("types"))
    assert isinstance(chosen["types"], jc.Quantized) and chosen["w"] is params["w"]


def test_small_tensors_beside_large_ones_stay_exact():
    params = {"large": normal(400, 400), "readout": normal(8, 64)}
    assert jc.compress(params)["readout"] is params["readout"]
    alone = {"w": normal(20, 20), "readout": normal(8, 64)}
    assert isinstance(jc.compress(alone)["readout"], jc.Quantized)


def test_averages_beside_the_weights_are_kept_and_a_warning_says_so():
    params = {"params": {"w": normal(40, 40)}, "ema_params": {"w": normal(40, 40)}}
    with pytest.warns(UserWarning, match="params: 1 tensors of 6,400 bytes are averages of"):
        small = jc.compress(params)
    assert small["ema_params"]["w"] is params["ema_params"]["w"]
    alone = jc.compress({"ema_params": params["ema_params"]})
    assert isinstance(alone["ema_params"]["w"], jc.Quantized)


def test_averages_are_recognized_by_name_and_mirrored_paths():
    shape = (3, 4)
    for paths, expected in (
        (["model/w", "model_ema/w"], [False, True]),
        (["ema.w", "ema.v", "net.w"], [False] * 3),  # not a mirror
        (["swa/a", "swa/b", "x/a", "x/b"], [True, True, False, False]),
        (["schema/w", "params/w"], [False, False]),
        (["w", "ema/w"], [False, False]),  # the root holds the averages too
    ):
        assert averages(paths, [shape] * len(paths)) == expected, paths
    assert averages(["ema/w", "p/w"], [shape, (4, 3)]) == [False, False]


def test_a_survey_says_why():
    tree = {
        "ema": {"w": normal(9, 9)},
        "net": {"w": normal(9, 9)},
        "opt_state": {"w": normal(9, 9)},
        "head": normal(9, 9),
        "ids": np.arange(81).reshape(9, 9),
        "t": normal(2, 99),
    }
    source = TreeSource(tree)
    why = dict(zip(source.paths, survey(source, keeps=lambda path: path == "head"), strict=True))
    assert why == {
        **{"ema/w": AVERAGE, "net/w": None, "opt_state/w": STATE, "head": RULE},
        **{"ids": OUTSIDE, "t": THIN},
    }


def test_the_first_rule_that_matches_decides():
    rules = (
        Rule("*embed*", {"value": 8}),
        Rule("head", None),
        Rule("*", {"way": "kmeans", "value": 3}),
    )
    treatments = Treatments(Treatment(way="grid", value=4), rules)
    assert treatments.of("embed/head").value == 8
    assert treatments.of("model.head.weight") is None
    assert treatments.of("header").way == "kmeans"


@settings(deadline=None, max_examples=50)
@given(st.integers(-140, 120), st.floats(0, 0.5))
def test_errors_of_any_magnitude_are_measured(exponent, off):
    a = np.ldexp(np.float64([3, 4]), exponent).astype(np.float64)
    b = a * (1 + np.array([off, off]))
    assert outcome_of("w", a, b).relative_error == pytest.approx(off, rel=1e-6, abs=1e-12)


def test_errors_of_small_float_types():
    a = jnp.asarray([[3.0, 4.0]], jnp.bfloat16)
    assert outcome_of("w", np.asarray(a), np.asarray(a)).error_norm == 0
    assert Outcome("w", 1, None, 1.0, 0.0).relative_error == np.inf
    assert decibels(0.0) == np.inf


def test_outputs_are_compared():
    params = {"w": np.eye(3), "b": np.zeros(3)}
    half = {"w": 0.5 * np.eye(3), "b": np.zeros(3)}

    def apply(params, x, sign):
        return {"y": sign * (x @ params["w"] + params["b"])}

    batches = [(normal(4, 3), 1.0), (normal(2, 3), -1.0)]
    assert jc.oneshot.output_error(apply, params, half, batches) == pytest.approx(0.5)
    assert jc.oneshot.output_error(apply, params, params, batches) == 0
    with pytest.raises(ValueError, match="batches: must hold at least one"):
        jc.oneshot.output_error(apply, params, half, [])


def test_a_report_of_other_trees_is_refused():
    with pytest.raises(ValueError, match="must have the leaves of params"):
        report({"a": normal(2, 2)}, {"a": normal(2, 3)})


@pytest.mark.parametrize("way", ["relative", "grid", "kmeans", "uniform", "entropy"])
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_every_way_takes_every_kind_of_float(way, dtype):
    value = {"grid": 4, "kmeans": 16}.get(way, 0.25)
    tensor = normal(60, 70).astype(dtype)
    leaf = compressed(Treatment(way=way, value=value), tensor)
    assert leaf.dtype == dtype and leaf.shape == tensor.shape
    assert outcome_of("w", tensor, leaf).relative_error < 0.15


def test_blocks_of_few_bits_have_zero_points_unless_told_otherwise():
    tensor = normal(64, 96)
    found = {}
    for symmetric in (False, True):
        treatment = Treatment(way="grid", value=4, block=32, symmetric=symmetric)
        leaf = compressed(treatment, tensor)
        assert (leaf.zero_point is None) == symmetric and leaf.scale.size == 64 * 96 / 32
        found[symmetric] = outcome_of("w", tensor, leaf).relative_error
    assert found[False] < 0.085 < 0.089 < found[True]
    assert compressed(Treatment(way="grid", value=8, block=32), tensor).zero_point is None


def test_channels_with_outliers_have_blocks_at_8_bits():
    tensor = normal(64, 640)
    tensor[np.arange(64), RNG.permutation(640)[:64]] = 30.0
    leaf = compressed(Treatment(way="grid", value=8, axis="first"), tensor)
    assert leaf.scale.shape == (64, 10)
    plain = jc.quantize({"w": tensor}, 8, granularity=jc.quantization.per_channel(0))["w"]
    assert outcome_of("w", tensor, leaf).relative_error < 0.015
    assert outcome_of("w", tensor, plain).relative_error > 0.02


def test_blocks_of_a_channel_have_grids_of_their_own():
    treatment = Treatment(way="grid", value=4, block=32, axis="first")
    assert compressed(treatment, normal(64, 100)).scale.shape == (64, 4)
    assert compressed(treatment, normal(64, 16, 3, 3)).scale.shape == (64, 6, 1, 1)
    last = Treatment(way="grid", value=4, block=64, axis="last")
    assert compressed(last, normal(256, 9)).scale.shape == (4, 9)
    assert compressed(last, normal(3, 3, 128, 8)).scale.shape == (3, 3, 2, 8)
    assert compressed(last, normal(3, 3, 16, 8)).scale.shape == (1, 1, 3, 8)
    gates = normal(2, 20, 64) * np.exp(RNG.normal(size=(1, 20, 1)))
    assert compressed(Treatment(way="grid", value=4, block=32), gates, 1).scale.shape == (2, 20, 2)


@pytest.mark.slow
def test_finer_steps_never_have_larger_errors():
    heavy = {"w": normal(64, 64) ** 9, "v": normal(50, 60)}
    found = [
        report(heavy, jc.compress(heavy, step_size=step)).relative_error
        for step in (0.3, 0.1, 0.03, 0.01, 0.001, 0.0001)
    ]
    assert found == sorted(found, reverse=True) and found[-1] < 0.001


def test_an_outlier_does_not_wipe_out_its_channel():
    tensor = normal(256, 256)
    tensor[3, 3] = 1000.0
    small = np.asarray(jc.dense(jc.compress({"w": tensor}))["w"])
    rest = np.arange(256) != 3
    error = np.linalg.norm((small - tensor)[rest, 3]) / np.linalg.norm(tensor[rest, 3])
    assert error < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "tensor",
    [
        (1e4 * normal(64, 64)).astype(np.float16),
        1e-39 * normal(64, 64),
        1e160 * normal(64, 64).astype(np.float64),
        normal(*[2] * 8, *[1] * 26),
    ],
    ids=["large float16", "subnormal", "large float64", "rank 34"],
)
def test_numbers_that_no_grid_holds_do_no_harm(tensor):
    params = {"odd": tensor, "w": normal(64, 64)}
    for options in ({}, {"step_size": 1.0}, {"target_bytes": 60_000}):
        found = errors(params, jc.compress(params, scope=jc.scopes.kernels, **options))
        assert found["odd"] <= 0.5


def test_an_error_that_only_exact_weights_have_keeps_them():
    params = {"w": normal(64, 64)}
    assert jc.compress(params, max_error=1e-7)["w"] is params["w"]


def test_a_generous_size_keeps_every_bit():
    params = {"w": normal(100, 100)}
    assert jc.compress(params, target_bytes=10**6)["w"] is params["w"]


def test_reports_count_integers_complex_numbers_and_infinities():
    before = {
        "ids": np.arange(9).reshape(3, 3),
        "c": np.array([1 + 1j, 2]),
        "mask": np.array([-np.inf, 0.0]),
    }
    after = {"ids": np.zeros((3, 3), int), "c": np.array([1 + 0j, 2]), "mask": before["mask"]}
    found = errors(before, after)
    assert found["ids"] == 1 and found["c"] == pytest.approx(np.sqrt(1 / 6)) and found["mask"] == 0
    assert list(report(before, after).kept) == ["the same"]
    shifted = {"m": np.array([-np.inf, 1.0])}, {"m": np.array([-np.inf, 2.0])}
    assert errors(*shifted)["m"] == 1


def test_what_pruning_changed_is_not_called_exact():
    pruning = prune(TreeSource({"w": np.float32([[1, 2], [3, 40]])}), 0.25, max_error=1e-9)
    leaf, outcome = pruning.treat(0, Treatments(Treatment(way="relative", value=0.1)))
    np.testing.assert_array_equal(leaf, [[0, 2], [3, 40]])
    assert outcome.kept is None and outcome.relative_error == pytest.approx(1 / np.sqrt(1614))
