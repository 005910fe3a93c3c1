"""Leaves solved for: every primitive that can be undone, and what must not be touched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.rewrite._solve import INVERSES, solve
from jaxcompress.rewrite.values import Values, tolerance

EXPRESSIONS = {
    "add": lambda p: 3 + p,
    "sub": lambda p: p - 1,
    "sub from": lambda p: 5 - p,
    "mul": lambda p: p * 2,
    "div": lambda p: p / 4,
    "div by": lambda p: 4 / p,
    "neg": lambda p: -p,
    "rsqrt": lambda p: lax.rsqrt(p + 1e-5),
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "integer_pow": lambda p: lax.integer_pow(p, 3),
    "exp": jnp.exp,
    "moves": lambda p: p[::-1, None].reshape(1, 3).T.astype(jnp.float32)[1:],
}


def values_of(expression, tree):
    """Return the values of `expression(tree) * x`, and the operand that the expression is."""
    values = Values.of(lambda p, x: expression(p) * x, tree, (np.float32(1),))
    return values, values.program.equations[-1].operands[0], values.readers(0)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_leaf_is_found_for_a_value(name):
    leaf, wanted = np.array([1.0, 2.0, 3.0], np.float32), np.array([4.0, 5.0, 6.0], np.float32)
    values, operand, ends = values_of(EXPRESSIONS[name], leaf)
    target = np.asarray(EXPRESSIONS[name](wanted), np.float64)
    solved = solve(values, operand, target, ends)
    untouched = 1 if name == "moves" else 3  # the last entry comes first, and is cut off
    np.testing.assert_allclose(solved.leaves[0][:untouched], wanted[:untouched], rtol=1e-4)
    np.testing.assert_allclose(solved.value(operand), target, rtol=1e-4)
    assert values.leaves[0] is leaf and leaf.tolist() == [1, 2, 3]


def test_every_inverse_is_tried_above():
    assert {name.split()[0] for name in EXPRESSIONS} - {"moves"} == set(INVERSES)


def test_the_nearest_leaf_that_nothing_else_reads_is_taken():
    tree = {"far": np.float32(4), "near": np.float32(3), "whole": np.int32(2)}
    expression = lambda p: jnp.sqrt(p["far"]) * p["near"] * p["whole"]  # noqa: E731
    values, operand, ends = values_of(expression, tree)
    solved = solve(values, operand, np.array(24.0), ends)
    assert [leaf.item() for leaf in solved.leaves] == [4, 6, 2]
    assert [leaf.item() for leaf in values.leaves] == [4, 3, 2]
    assert solve(values, operand, np.array(24.0), frozenset()) is None  # none may be touched
    assert solve(values, operand, np.array(np.nan), ends) is None
    assert solve(values, operand, np.array(12.0), frozenset()) is values  # nothing to change
    assert [leaf.item() for leaf in values.leaves] == [4, 3, 2]


def test_a_leaf_that_is_met_twice_is_left():
    leaf = np.float32(2)
    values, operand, ends = values_of(lambda p: p * p + p, leaf)
    assert solve(values, operand, np.array(12.0), ends) is None and values.leaves[0] is leaf


def test_other_leaves_make_other_values_and_change_none():
    tree = {"a": np.float32(2), "b": np.float16(5), "c": np.float32(7)}
    apply = lambda p, x: jnp.sqrt(p["a"]) * x + jnp.square(p["b"]) * x + (p["a"] + p["c"]) * x  # noqa: E731
    values = Values.of(apply, tree, (np.float32(1),))
    known = [e.results[0] for e in values.program.equations if values.known(e.results[0])]
    root, square, *_, total = known
    assert [float(values.value(k)) for k in (root, square, total)] == [np.float32(2**0.5), 25, 9]
    other = values.with_leaf(1, np.array(6.1))
    assert other.leaves[1].dtype == np.float16 and other.leaves[1] == np.float16(6.1)
    assert other.value(root) is values.value(root)  # does not depend on it, and is kept
    assert other.value(square) == np.float16(6.1) ** 2 and values.value(square) == 25
    both = other.with_leaf(0, 4.0)
    assert (both.value(root), both.value(total)) == (2, 11) and values.value(total) == 9
    assert jax.tree.leaves(values.tree()) == [2, 5, 7]
    assert both.with_leaves(values.leaves).value(total) == 9


def test_rounding_counts_half_of_the_digits():
    assert 1e-4 < tolerance(np.float32) < 1.3e-4
    assert tolerance(np.float64) < 1e-8 and 0.01 < tolerance(jnp.bfloat16) < 0.1
