"""Values in which a chain has another weight, factor or offset."""

from collections.abc import Sequence

import numpy as np

from jaxcompress.rewrite._solve import solve
from jaxcompress.rewrite.affine import Chain, Term, affine
from jaxcompress.rewrite.values import Values, close, wide
from jaxcompress.trace.moves import moved


@np.errstate(all="ignore")
def scale_weight(values: Values, chain: Chain, factors: np.ndarray) -> Values | None:
    """Return values with the weight of a chain multiplied by `[channels]` factors.

    Returns:
        None if an entry of the leaf belongs to several channels.
    """
    leaf = wide(values.leaves[chain.leaf])
    index = _at_product(chain, np.arange(leaf.size).reshape(leaf.shape))
    wanted, spread = factors[chain.weight_channels], np.ones(leaf.size)
    spread[index] = wanted
    if not np.array_equal(spread[index], wanted):
        return None
    return values.with_leaf(chain.leaf, leaf * spread.reshape(leaf.shape))


def channel_factors(chain: Chain, factors: np.ndarray) -> np.ndarray | None:
    """Return `[channels]` factors from those of each entry of a weight; None where they differ."""
    wanted, entries = _at_product(chain, factors), np.ones(chain.count)
    entries[chain.weight_channels] = wanted
    return entries if np.array_equal(entries[chain.weight_channels], wanted) else None


def _at_product(chain: Chain, array: np.ndarray) -> np.ndarray:
    """Arrange entries as the program arranges the leaf for the product."""
    return moved(array, chain.product.weights[chain.place].moves or ())


@np.errstate(all="ignore")
def set_factor(values: Values, chain: Chain) -> Values | None:
    """Return values with one changed leaf, so that the factors of a chain are 1, or 0 as before.

    A leaf from which several factors are computed changes them all; then they are not 1.
    """
    a = affine(values, chain.terms, chain.count).a
    inverse = np.divide(1, a, out=np.ones_like(a), where=a != 0)
    for term in reversed(chain.factors):
        factor = _at_operand(values, term, 1 / inverse if term.role.inverse else inverse)
        target = wide(values.value(term.operand)) * factor
        if (solved := solve(values, term.operand, target, _of(chain.terms))) is not None:
            return solved
    return None


def clear_offsets(values: Values, chain: Chain) -> Values:
    """Return values in which a chain adds nothing, as far as leaves allow."""
    for term in chain.offsets:
        nothing = np.zeros(values.program.shape(term.operand))
        values = solve(values, term.operand, nothing, _of(chain.offsets)) or values
    return values


@np.errstate(all="ignore")
def set_offset(values: Values, chain: Chain, wanted: np.ndarray) -> Values | None:
    """Return values with one changed leaf, the last possible, so that a chain adds the offsets."""
    lacking = wanted - affine(values, chain.terms, chain.count).b
    if not lacking.any():
        return values
    places = [k for k, term in enumerate(chain.terms) if not term.role.multiplies]
    tries = (_with_more(values, chain, place, lacking) for place in reversed(places))
    solved = next((found for found in tries if found is not None), values)
    b, dtype = affine(solved, chain.terms, chain.count).b, solved.leaves[chain.leaf].dtype
    return solved if close(b, wanted, dtype) else None


def _with_more(values: Values, chain: Chain, place: int, lacking: np.ndarray) -> Values | None:
    """Return values with one changed leaf, so that the term at a place adds what is lacking."""
    term, tail = chain.terms[place], affine(values, chain.terms[place + 1 :], chain.count).a
    # A factor of 0 cancels the offsets before it.
    more = np.divide(lacking, tail, out=np.zeros_like(lacking), where=tail != 0)
    change = _at_operand(values, term, -more if term.role.inverse else more)
    return solve(
        values, term.operand, wide(values.value(term.operand)) + change, _of(chain.offsets)
    )


def _of(terms: Sequence[Term]) -> frozenset[int]:
    """Return the equations of terms."""
    return frozenset(term.equation for term in terms)


def _at_operand(values: Values, term: Term, entries: np.ndarray) -> np.ndarray:
    """Return `[channels]` entries where the operand of a term has these channels."""
    shape = values.program.shape(term.operand)
    if not shape:
        return entries[term.channels.flat[0]]
    return entries[term.channels[tuple(slice(1) if n == 1 else slice(None) for n in shape)]]
