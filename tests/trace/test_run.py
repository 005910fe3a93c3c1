"""Running a traced function equation by equation: the same results, and a look at any of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.products.find import keeps_derivatives
from jaxcompress.trace.program import bind, trace
from jaxcompress.trace.run import Outcome, run
from tests.helpers.traced_nets import make


@pytest.mark.parametrize("name", ["scanned", "recurrent", "branches"])
def test_running_changes_nothing(name):
    apply, params, inputs = make(name)
    program = trace(apply, params, *inputs)
    leaves = jax.tree.leaves((params, *inputs))
    results, _ = jax.jit(lambda leaves: run(program, leaves, lambda *_: None))(leaves)
    wanted = jax.tree.leaves(jax.jit(apply)(params, *inputs))
    for one, other in zip(results, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def looped(w, x):
    h, _ = lax.scan(lambda h, row: (h @ w, None), x, jnp.zeros(3))
    h = lax.fori_loop(0, jnp.int32(2), lambda _, h: h @ w, h)
    return lax.cond(h.sum() > 0, lambda h: h @ w, lambda h: -(h @ w), h)


def test_what_bodies_see_is_stacked_over_the_turns_of_a_scan():
    w, x = jnp.full((1, 1), 2.0), jnp.ones((1, 1))
    program = trace(looped, w, x)

    def visit(key, equation, operands):
        if equation.name != "dot_general":
            return None
        return Outcome(bind(equation, operands), operands[0].sum())

    results, seen = run(program, [w, x], visit)
    assert results[0].item() == 2.0**6
    (key,) = seen  # of the while loop and the branches nothing
    assert len(key) == 3 and seen[key].tolist() == [1.0, 2.0, 4.0]


def test_an_equation_is_replaced_wherever_it_stands():
    def visit(key, equation, operands):
        return Outcome([operands[0]]) if equation.name == "dot_general" else None

    w, x = jnp.full((1, 1), 2.0), jnp.ones((1, 1))
    assert run(trace(looped, w, x), [w, x], visit)[0][0].item() == 1.0


def test_derivatives_of_its_own_stay_where_calls_are_kept():
    @jax.custom_vjp
    def straight(x):
        return jnp.round(x)

    straight.defvjp(lambda x: (jnp.round(x), None), lambda _, g: (g,))

    def apply(w, x):
        return jnp.sum(straight(jax.nn.relu(x * w)))

    def derivative(keep):
        program = trace(apply, 1.0 * jnp.ones(2), jnp.ones(2), keep=keep)
        return jax.grad(lambda w: run(program, [w, jnp.ones(2)], lambda *_: None)[0][0])(
            jnp.array([1.25, 0.0])
        ).tolist()

    assert (
        derivative(keeps_derivatives)
        == [1.0, 0.0]
        == jax.grad(apply)(jnp.array([1.25, 0.0]), jnp.ones(2)).tolist()
    )
    assert derivative(lambda call: False) != [1.0, 0.0]


def test_the_structure_of_the_results_is_known():
    program = trace(lambda p, x: {"a": x, "b": (x, x)}, {}, np.ones(2))
    assert jax.tree.unflatten(program.structure, [1, 2, 3]) == {"a": 1, "b": (2, 3)}
