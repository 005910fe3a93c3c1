"""The recipe that prunes to 2:4: which neighbours, which kernels, and what the file holds."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from pipelines.stages.patterns import prune
from pipelines.stages.stage import Work
from tests.helpers.commands import results_of, tiny


def apply(tree, x):
    params = tree["params"]
    x = x @ params["in_out"]["kernel"]
    x = x @ params["out_in"]["kernel"].T
    return x @ params["odd"]["kernel"] + params["bias"]


@pytest.mark.slow
def test_neighbours_lie_along_the_axis_that_is_summed():
    kernel = np.array([[1, 8], [2, 7], [3, 6], [4, 5]], "f")
    params = {
        "in_out": {"kernel": kernel},
        "out_in": {"kernel": np.array([[9, 1], [1, 9], [9, 9]], "f")},
        "odd": {"kernel": np.ones((3, 2), "f")},
        "bias": np.ones(2, "f"),
    }
    job = SimpleNamespace(apply=apply, sample=lambda count: jnp.ones((count, 4)))
    work, facts = prune(job, Work(params, {}))
    assert work.params["in_out"]["kernel"].tolist() == [[0, 8], [0, 7], [3, 0], [4, 0]]
    assert facts == {"pattern": "2:4", "whole": ["odd/kernel", "out_in/kernel"]}
    np.testing.assert_array_equal(work.params["out_in"]["kernel"], params["out_in"]["kernel"])
    assert work.mask["bias"].all() and work.mask["odd"]["kernel"].all()


def test_transposed_kernels_have_their_neighbours_in_rows():
    params = {"kernel": np.array([[1, 4, 2, 3], [4, 1, 3, 2]], "f")}  # [out, in]
    job = SimpleNamespace(
        apply=lambda tree, x: x @ tree["params"]["kernel"].T,
        sample=lambda count: jnp.ones((count, 4)),
    )
    work, _ = prune(job, Work(params, {}))
    assert work.params["kernel"].tolist() == [[0, 4, 0, 3], [4, 0, 3, 0]]


def test_biases_of_heads_are_left_alone():
    """A bias of rank 2 is in no product: nothing sums over its axes."""
    params = {"kernel": np.arange(1, 33, dtype="f").reshape(4, 4, 2), "bias": np.ones((4, 2), "f")}
    job = SimpleNamespace(
        apply=lambda tree, x: (
            jnp.einsum("bi,ihk->bhk", x, tree["params"]["kernel"]) + tree["params"]["bias"]
        ),
        sample=lambda count: jnp.ones((count, 4)),
    )
    work, facts = prune(job, Work(params, {}))
    assert work.mask["bias"].all() and facts["whole"] == []
    np.testing.assert_array_equal(np.sum(work.mask["kernel"], axis=0), np.full((4, 2), 2))


def test_a_network_that_no_pattern_fits_is_refused():
    job = SimpleNamespace(
        apply=lambda tree, x: x @ tree["params"]["kernel"],
        sample=lambda count: jnp.ones((count, 3)),
    )
    with pytest.raises(ValueError, match="^kernel: no kernel sums over a multiple of 4 inputs"):
        prune(job, Work({"kernel": np.ones((3, 2), "f")}, {}))


@pytest.mark.slow
def test_the_pattern_is_in_the_file(tmp_path):
    assert tiny(tmp_path / "run", "--recipe", "prune-2:4") == 0
    results = results_of(tmp_path / "run")
    names = ["baseline", "pruned 2:4", "pruned + tuned", "shared", "shared + tuned", "reloaded"]
    assert [row["name"] for row in results["stages"]] == names and results["reload_exact"]
    assert results["stages"][1]["facts"] == {"pattern": "2:4", "whole": []}
    assert results["stages"][2]["sparsity"] == 0.5
    for layer in jc.load(tmp_path / "run/compressed.npz")["params"].values():
        lanes = np.asarray(layer["kernel"]).reshape(-1, 4, layer["kernel"].shape[-1])
        assert ((lanes != 0).sum(1) <= 2).all()
