"""How operands and results of loops and branches are arranged, beside what JAX itself traced."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.trace.loops import (
    BODIES,
    BODY,
    TEST,
    Entering,
    as_operands,
    chosen,
    entering,
    leaving,
    with_bodies,
)
from jaxcompress.trace.program import inner_bodies, trace


def only(name, apply, *inputs):
    """Return the program of a function and its only equation of a primitive."""
    program = trace(lambda params, *args: apply(*args), (), *inputs)
    (equation,) = [e for e in program.equations if e.name == name]
    return program, equation


def shapes(program, operands):
    return [program.shape(operand) for operand in operands]


def scanned(shared, carry, rows):
    """One constant `[2, 3]`, two carries `[3]` and `[]`, one stack of rows `[4, 2]`."""

    def turn(state, row):
        h, count = state
        h = h + row @ shared
        return (h, count + 1.0), h[:1]

    return lax.scan(turn, carry, rows)


SCANNED = (np.ones((2, 3), "f"), (np.zeros(3, "f"), np.float32(0)), np.ones((4, 2), "f"))


def test_what_enters_a_scan():
    program, scan = only("scan", scanned, *SCANNED)
    assert entering(scan, 0, "abcd") == Entering(["a"], ["b", "c"], ["d"])
    found = entering(scan, 0, scan.operands)
    assert shapes(program, found.constants) == [(2, 3)]
    assert shapes(program, found.carried) == [(3,), ()]
    assert shapes(program, found.sliced) == [(4, 2)]
    # The body has inputs in the same order, and of what is sliced one entry.
    assert shapes(scan.bodies[0], scan.bodies[0].inputs) == [(2, 3), (3,), (), (2,)]


def test_what_leaves_a_scan_and_its_body():
    program, scan = only("scan", scanned, *SCANNED)
    assert leaving(scan, "abc") == (["a", "b"], ["c"])
    carry, stacked = leaving(scan, scan.results)
    assert (shapes(program, carry), shapes(program, stacked)) == ([(3,), ()], [(4, 1)])
    (body,) = scan.bodies
    carry, stacked = leaving(scan, body.outputs)
    assert (shapes(body, carry), shapes(body, stacked)) == ([(3,), ()], [(1,)])


def test_scans_that_lack_a_part():
    _, scan = only("scan", lambda xs: lax.scan(lambda c, x: (c, 2 * x), None, xs)[1], np.ones(3))
    assert entering(scan, 0, "a") == Entering([], [], ["a"])
    assert leaving(scan, "a") == ([], ["a"])
    _, scan = only("scan", lambda x: lax.scan(lambda c, _: (2 * c, None), x, length=2)[0], 1.0)
    assert entering(scan, 0, "a") == Entering([], ["a"], [])
    assert leaving(scan, "a") == (["a"], [])


def looped(limit, steps, state):
    """One constant of the test `[]`, two of the body `[3]` and `[1]`, a carry of `[3]` and `[]`."""
    first, second = steps
    return lax.while_loop(
        lambda state: state[1] < limit,
        lambda state: (state[0] + first * second, state[1] + 1.0),
        state,
    )


LOOPED = (
    np.float32(5),
    (np.ones(3, "f"), np.ones(1, "f")),
    (np.zeros(3, "f"), np.float32(0)),
)


def test_what_enters_a_while_loop():
    program, loop = only("while", looped, *LOOPED)
    assert entering(loop, TEST, "abcde") == Entering(["a"], ["d", "e"], [])
    assert entering(loop, BODY, "abcde") == Entering(["b", "c"], ["d", "e"], [])
    for which, constants in ((TEST, [()]), (BODY, [(3,), (1,)])):
        found = entering(loop, which, loop.operands)
        assert shapes(program, found.constants) == constants
        assert shapes(program, found.carried) == [(3,), ()]
        body = loop.bodies[which]
        assert shapes(body, body.inputs) == [*constants, (3,), ()]


def test_what_enters_branches():
    def apply(which, x, y):
        return lax.switch(which, [lambda x, y: x + y[0], lambda x, y: x, lambda x, y: 2 * x], x, y)

    program, cond = only("cond", apply, np.int32(1), np.ones(2, "f"), np.ones(3, "f"))
    assert chosen("abc") == "a"
    for which in range(3):
        assert entering(cond, which, "abc") == Entering(["b", "c"], [], [])
    assert program.shape(chosen(cond.operands)) == ()
    given = entering(cond, 2, cond.operands)
    assert shapes(program, given.constants) == [(2,), (3,)]
    assert shapes(cond.bodies[2], cond.bodies[2].inputs) == [(2,), (3,)]


def test_other_values_are_parted_alike():
    given = Entering(["a"], ["b", "c"], ["d"])
    assert given.flat() == ["a", "b", "c", "d"]
    assert given.like([1, 2, 3, 4]) == Entering([1], [2, 3], [4])


def test_operands_are_those_that_entered():
    _, scan = only("scan", scanned, *SCANNED)
    _, loop = only("while", looped, *LOOPED)
    assert as_operands(entering(scan, 0, "abcd")) == list("abcd")
    assert as_operands(*(entering(loop, which, "abcde") for which in (TEST, BODY))) == list("abcde")


def branched(which, x):
    return lax.cond(which, lambda x: x + 1, lambda x: x - 1, x)


@pytest.mark.parametrize(
    ("name", "apply", "inputs", "count"),
    [
        ("scan", scanned, SCANNED, 1),
        ("while", looped, LOOPED, 2),
        ("cond", branched, (np.bool_(True), np.ones(2, "f")), 2),
    ],
)
def test_bodies_are_put_where_they_were_taken_from(name, apply, inputs, count):
    _, equation = only(name, apply, *inputs)
    assert len(BODIES[name](equation.params)) == len(equation.bodies) == count
    others = [f"body {which}" for which in range(count)]
    params = with_bodies(equation, others)
    assert params.keys() == equation.params.keys()
    assert BODIES[name](params) == others
    changed = {key for key in params if params[key] is not equation.params[key]}
    assert len(changed) == (1 if name != "while" else 2)


def test_bodies_of_primitives_without_any():
    (equation,) = trace(lambda p, x: jnp.sin(x), (), np.ones(2)).equations
    assert equation.bodies == ()
    assert inner_bodies(equation.name, equation.params) == []
