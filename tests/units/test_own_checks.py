"""Code that checks its own sizes: what is said of it, and how its groups are proved."""

import einops
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

import jaxcompress as jc

X = np.random.default_rng(0).normal(size=(5, 3)).astype("f")
MARK = "[sizes not tried: rebuild the module]"


def weights(**shapes):
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype("f") for name, shape in shapes.items()}


MLP = weights(a=(3, 8), b=(8, 6), c=(6, 2))


class WidthError(Exception):
    """Raised by a library of its own kind, without a word that could be recognised."""


class Mute(Exception):
    """An error that cannot be printed."""

    def __str__(self):
        raise RuntimeError


def asserts(w, n):
    assert w.shape[1] == n


def raises(w, n):
    if w.shape[1] != n:
        raise ValueError(f"expected {n} units, got {w.shape[1]}\nand a second line")


def raises_its_own(w, n):
    if w.shape[1] != n:
        raise WidthError


def raises_mute(w, n):
    if w.shape[1] != n:
        raise Mute


def looks_up(w, n):
    return {n: "known"}[w.shape[1]]


def stops(w, n):
    if w.shape[1] != n:
        raise StopIteration


def unpacks(w, n):
    (_,) = range(w.shape[1] - n + 1)


def parses(w, n):
    einops.rearrange(w, "i (h d) -> i h d", h=1, d=n)


def broken_inside(w, n):
    def deep(size):
        if size != n:
            raise KeyError(size)

    jax.jit(lambda v: [deep(v.shape[1]), v][1])(w)


CHECKS = [asserts, raises, raises_its_own, raises_mute, looks_up, stops, unpacks, parses]
CHECKS += [broken_inside]


def checked_mlp(check, width):
    """Return a chain of products whose first is checked to have `width` units."""

    def apply(p, x):
        check(p["a"], width)
        return jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]) @ p["c"]

    return apply


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_what_the_code_raises_marks_its_group_and_a_rebuild_proves_it(check):
    apply = checked_mlp(check, 8)
    groups = jc.unit_groups(apply, MLP, X)
    assert [(group.name, group.size) for group in groups] == [("a", 8), ("b", 6)]
    assert groups["a"].untried and not groups["b"].untried and groups.parted
    (row,) = [line for line in str(groups).splitlines() if MARK in line]
    assert row.startswith("a ")
    assert groups["a"].untried in groups.note and groups.note in str(groups)
    assert "\n" not in groups.note

    def rebuild(sizes):
        assert set(sizes) == {"a", "b", "c"} and all(type(n) is int for n in sizes["b"])
        return checked_mlp(check, sizes["a"][1])

    proved = jc.unit_groups(apply, MLP, X, rebuild=rebuild)
    assert proved.names == groups.names and not proved.note and MARK not in str(proved)
    assert list(jc.choose_units(MLP, groups, remove=0.5)) == ["b"]
    keep = jc.choose_units(MLP, proved, remove=0.5)
    assert jc.shrink(MLP, groups, keep)["a"].shape == (3, 4)
    for found in (groups, proved):
        assert jc.check_shrink(apply, MLP, found, keep, X, rebuild=rebuild) < 1e-5
    with pytest.raises(ValueError, match="must run on the cut parameters, .*; .*pass rebuild or"):
        jc.check_shrink(apply, MLP, groups, keep, X)


def test_the_error_is_named_by_its_type_and_first_line():
    groups = jc.unit_groups(checked_mlp(raises, 8), MLP, X)
    assert groups["a"].untried == "ValueError: expected 8 units, got 2"
    assert jc.unit_groups(checked_mlp(asserts, 8), MLP, X)["a"].untried.startswith("AssertionError")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_ends_a_program_ends_the_search(error):
    def apply(p, x):
        if p["a"].shape[1] != 8:
            raise error
        return x @ p["a"] @ p["b"]

    with pytest.raises(error):
        jc.unit_groups(apply, weights(a=(3, 8), b=(8, 2)), X)


def test_a_check_of_what_is_fed_in_concerns_no_group():
    def apply(p, x):
        if x.shape[1] != 3 or p["a"].shape[0] != 3:
            raise ValueError("three inputs")
        return jnp.tanh(x @ p["a"]) @ p["b"]

    (group,) = jc.unit_groups(apply, weights(a=(3, 8), b=(8, 2)), X)
    assert not group.untried


@pytest.mark.parametrize("checked", [0, 1, 2])
def test_a_check_of_one_layer_of_several_that_look_alike(checked):
    params = weights(layer0=(3, 8), layer1=(8, 8), layer2=(8, 8), last=(8, 2))

    def apply(p, x):
        for k in range(3):
            w = p[f"layer{k}"]
            if k == checked and w.shape[1] != 8:
                raise ValueError(f"layer {k}")
            x = jnp.tanh(x @ w)
        return x @ p["last"]

    groups = jc.unit_groups(apply, params, X)
    assert {g.name: g.untried for g in groups} == {
        f"layer{k}": f"ValueError: layer {k}" if k == checked else "" for k in range(3)
    }


def test_code_that_runs_and_does_something_else_stays():
    def apply(p, x):
        y = x @ p["a"]
        y = jnp.tanh(y) if y.shape[1] == 8 else jnp.sin(y)
        return jnp.tanh(y @ p["b"]) @ p["c"]

    groups = jc.unit_groups(apply, MLP, X)
    assert groups.names == ["b"] and not groups.note
    assert reasons(groups)["a:1"] == ("the code does not follow: tanh became sin",)


def reasons(groups):
    return {f"{axis.path}:{axis.axis}": axis.reasons for axis in groups.frozen}


def test_each_axis_has_the_reason_of_its_own_group():
    """Three groups that have nothing to do with each other, and one that is fine."""

    def apply(p, x):
        y = jnp.tanh(x @ p["a"]).reshape(5, 4, 2).reshape(5, 8)
        y = jnp.broadcast_to(y @ p["b"], (5, 6)) @ p["c"]
        y = y if y.shape[1] == 4 else jnp.sin(y)
        return jnp.tanh(y @ p["d"]) @ p["e"]

    params = weights(a=(3, 8), b=(8, 6), c=(6, 4), d=(4, 5), e=(5, 2))
    groups = jc.unit_groups(apply, params, X)
    assert groups.names == ["d"]
    why = reasons(groups)
    for one, other, text in (
        ("a:1", "b:0", "TypeError: cannot reshape array of shape (5,"),
        ("b:1", "c:0", "ValueError: Incompatible types for broadcasting"),
        ("c:1", "d:0", "equations became"),
    ):
        assert why[other] == why[one] and len(why[one]) == 1
        assert text in why[one][0]
    assert len({why[axis] for axis in ("a:1", "b:1", "c:1")}) == 3


def test_one_net_with_all_kinds_of_groups():
    def build(width):
        def apply(p, x):
            y = jnp.tanh(x @ p["free"])
            raises(p["checked"], width)
            y = jnp.tanh(y @ p["checked"])
            y = jnp.tanh(y @ p["stuck"]).reshape(5, 3, 2).reshape(5, 6)
            left, right = jnp.split(y @ p["pair"], 2, -1)
            return left @ p["left"] + right @ p["right"]

        return apply

    shapes = {"free": (3, 4), "checked": (4, 8), "stuck": (8, 6), "pair": (6, 8)}
    params = weights(**shapes, left=(4, 2), right=(4, 2))
    groups = jc.unit_groups(build(8), params, X)
    assert {group.name: bool(group.untried) for group in groups} == {
        "free": False, "checked": True, "pair": False}  # fmt: skip
    assert "cannot reshape" in reasons(groups)["stuck:1"][0]
    proved = jc.unit_groups(build(8), params, X, rebuild=lambda sizes: build(sizes["checked"][1]))
    assert [(g.name, g.untried) for g in proved] == [("free", ""), ("checked", ""), ("pair", "")]
    assert "the rebuilt code does not follow: TypeError" in reasons(proved)["stuck:1"][0]


def test_a_rebuild_proves_numbers_that_are_written_down_too():
    def build(heads, width):
        def apply(p, x):
            return (x @ p["a"]).reshape(5, heads, width).reshape(5, -1) @ p["b"]

        return apply

    params = weights(a=(3, 8), b=(8, 2))
    with pytest.raises(ValueError, match="^groups: must hold a group .*cannot reshape.*rebuild"):
        jc.choose_units(params, jc.unit_groups(build(4, 2), params, X), remove=0.5)
    groups = jc.unit_groups(
        build(4, 2), params, X, rebuild=lambda sizes: build(sizes["a"][1] // 2, 2)
    )
    (group,) = groups  # heads: those that this rebuild builds
    assert group.size == 4
    keep = jc.choose_units(params, groups, remove=0.5)
    error = jc.check_shrink(build(4, 2), params, groups, keep, X, small_apply=build(2, 2))
    assert error < 1e-5


class Kept(eqx.Module):
    """Keeps its sizes as attributes; JAX, not the module, finds out that they are others."""

    first: jax.Array
    second: jax.Array
    heads: int
    width: int

    def __call__(self, x):
        y = jnp.tanh(x @ self.first)
        return y.reshape(len(x), self.heads, self.width).reshape(len(x), -1) @ self.second


class Normed(eqx.Module):
    """Has a layer that compares shapes with its attributes."""

    first: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    second: eqx.nn.Linear

    def __init__(self, width, key):
        self.first = eqx.nn.Linear(3, width, key=key)
        self.norm = eqx.nn.LayerNorm(width)
        self.second = eqx.nn.Linear(width, 2, key=key)

    def __call__(self, x):
        return jax.vmap(lambda row: self.second(self.norm(jnp.sin(self.first(row)))))(x)


def as_function(model):
    """Return a model of Equinox as a function of its arrays."""
    arrays, static = eqx.partition(model, eqx.is_array)
    structure = jax.tree.structure(arrays)

    def apply(p, x):
        return eqx.combine(jax.tree.unflatten(structure, jax.tree.leaves(p)), static)(x)

    return arrays, apply


@pytest.mark.slow
def test_modules_of_equinox():
    key = jax.random.key(0)
    params, apply = as_function(Normed(8, key))
    (group,) = jc.unit_groups(apply, params, X)
    assert group.size == 8 and group.untried.startswith("ValueError: `LayerNorm(shape)(x)`")

    def rebuild(sizes):
        return as_function(Normed(sizes["first/weight"][0], key))[1]

    groups = jc.unit_groups(apply, params, X, rebuild=rebuild)
    assert [(g.size, g.untried) for g in groups] == [(8, "")]
    keep = jc.choose_units(params, groups, remove=0.5)
    assert jc.check_shrink(apply, params, groups, keep, X, rebuild=rebuild) < 1e-5


def test_a_module_that_keeps_a_size_is_one_that_checks_it():
    arrays = weights(first=(3, 8), second=(8, 2))
    model = Kept(jnp.asarray(arrays["first"]), jnp.asarray(arrays["second"]), 4, 2)
    params, apply = as_function(model)
    (group,) = jc.unit_groups(apply, params, X)  # heads: of two kinds on one axis the first
    assert group.size == 4 and "cannot reshape" in group.untried

    def rebuild(sizes):
        return as_function(Kept(model.first, model.second, sizes["first"][1] // 2, 2))[1]

    groups = jc.unit_groups(apply, params, X, rebuild=rebuild)
    assert [(g.size, g.untried) for g in groups] == [(4, "")]
    keep = jc.choose_units(params, groups, remove=0.5)
    assert jc.check_shrink(apply, params, groups, keep, X, rebuild=rebuild) < 1e-5


class Net(linen.Module):
    features: tuple[int, ...]

    @linen.compact
    def __call__(self, x):
        for width in self.features:
            x = linen.relu(linen.LayerNorm()(linen.Dense(width)(x)))
        return linen.Dense(2)(x)


def rebuilt_linen(sizes):
    return Net(tuple(sizes[f"params/Dense_{k}/kernel"][1] for k in range(2))).apply


@pytest.mark.slow
def test_modules_of_linen_are_rebuilt_and_proved():
    variables = Net((8, 6)).init(jax.random.key(0), X)
    groups = jc.unit_groups(Net((8, 6)).apply, variables, X)
    assert [g.untried.partition(":")[0] for g in groups] == ["ScopeParamShapeError"] * 2
    assert "Dense_0" in groups.groups[0].untried and "Dense_1" in groups.groups[1].untried
    proved = jc.unit_groups(Net((8, 6)).apply, variables, X, rebuild=rebuilt_linen)
    assert proved.names == groups.names and not any(g.untried for g in proved)
    keep = jc.choose_units(variables, proved, remove=0.5)
    error = jc.check_shrink(Net((8, 6)).apply, variables, proved, keep, X, rebuild=rebuilt_linen)
    assert error < 1e-5


class Transformed:
    """A function as Haiku transforms it: parameters are asked for by name and shape."""

    def __init__(self, net):
        self.net = net

    def apply(self, params, x):
        def get(name, shape):
            if params[name].shape != tuple(shape):
                raise ValueError(
                    f"{name!r} with retrieved shape {params[name].shape} does not match {shape}"
                )
            return params[name]

        return self.net(get, x)


def recurrent(units, gates):
    """Return a cell stepped along by `scan` that asks for all of its parameters by shape."""

    def net(get, x):
        kernel = get("kernel", (3 + units, gates * units))
        bias = get("bias", (gates * units,))

        def step(state, row):
            both = jnp.concatenate([row, state], -1)
            if both.shape[-1] != 3 + units:
                raise WidthError("the state of a cell has other units")
            parts = jnp.split(both @ kernel + bias, gates, -1)
            state = jnp.tanh(parts[0]) * jax.nn.sigmoid(parts[-1])
            state = state + sum(map(jnp.tanh, parts[1:-1]), jnp.zeros_like(state))
            return state, None

        state, _ = lax.scan(step, jnp.zeros((x.shape[1], units)), x)
        return state @ get("out", (units, 2))

    return Transformed(net).apply


@pytest.mark.parametrize("gates", [3, 4])
def test_cells_that_check(gates):
    params = weights(kernel=(11, gates * 8), bias=(gates * 8,), out=(8, 2))
    x = np.random.default_rng(2).normal(size=(4, 5, 3)).astype("f")
    apply = recurrent(8, gates)
    (group,) = jc.unit_groups(apply, params, x)
    assert group.size == 8 and group.untried.startswith("ValueError: 'kernel' with retrieved")

    def rebuild(sizes):
        return recurrent(sizes["out"][0], gates)

    groups = jc.unit_groups(apply, params, x, rebuild=rebuild)
    assert [(g.size, g.untried) for g in groups] == [(8, "")]
    keep = jc.choose_units(params, groups, remove=0.5)
    assert jc.shrink(params, groups, keep)["kernel"].shape == (7, gates * 4)
    assert jc.check_shrink(apply, params, groups, keep, x, rebuild=rebuild) < 1e-5


def test_units_that_only_a_rebuild_shows_to_go_together():
    def build(width):
        def apply(p, x):
            raises(p["a"], 2 * width)
            left, right = jnp.split(x @ p["a"], 2, -1)
            return left @ p["u"] + right @ p["v"]

        return apply

    params = weights(a=(3, 8), u=(4, 2), v=(4, 2))
    assert [g.size for g in jc.unit_groups(build(4), params, X)] == [4, 4]
    (group,) = jc.unit_groups(build(4), params, X, rebuild=lambda sizes: build(sizes["u"][0]))
    assert group.slices[0].indices.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_one_unit_is_compared_with_two_of_a_rebuilt_net():
    def build(heads):
        def apply(p, x):
            q, v = (jnp.einsum("td,dhe->hte", x, p[name]) for name in "qv")
            assert len(q) == heads
            return jnp.einsum("hte,heo->to", q @ q.swapaxes(1, 2) @ v, p["o"])

        return apply

    params = weights(q=(3, 4, 2), v=(3, 4, 2), o=(4, 2, 3))
    rebuild = lambda sizes: build(sizes["q"][1])  # noqa: E731
    groups = jc.unit_groups(build(4), params, X, rebuild=rebuild)
    keep = {g.name: np.arange(4) == 2 for g in groups if g.size == 4}
    assert jc.check_shrink(build(4), params, groups, keep, X, rebuild=rebuild) < 1e-4


def test_nothing_to_cut_is_said_aloud():
    params = weights(a=(3, 8), b=(8, 2))
    groups = jc.unit_groups(lambda p, x: jnp.sort(x @ p["a"], 1) @ p["b"], params, X)
    assert "Nothing can be cut" in str(groups)
    for share in (0.5, {}, {"a": 0.5}):
        with pytest.raises(ValueError, match=r"^groups: must hold .*a:1, b:0 \[no rule for sort\]"):
            jc.choose_units(params, groups, remove=share)
    assert "Nothing can be cut" not in str(jc.unit_groups(checked_mlp(raises, 8), MLP, X))
    unused = jc.unit_groups(lambda p, x: x, np.float32(1), X)
    with pytest.raises(ValueError, match="no parameter has units"):
        jc.choose_units(np.float32(1), unused, remove=0.5)


@pytest.mark.parametrize("keep", [{}, {"a": np.ones(8, bool)}])
def test_no_cut_is_no_proof(keep):
    def apply(p, x):
        return x @ p["a"] @ p["b"]

    params = weights(a=(3, 8), b=(8, 2))
    groups = jc.unit_groups(apply, params, X)
    with pytest.raises(ValueError, match="^keep: must remove a unit"):
        jc.check_shrink(apply, params, groups, keep, X)


def test_a_rebuild_that_builds_something_else_is_an_error():
    apply = checked_mlp(raises, 8)
    for wrong, text in (
        (lambda sizes: checked_mlp(raises, 7), "ValueError: expected 7 units, got 8"),
        (lambda sizes: checked_mlp(raises, sizes["z"]), "KeyError: 'z'"),
        (lambda sizes: None, "TypeError: 'NoneType' object is not callable"),
        (lambda sizes: lambda p, x: x @ p["a"] @ p["b"] @ p["c"], "5 equations became 3"),
    ):
        with pytest.raises(ValueError, match="^rebuild: must give the same function") as caught:
            jc.unit_groups(apply, MLP, X, rebuild=wrong)  # pyright: ignore[reportArgumentType]
        assert text in str(caught.value)
    groups = jc.unit_groups(apply, MLP, X)
    keep = {"a": np.arange(8) < 4}
    with pytest.raises(ValueError, match="got ValueError: expected 8 .* rebuild must give"):
        jc.check_shrink(apply, MLP, groups, keep, X, rebuild=lambda sizes: apply)
    with pytest.raises(ValueError, match="^small_apply, rebuild: .* got both"):
        jc.check_shrink(apply, MLP, groups, keep, X, rebuild=lambda _: apply, small_apply=apply)


NAMES = [f"{a}{b}" for a in "abcd" for b in "uvwxyz"]


def failing(names, widths, fails, fail):
    """Return a chain of products, some of which do not follow, and its parameters."""
    sizes = [3, *widths]
    shapes = dict(zip(names, zip(sizes, sizes[1:], strict=False), strict=True))
    params = weights(**shapes, last=(sizes[-1], 2))

    def apply(p, x):
        for name, width, wrong in zip(names, widths, fails, strict=True):
            x = x @ p[name]
            if wrong:
                fail(x, width)
        return x @ p["last"]

    return apply, params


def needs(x, width):
    jnp.add(jnp.zeros((len(x), width)), x)


def minds(x, width):
    assert x.shape[1] == width


@pytest.mark.slow
@pytest.mark.parametrize("fail", [needs, minds])
@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("names", [NAMES, [f"layer{k}" for k in range(24)]])
@pytest.mark.parametrize(("every", "most"), [(1, 36), (2, 48), (6, 40), (24, 24)])
def test_a_function_is_traced_few_times(fail, equal, names, every, most):
    """Of 24 groups each that fails needs a trace for its reason; all ways to cut need some more."""
    widths = [8 if equal else 6 + k for k in range(24)]
    fails = [k % every == every // 2 for k in range(24)]
    apply, params = failing(names, widths, fails, fail)
    calls = []

    def counted(p, x):
        calls.append(None)
        return apply(p, x)

    groups = jc.unit_groups(counted, params, X)
    wrong = [name for name, fails in zip(names, fails, strict=True) if fails]
    untried = [group.name for group in groups if group.untried]
    assert untried == (wrong if fail is minds else [])
    assert len(groups) == (24 if fail is minds else 24 - len(wrong))
    assert len(calls) <= most
