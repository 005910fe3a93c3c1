"""Steps of grids for files of layout entropy: the rule, and weights beyond its reach."""

import numpy as np

from benchmarks.grids import on_grids, probes, steps_for

KERNEL = np.array([[0.1, -0.24], [3.0, 0.1], [0.31, -0.1]], np.float32)


def test_rows_with_larger_weights_have_steps_of_their_own():
    leaf = on_grids({"kernel": KERNEL}, {"kernel": 0.01})["kernel"]
    assert leaf.scale.shape == (3, 1)
    np.testing.assert_allclose(leaf.scale[:, 0], [0.01, 3 / 127, 0.01], rtol=1e-6)
    np.testing.assert_array_equal(leaf.values, [[10, -24], [127, 4], [31, -10]])
    assert on_grids({"kernel": KERNEL}, {"kernel": 0.1})["kernel"].scale.shape == (1, 1)


def test_every_weight_does_as_much_damage_as_any_other():
    params = {
        "a": {"kernel": np.ones((2, 3))},
        "b": {"kernel": np.ones((4, 6))},
        "bias": np.ones(9),
    }
    steps = steps_for(
        params, {"a/kernel": 0.5, "b/kernel": 2.0}, {"a/kernel": 0.04, "b/kernel": 0.01}, 0.05
    )
    # A fifth of 0.05 is for `a`, a quarter of what it did; the rest for `b`, four times as much.
    np.testing.assert_allclose([steps["a/kernel"], steps["b/kernel"]], [0.25, 4.0])


def test_kernels_and_embeddings_are_probed_and_biases_are_not():
    params = {"kernel": KERNEL, "bias": np.ones((2, 2)), "embedding": KERNEL}
    assert probes(params).keys() == {"kernel", "embedding"}
