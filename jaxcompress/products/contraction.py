"""What the axes of products of matrices are: batches, sums, and the rest."""

from typing import NamedTuple

from jaxcompress.trace.program import Equation

Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Axes of the left and of the right operand."""


class Contraction(NamedTuple):
    """The axes of a `dot_general` or a `ragged_dot_general`.

    The result has the axes of the batch, then those of the left and of the right operand that are
    neither summed nor of groups; before them all, of a ragged sum, one of the groups.

    Attributes:
        summed: axes that are summed over, pair by pair.
        batch: axes that are in both operands and in the result, pair by pair.
        ragged: axis of the left operand whose entries belong to groups, which data decide.
        groups: axis of the right operand that has an entry a group: its matrix of weights.
        stacked: whether each group has a sum of its own.
    """

    summed: Pair
    batch: Pair
    ragged: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    stacked: bool = False

    def free(self, side: int, rank: int) -> list[int]:
        """Return the other axes of an operand, in the order in which the result has them."""
        used = {*self.summed[side], *self.batch[side], *(self.groups if side else ())}
        return [axis for axis in range(rank) if axis not in used]


def contraction(equation: Equation) -> Contraction:
    """Return what the axes of the operands of a product are."""
    if equation.name == "dot_general":
        numbers, ragged, groups = equation.params["dimension_numbers"], (), ()
    else:
        whole = equation.params["ragged_dot_dimension_numbers"]
        numbers = whole.dot_dimension_numbers
        ragged = tuple(whole.lhs_ragged_dimensions)
        groups = tuple(whole.rhs_group_dimensions)
    (left, right), (left_batch, right_batch) = numbers
    return Contraction(
        (tuple(left), tuple(right)),
        (tuple(left_batch), tuple(right_batch)),
        ragged,
        groups,
        bool(set(ragged) & set(left)),
    )
