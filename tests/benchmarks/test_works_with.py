"""Networks of other libraries go through everything; what fails stands there with its reason."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.works_with import run as works_with
from benchmarks.works_with.cases import Case, Source, normal
from benchmarks.works_with.trials import trials

pytest.importorskip("jax2onnx")


def dense(params, x):
    return jax.nn.relu(x @ params["in"] + params["bias"]) @ params["out"]


@pytest.mark.slow
def test_every_step_has_an_outcome():
    params = {"in": normal(6, 40), "bias": normal(40), "out": normal(40, 3)}
    found = trials(Case(dense, params, (normal(4, 6),)))
    assert found["trace"]["parameters"] == 400 and found["trace"]["coverage"] == 1
    assert found["trace"]["groups"] == 1 and found["trace"]["units"] == 40
    assert found["cut"]["kept"] == 0.75 and found["cut"]["difference"] < 1e-6
    assert 0 < found["quantize"]["weights"] < found["quantize"]["simulated"] < 0.05
    assert max(found["execute"].values()) < 1e-5 and len(found["execute"]) == 3
    assert found["export"]["difference"] < 1e-5 and found["export"]["any_batch"]
    assert found["file"]["ratio"] > 0.5


@pytest.mark.slow
def test_a_step_that_fails_says_why_and_the_others_go_on():
    params = {"w": normal(3, 3)}
    found = trials(Case(lambda p, x: jnp.linalg.inv(x) @ p["w"], params, (normal(2, 3, 3),)))
    assert found["export"]["failed"].startswith("ValueError: apply: must be what jax2onnx can")
    assert "failed" not in found["file"]


def test_a_missing_package_skips_its_network_by_name(monkeypatch, capsys):
    def make():
        raise AssertionError("it must not be made")

    network = Source(("numpy", "no-such-package-here"), make)
    monkeypatch.setitem(works_with.NETWORKS, "a network", network)
    row = works_with.row("a network")
    assert row["skipped"] == "no-such-package-here" and "trials" not in row
    assert capsys.readouterr().out == "a network: skipped, no-such-package-here is not installed\n"
