"""Filters that do the same, ranks, idle weights and dead units, against what is known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress.planner import Task, redundancy

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((64, 6)).astype(np.float32)


def dense(params, x):
    return jax.nn.relu(x @ params["in"]["kernel"] + params["in"]["bias"]) @ params["out"]["kernel"]


def dense_params():
    return {
        "in": {
            "kernel": RANDOM.standard_normal((6, 8)).astype(np.float32),
            "bias": np.zeros(8, np.float32),
        },
        "out": {"kernel": RANDOM.standard_normal((8, 3)).astype(np.float32)},
    }


def by_path(task, **asked):
    return {row.path: row for row in redundancy(task, **asked).layers}


def test_twice_a_filter_is_found():
    params = dense_params()
    params["in"]["kernel"][:, 5] = 3 * params["in"]["kernel"][:, 2]
    params["in"]["kernel"][:, 7] = -params["in"]["kernel"][:, 2]  # the opposite is not the same
    row = by_path(Task(dense, params, example=(X,)), similar=0.999)["in/kernel"]
    assert row.filters == 8 and row.alike == 1 and row.pair == (2, 5)
    assert row.cosine == pytest.approx(1)


def test_cosines_are_those_of_the_outputs():
    params = dense_params()
    kernel = params["in"]["kernel"]
    row = by_path(Task(dense, params, example=(X,)))["in/kernel"]
    outputs = X @ kernel
    cosines = np.corrcoef(outputs.T) * 0 + (outputs.T @ outputs)
    norms = np.linalg.norm(outputs, axis=0)
    cosines = np.tril(cosines / np.outer(norms, norms), -1)
    assert row.cosine == pytest.approx(cosines.max(), abs=1e-4)


def test_filters_without_inputs_are_like_none():
    params = dense_params()
    params["in"]["kernel"][:, :] = 0
    params["in"]["kernel"][0, 0] = 1
    row = by_path(Task(dense, params, example=(X,)))["in/kernel"]
    assert row.alike == 0 and row.cosine == 0


def test_ranks_by_hand():
    params = dense_params()
    left = np.linalg.qr(RANDOM.standard_normal((6, 6)))[0][:, :3]
    right = np.linalg.qr(RANDOM.standard_normal((8, 8)))[0][:3]
    params["in"]["kernel"] = (left @ np.diag([2.0, 2.0, 0.001]) @ right).astype(np.float32)
    row = by_path(Task(dense, params, example=(X,)))["in/kernel"]
    assert row.energy_rank == 2 and row.full_rank == 6
    assert row.effective_rank == pytest.approx(2, abs=0.02)


def test_weights_of_silent_inputs_are_idle():
    silent = X.copy()
    silent[:, 3:] = 0  # half of the inputs
    row = by_path(Task(dense, dense_params(), example=(silent,)), bound=1e-9)["in/kernel"]
    assert 0.5 <= row.idle < 0.6


def test_idle_weights_can_be_removed():
    params = dense_params()
    task = Task(dense, params, example=(X,))
    fractions = [by_path(task, bound=bound)["out/kernel"].idle for bound in (1e-6, 0.01, 0.2)]
    assert fractions == sorted(fractions) and fractions[-1] > 0.1
    moments = np.maximum(X @ params["in"]["kernel"], 0) ** 2
    scores = params["out"]["kernel"] ** 2 * moments.sum(0)[:, None]
    left = params["out"]["kernel"].ravel().copy()
    left[np.argsort(scores.ravel())[: round(fractions[-1] * left.size)]] = 0
    changed = {**params, "out": {"kernel": left.reshape(8, 3)}}
    exact = dense(params, X)
    assert float(jnp.sum((dense(changed, X) - exact) ** 2) / jnp.sum(exact**2)) <= 0.2 + 1e-6


def test_units_that_are_always_zero_are_dead():
    params = dense_params()
    params["in"]["bias"][[1, 4]] = -100
    found = by_path(Task(dense, params, example=(X,)))
    assert found["in/kernel"].dead == 2
    assert found["out/kernel"].dead is None  # outputs are no units


def test_a_convolution_and_its_table():
    kernel = RANDOM.standard_normal((3, 3, 2, 4)).astype(np.float32)
    kernel[..., 3] = kernel[..., 0]
    params = {"conv": kernel, "head": RANDOM.standard_normal((4, 3)).astype(np.float32)}

    def apply(params, x):
        dims = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, params["conv"], (1, 1), "SAME", dimension_numbers=dims)
        return jax.nn.relu(x).mean((1, 2)) @ params["head"]

    images = RANDOM.standard_normal((8, 6, 6, 2)).astype(np.float32)
    found = redundancy(Task(apply, params, example=(images,)))
    row = found.layers[0]
    assert row.pair == (0, 3) and row.alike == 1 and row.full_rank == 4 and row.energy_rank <= 3
    assert "0, 3: 1.000" in str(found) and "3x3x2x4" in str(found)


def test_weights_of_which_nothing_is_known_are_named():
    params = {"w": np.eye(6, dtype=np.float32), "twice": np.eye(6, dtype=np.float32)}
    found = redundancy(Task(lambda p, x: x @ p["w"] @ jnp.tanh(p["twice"]), params, example=(X,)))
    assert [row.path for row in found.layers] == ["w"]
    assert "twice: " in str(found) and found.left_out["twice"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"similar": 0}, "similar"), ({"similar": 1.5}, "similar"), ({"bound": 0}, "bound")],
)
def test_bad_values_are_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        redundancy(Task(dense, dense_params(), example=(X,)), **asked)


def test_a_task_that_cannot_be_run_is_refused():
    with pytest.raises(ValueError, match="redundancy: needs apply and example"):
        redundancy(Task(None, dense_params()))
