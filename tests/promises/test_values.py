"""Leaves without values of their own: shapes, and arrays whose masks would be lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.prune import Slice, UnitGroup, l1_score

SHAPES = {"b": jax.ShapeDtypeStruct((8,), "f"), "w": jax.ShapeDtypeStruct((16, 8), "f")}
MASKED = {"b": np.ones(8, "f"), "w": np.ma.masked_less(np.arange(128, dtype="f"), 9).reshape(16, 8)}


def product(params, x):
    return x @ params["w"] + params["b"]


def score_of(score):
    part = Slice("w", 1, np.arange(8)[:, None])
    group = UnitGroup(name="w", size=8, slices=(part,), changes_function=False, parameters=16)
    return lambda p: score(p, [group])


X = np.ones((2, 16), "f")
NEED_VALUES = {
    "magnitude": lambda p: jc.magnitude_mask(p, 0.5),
    "layerwise": lambda p: jc.layerwise_mask(p, 0.5),
    "2:4": jc.prune.nm_mask,
    "mask": lambda p: jc.apply_mask(p, jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), p)),
    "k-means": lambda p: jc.kmeans(p, 3),
    "uniform": lambda p: jc.uniform(p, 1.0),
    "entropy-constrained": lambda p: jc.entropy_constrained(p, 0.1),
    "compress": lambda p: jc.compress(p, clusters=3),
    "half": jc.leaves.half,
    "quantize": jc.quantize,
    "low rank": lambda p: jc.low_rank(p, keep=0.8),
    "plan ranks": lambda p: jc.lowrank.plan_ranks(p, keep=0.8),
    "sparse": jc.leaves.sparse,
    "sparsity": jc.measure_sparsity,
    "distinct": jc.metrics.count_distinct,
    "l1 score": score_of(l1_score),
    "calibrate": lambda p: jc.calibrate(product, p, [X]),
    "moments": lambda p: jc.quantization.input_moments(product, p, [X]),
    "latency": lambda p: jc.latency_ms(product, p, X, calls=2, warm_up=1),
    "quantization-aware": lambda p: jc.quantization_aware(product, None).init(p, X),
}
NEED_SHAPES = {
    "random": lambda p: jc.prune.random_mask(p, 0.5, key=jax.random.key(0)),
    "erk": lambda p: jc.prune.erk_sparsities(p, 0.5),
    "gradual": lambda p: jc.gradual_pruning(0.5, begin=0, end=1).init(p),
    "bound": jc.metrics.entropy_bound_bytes,
    "groups": lambda p: len(jc.unit_groups(lambda p, x: jnp.tanh(product(p, x)) @ p["w"].T, p, X)),
    "flops": lambda p: jc.flops(product, p, X).total,
}


@pytest.mark.parametrize("name", NEED_VALUES)
def test_shapes_are_named_where_values_are_needed(name):
    rule = "^[bw]: leaves must be arrays with values, got a shape, ShapeDtypeStruct; pass the wei"
    with pytest.raises(TypeError, match=rule):
        NEED_VALUES[name](SHAPES)


@pytest.mark.parametrize("name", NEED_SHAPES)
def test_shapes_do_where_no_values_are_needed(name):
    ones = {path: np.ones(leaf.shape, "f") for path, leaf in SHAPES.items()}
    found, expected = (jax.tree.leaves(NEED_SHAPES[name](tree)) for tree in (SHAPES, ones))
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [*NEED_VALUES, *NEED_SHAPES, "dense", "decoded", "save", "hold"])
def test_masks_of_numpy_are_not_dropped(tmp_path, name):
    others = {
        "dense": jc.dense,
        "decoded": jc.decoded,
        "save": lambda p: jc.save(tmp_path / "m.npz", p),
        "hold": lambda p: jc.hold_mask(jc.magnitude_mask({"w": np.ones((16, 8))}, 0.5)).init(p),
    }
    with pytest.raises(TypeError, match=r"^w: leaves must be arrays without masks of numpy, got"):
        (NEED_VALUES | NEED_SHAPES | others)[name](MASKED)
