"""Leaves changed so that a chain has another weight, factor or offset."""

from collections.abc import Sequence

import numpy as np

from jaxcompress.rewrite.affine import Chain, Term, affine
from jaxcompress.rewrite.values import Expressions, close, wide
from jaxcompress.trace.moves import moved


@np.errstate(all="ignore")
def scale_weight(values: Expressions, chain: Chain, factors: np.ndarray) -> bool:
    """Multiply the weight of a chain by `[channels]` factors.

    Returns:
        Whether it can be: entries of the leaf that stand for several channels cannot.
    """
    leaf = wide(values.leaves[chain.leaf])
    index = _at_product(chain, np.arange(leaf.size).reshape(leaf.shape))
    wanted, spread = factors[chain.weight_channels], np.ones(leaf.size)
    spread[index] = wanted
    if not np.array_equal(spread[index], wanted):
        return False
    values.change(chain.leaf, leaf * spread.reshape(leaf.shape))
    return True


def channel_factors(chain: Chain, factors: np.ndarray) -> np.ndarray | None:
    """Return `[channels]` factors from those of each entry of a weight; None where they differ."""
    wanted, entries = _at_product(chain, factors), np.ones(chain.count)
    entries[chain.weight_channels] = wanted
    return entries if np.array_equal(entries[chain.weight_channels], wanted) else None


def _at_product(chain: Chain, array: np.ndarray) -> np.ndarray:
    """Move entries as those of the leaf move to the product."""
    return moved(array, chain.product.weights[chain.place].moves or ())


@np.errstate(all="ignore")
def set_factor(values: Expressions, chain: Chain) -> bool:
    """Change one leaf so that the factors of a chain are 1, or stay 0, if there is one."""
    a = affine(values, chain.terms, chain.count).a
    inverse = np.divide(1, a, out=np.ones_like(a), where=a != 0)
    for term in reversed(chain.factors):
        step = _at_operand(values, term, 1 / inverse if term.inverse else inverse)
        if values.solve(term.operand, wide(values.value(term.operand)) * step, _of(chain.terms)):
            return True
    return False


def clear_offsets(values: Expressions, chain: Chain) -> None:
    """Change leaves so that nothing is added, where there are such."""
    for term in chain.offsets:
        shape = values.program.shape(term.operand)
        values.solve(term.operand, np.zeros(shape), _of(chain.offsets))


@np.errstate(all="ignore")
def set_offset(values: Expressions, chain: Chain, wanted: np.ndarray) -> bool:
    """Change one leaf so that a chain adds `[channels]` offsets, if there is one: the last."""
    for number, term in reversed(list(enumerate(chain.terms))):
        lacking = wanted - affine(values, chain.terms, chain.count).b
        if not lacking.any():
            return True
        if term.multiplies:
            continue
        tail = affine(values, chain.terms[number + 1 :], chain.count).a
        # Behind a factor of 0 no offset before it matters.
        more = np.divide(lacking, tail, out=np.zeros_like(lacking), where=tail != 0)
        step = _at_operand(values, term, -more if term.inverse else more)
        if values.solve(term.operand, wide(values.value(term.operand)) + step, _of(chain.offsets)):
            break
    b, dtype = affine(values, chain.terms, chain.count).b, values.leaves[chain.leaf].dtype
    return close(b, wanted, dtype)


def _of(terms: Sequence[Term]) -> frozenset[int]:
    """Return the equations of terms."""
    return frozenset(term.equation for term in terms)


def _at_operand(values: Expressions, term: Term, entries: np.ndarray) -> np.ndarray:
    """Return `[channels]` entries where the operand of a term has these channels."""
    shape = values.program.shape(term.operand)
    if not shape:
        return entries[term.channels.flat[0]]
    return entries[term.channels[tuple(slice(1) if n == 1 else slice(None) for n in shape)]]
