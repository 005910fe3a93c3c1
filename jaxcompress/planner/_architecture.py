"""What kind of network a function is, as its trace shows it."""

from collections.abc import Iterator

from jaxcompress.products.contraction import contraction
from jaxcompress.trace.program import Equation, Program

_CONVOLUTION, _PRODUCT = "conv_general_dilated", "dot_general"


def architecture(program: Program) -> str:
    """Return transformer, recurrent, convolutional, dense, or other.

    A transformer multiplies values that both are computed, in a batch of products, and takes
    exponentials: the scores of attention. A recurrent network multiplies inside a loop.

    Args:
        program: from `trace`.
    """
    inside, outside = list(_bodies(program)), list(program.equations)
    names = {equation.name for equation in (*inside, *outside)}
    attends = any(_attends(equation) for equation in (*inside, *outside))
    if attends and "exp" in names:
        return "transformer"
    if any(e.name in (_PRODUCT, _CONVOLUTION) for e in inside) and _CONVOLUTION not in {
        equation.name for equation in outside
    }:
        return "recurrent"
    if _CONVOLUTION in names:
        return "convolutional"
    return "dense" if _PRODUCT in names else "other"


def _attends(equation: Equation) -> bool:
    return equation.name == _PRODUCT and bool(contraction(equation).batch[0])


def _bodies(program: Program) -> Iterator[Equation]:
    for equation in program.equations:
        for body in equation.bodies:
            yield from body.equations
            yield from _bodies(body)
