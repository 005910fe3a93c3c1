"""What cannot be traced is an error that says so; what needs no unit leaves all as they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc

PARAMS = {"w": np.ones((3, 4), np.float32)}
X = np.ones((2, 3), np.float32)


def check_shrink(apply, params, *inputs):
    groups = jc.unit_groups(lambda p, x: x @ p["w"], PARAMS, X)
    return jc.check_shrink(apply, params, groups, {}, *inputs)


WALKERS = pytest.mark.parametrize("walk", [jc.unit_groups, jc.flops, check_shrink])


@WALKERS
def test_inputs_that_are_no_arrays(walk):
    apply = lambda p, x: x["image"] @ p["w"]  # noqa: E731
    with pytest.raises(TypeError, match=r"inputs\[0\]/name: must be an array, got str; pass what"):
        walk(apply, PARAMS, {"image": X, "name": "cat"})
    with pytest.raises(TypeError, match=r"inputs\[1\]: must be an array of numbers, got dtype <U3"):
        walk(apply, PARAMS, {"image": X}, np.array(["cat"]))
    with pytest.raises(TypeError, match="act: leaves must be arrays, got function"):
        walk(apply, {"act": lambda x: x}, {"image": X})


@WALKERS
@pytest.mark.parametrize(
    ("result", "got"), [(None, "None"), ("x", "str"), ({}, "dict"), ([object()], "object")]
)
def test_results_that_are_no_arrays(walk, result, got):
    with pytest.raises(TypeError, match=f"apply: must return arrays, got {got}; return what"):
        walk(lambda p, x: result, PARAMS, X)


def branching(p, x):
    return x @ p["w"] if x.sum() > 0 else x


def choosing(p, x):
    return (x @ p["w"])[x[:, 0] > 0]


def as_numpy(p, x):
    return np.asarray(x) @ p["w"]


def counting(p, x):
    return jnp.zeros(int(x.sum())) + p["w"].sum()


def looping(p, x):
    return sum(x for _ in range(jnp.argmax(p["w"])))


@WALKERS
@pytest.mark.parametrize("apply", [branching, choosing, as_numpy, counting, looping])
def test_shapes_and_branches_that_depend_on_data(walk, apply):
    with pytest.raises(ValueError, match="apply: must be traceable with abstract values") as caught:
        walk(apply, PARAMS, X)
    assert "\n" not in str(caught.value) and "must not depend on data" in str(caught.value)
    assert isinstance(caught.value.__cause__, jax.errors.JAXTypeError | jax.errors.JAXIndexError)


@WALKERS
def test_inputs_that_do_not_match_the_parameters(walk):
    with pytest.raises(ValueError, match="apply: must run on the parameters and inputs") as caught:
        walk(lambda p, x: x @ p["w"], PARAMS, np.ones((2, 5), np.float32))
    text = str(caught.value)
    assert "got TypeError: dot_general requires" in text and "inputs[0]: float32[2,5]" in text
    with pytest.raises(ValueError, match=r"got KeyError: 'v'; check the shapes"):
        walk(lambda p, x: x @ p["v"], PARAMS, X)
    with pytest.raises(ValueError, match=r"given, got TypeError: .*\(none\)"):
        walk(lambda p, x: x @ p["w"], PARAMS)


def reasons(groups):
    return {f"{axis.path}:{axis.axis}": axis.reasons for axis in groups.frozen}


def test_parameters_of_which_no_result_is_made_stay():
    def apply(p, x):
        y = x @ p["a"]
        jnp.tanh(y * p["tied"]) @ p["dead"]
        return y @ p["b"]

    shapes = {"a": (3, 4), "b": (4, 2), "never": (5, 6), "tied": (4,), "dead": (4, 7)}
    params = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    groups = jc.unit_groups(apply, params, X)
    assert groups.names == ["a"] and groups["a"].size == 4
    assert {part.path for part in groups["a"].slices} == {"a", "b", "tied", "dead"}
    why = reasons(groups)
    assert why["never:0"] == why["never:1"] == why["dead:1"] == ("unused",)


def sorted_steps(p, x):
    order = jnp.argsort(x @ p["a"], 1)
    return (jnp.sort(x @ p["a"], 1) + order) @ p["b"]


def spectrum(p, x):
    return jnp.fft.fft(x @ p["a"], axis=1).real @ p["b"]


def largest(p, x):
    return jax.lax.top_k((x @ p["a"]).swapaxes(1, 2), 2)[0].swapaxes(1, 2) @ p["b"]


@pytest.mark.parametrize("apply", [sorted_steps, spectrum, largest])
def test_sorting_and_transforming_along_one_axis_leaves_the_others(apply):
    rng = np.random.default_rng(0)
    shapes = {"a": (3, 6), "b": (6, 2)}
    params = {n: rng.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    groups = jc.unit_groups(apply, params, x)
    assert [(group.name, group.size) for group in groups] == [("a", 6)]
    keep = {"a": np.arange(6) % 2 == 0}
    assert jc.check_shrink(apply, params, groups, keep, x) <= 1e-5


def test_the_axis_that_is_sorted_or_transformed_stays():
    params = {"a": np.ones((3, 6), np.float32), "b": np.ones((3, 2), np.float32)}
    for apply, name in (
        (lambda p, x: jax.lax.top_k(x @ p["a"], 3)[0] @ p["b"], "top_k"),
        (lambda p, x: jnp.fft.fft(x @ p["a"])[:, :3].real @ p["b"], "fft"),
        (lambda p, x: jnp.sort(x @ p["a"])[:, :3] @ p["b"], "sort"),
    ):
        groups = jc.unit_groups(apply, params, X)
        assert not len(groups) and reasons(groups)["a:1"] == (f"no rule for {name}",)
        assert "a" in groups.unknown[name]
