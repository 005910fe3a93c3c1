"""`pack --apply`: levels chosen by running a function on inputs."""

import numpy as np
import pytest

import jaxcompress as jc
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)
MODEL = """
import jax
import jax.numpy as jnp

LIMIT = 3


def apply(params, x):
    return jnp.tanh(x @ params["a/kernel"]) @ params["b/kernel"] + params["b/bias"]


def named(params, x):
    return x @ params["w.weight"].T


def looped(params, x):
    words = params["b/kernel"][(x[:, 0] > 0).astype(int)]
    turn = lambda state: (state[0] + 1, state[1] + 1)
    return jax.lax.while_loop(lambda state: state[0] < 2, turn, (0, words))[1]


def wrong(params, x):
    return x @ params["c/kernel"]
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mix = RNG.normal(size=(6, 40))
    np.savez("x.npz", x=(RNG.normal(size=(200, 6)) @ mix).astype("f"))
    tree = {
        "a/kernel": RNG.normal(size=(40, 32)).astype("f") / 6,
        "b/kernel": RNG.normal(size=(32, 30)).astype("f") / 6,
        "b/bias": RNG.normal(size=30).astype("f"),
    }
    np.savez("net.npz", **tree)
    name = f"model_{tmp_path.name}"  # imported once each
    (tmp_path / f"{name}.py").write_text(MODEL)
    return name


def pack(here, *more, function="apply"):
    words = ("pack", "net.npz", "-o", "small.npz", "--calibrate", "x.npz")
    return run(*words, "--apply", f"{here}:{function}", *more)


def error_of(said):
    return float(said.out.split("relative error ")[-1].split()[0])


@pytest.mark.slow
def test_a_file_of_a_size_keeps_outputs_better_than_one_without_data(here):
    said = pack(here, "--target-size", "2500")
    assert "outputs on 28 rows held out of x.npz" in said.out
    small = jc.load("small.npz")
    run("pack", "net.npz", "-o", "other.npz", "--target-size", "2500")
    with np.load("net.npz") as file, np.load("x.npz") as inputs:
        whole, x = dict(file), inputs["x"]

    def outputs(tree):
        tree = {path.replace("/", "."): leaf for path, leaf in tree.items()}
        return np.tanh(x @ tree["a.kernel"]) @ tree["b.kernel"] + tree["b.bias"]

    def flat(tree):
        return (
            tree
            if "a/kernel" in tree
            else {f"{m}/{k}": v for m in tree for k, v in tree[m].items()}
        )

    exact, fitted, plain = (outputs(flat(tree)) for tree in (whole, small, jc.load("other.npz")))
    error, other = (np.linalg.norm(found - exact) for found in (fitted, plain))
    assert error < 0.7 * other
    assert jc.size_bytes(jc.load_compressed("small.npz")) <= 2600
    last = np.arange(6, 200, 7)  # of seven batches that are mixed
    held_out = np.linalg.norm((fitted - exact)[last]) / np.linalg.norm(exact[last])
    assert error_of(said) == pytest.approx(held_out, rel=0.02)
    assert jc.inspect("small.npz")["metadata"]["pack"]["quantizer"] == "fitted"


@pytest.mark.slow
def test_a_damage_is_aimed_at(here):
    fine, coarse = (error_of(pack(here, "--damage", damage)) for damage in (0.0004, 0.01))
    assert 0.01 < fine < 0.04 and 0.05 < coarse < 0.2
    assert 0.05 < error_of(pack(here)) < 0.2  # the default


def test_tensors_with_rules_and_outside_of_the_scope(here):
    pack(here, "--exclude", "b/kernel")
    with np.load("net.npz") as file:
        small = jc.load_compressed("small.npz")
        leaves = small if "b/kernel" in small else {"b/kernel": small["b"]["kernel"]}
        np.testing.assert_array_equal(jc.dense(leaves)["b/kernel"], file["b/kernel"])


def test_few_rows_are_used_whole_and_that_is_said(here):
    with np.load("x.npz") as file:
        np.savez("x.npz", x=file["x"][:50])
    said = pack(here)
    assert "outputs on 50 rows of x.npz" in said.out
    assert "of others the error is larger" in said.out


def test_tables_of_a_function_without_gradients_are_rounded_to_the_nearest(here):
    said = pack(here, "--exclude", "a/kernel", function="looped")
    assert "  tables are rounded to the nearest: " in said.out and "while_loop" in said.out


def test_safetensors_of_another_library(here):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"w.weight": RNG.normal(size=(30, 40)).astype("f")}, "net.safetensors")
    words = ("pack", "net.safetensors", "-o", "small.npz", "--calibrate", "x.npz")
    said = run(*words, "--target-size", "2KB", "--apply", f"{here}:named")
    assert error_of(said) < 0.2 and set(jc.load("small.npz")) == {"w.weight"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bits", 4], "--apply: chooses levels by what they do to outputs; leave out --bits"),
        (
            ["--lossless"],
            "--apply: chooses levels by what they do to outputs; leave out --lossless",
        ),
        (["--damage", 0.1, "--target-size", "2KB"], "--damage: goes with --apply, without"),
        (["--damage", -1], "--damage: must be"),
        (["--target-size", "700"], "cannot be made, the smallest has"),
    ],
)
def test_options_that_do_not_go_together(here, words, message):
    start = ("pack", "net.npz", "-o", "small.npz", "--calibrate", "x.npz")
    assert message in refused(*start, "--apply", f"{here}:apply", *words)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("apply", "--apply: must be MODULE:FUNCTION, got 'apply'"),
        ("no_such_module:apply", "must be importable here, got ModuleNotFoundError"),
        ("{here}:nothing", "must be importable here, got AttributeError"),
        ("{here}:LIMIT", "must be a function, got int"),
        ("{here}:wrong", "must run on x.npz, got ValueError: apply: must run"),
    ],
)
def test_functions_that_cannot_be_used(here, entry, message):
    start = ("pack", "net.npz", "-o", "small.npz", "--calibrate", "x.npz")
    assert message in refused(*start, "--apply", entry.format(here=here))


def test_inputs_that_cannot_be_used(here):
    start = ("pack", "net.npz", "-o", "small.npz")
    assert "--apply: needs inputs" in refused(*start, "--apply", f"{here}:apply")
    np.savez("y.npz", x=np.ones((3, 40), "f"), y=np.ones(2, "f"))
    words = (*start, "--apply", f"{here}:apply", "--calibrate", "y.npz")
    assert "y.npz: arrays must have as many samples each" in refused(*words)
    assert "--damage: goes with --apply" in refused(*start, "--damage", 0.1)
