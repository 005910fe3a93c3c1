"""What textbooks recommend, as data: rules of thumb, for comparison with what is measured.

Source: Han et al. 2016, arXiv:1510.00149 (quantization before all else, zeros for bytes); Sanh et
al. 2019, arXiv:1910.01108 (students of half the layers); Mishra et al. 2021, arXiv:2104.08378 (2:4
sparsity); Gale et al. 2019, arXiv:1902.09574 (zeros without a pattern).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxcompress.planner._techniques import (
    BLOCKS,
    LOW_RANK,
    PRUNING,
    QUANTIZATION,
    SHARING,
    UNITS,
)

DISTILLATION, PATTERN = "distillation", "2:4 sparsity"
UNMEASURED = {
    DISTILLATION: "a profile makes no students; distil one, and profile it",
    PATTERN: "a profile has no zeros in a pattern; nm_mask makes them",
}
"""Techniques of which a profile holds no choice, and what to do."""

EDGE, SERVER, PREMISES = "edge", "server", "on-premises"
TARGETS = (EDGE, SERVER, PREMISES)

CPU, GPU, SPARSE = "cpu", "gpu", "sparse"
HARDWARE = (CPU, GPU, SPARSE)


def named(techniques: Sequence[str]) -> str:
    """Return the name of techniques together.

    Example:
        >>> named(["cutting units", "quantization"])
        'cutting units + quantization'
    """
    return " + ".join(techniques)


class Case(NamedTuple):
    """What a recommendation is for.

    Attributes:
        architecture: as a profile says.
        target: one of `TARGETS`.
        hardware: one of `HARDWARE`.
        drop: points of quality that may be lost; None if nobody said.
    """

    architecture: str
    target: str
    hardware: str
    drop: float | None


class Saying(NamedTuple):
    """A rule of thumb.

    Attributes:
        technique: of which.
        place: 1 for the first; 0 for not at all.
        why: in words.
        loss: of quality that may be lost, from and below which it holds.
        where: architectures, targets or hardware for which it holds; empty for all.
    """

    technique: str
    place: int
    why: str
    loss: tuple[float, float] = (0.0, math.inf)
    where: tuple[str, ...] = ()

    def holds(self, case: Case) -> bool:
        """Whether it is about a case; with no loss named, about less than 2 points."""
        low, high = self.loss
        known = {case.architecture, case.target, case.hardware}
        is_there = not self.where or not known.isdisjoint(self.where)
        return is_there and low <= (case.drop or 0.0) < high


_BEYOND = math.nextafter(5.0, math.inf)  # 5 points themselves are no more than 5
_LITTLE, _SOME, _MUCH, _MORE = (0.0, 2.0), (2.0, _BEYOND), (_BEYOND, math.inf), (2.0, math.inf)
_FEWER, _SHORTER = named([UNITS, QUANTIZATION]), named([BLOCKS, QUANTIZATION])
_TRANSFORMER = ("transformer",)

TEXTBOOK = (
    Saying(QUANTIZATION, 1, "enough where less than 2 points may be lost", _LITTLE),
    Saying(QUANTIZATION, 3, "goes with fewer layers", _MORE, _TRANSFORMER),
    Saying(QUANTIZATION, 2, "goes with fewer units from 2 points on", _SOME),
    Saying(QUANTIZATION, 3, "goes with a smaller network", _MUCH),
    Saying(_SHORTER, 1, "transformers: fewer layers before anything else", _MORE, _TRANSFORMER),
    Saying(_SHORTER, 2, "transformers: fewer layers, taught", _LITTLE, _TRANSFORMER),
    Saying(_FEWER, 3, "transformers: fewer layers first", (0.0, math.inf), _TRANSFORMER),
    Saying(_FEWER, 1, "2 to 5 points pay for fewer units, faster on any hardware", _SOME),
    Saying(_FEWER, 2, "faster on any hardware, at a loss"),
    Saying(DISTILLATION, 2, "transformers: a student of fewer layers", _MORE, _TRANSFORMER),
    Saying(DISTILLATION, 1, "more than 5 points pay for a student of another size", _MUCH),
    Saying(DISTILLATION, 3, "a training that smaller losses do not need"),
    Saying(PATTERN, 2, "twice the products a second on sparse units", where=(SPARSE,)),
    Saying(PATTERN, 0, "no faster without sparse units"),
    Saying(PRUNING, 0, "transformers: not before fewer layers", where=_TRANSFORMER),
    Saying(PRUNING, 3, "fewer bytes, and no speed without the pattern 2:4", where=(EDGE, SPARSE)),
    Saying(PRUNING, 0, "zeros without a pattern are no faster on standard hardware"),
    Saying(SHARING, 3, "as few bytes as quantization, and no speed"),
    Saying(LOW_RANK, 3, "for large dense layers"),
    Saying(UNITS, 3, "quantization costs little beside it"),
    Saying(BLOCKS, 3, "quantization costs little beside it"),
)
"""Of each technique the first that holds counts."""


def saying(technique: str, case: Case) -> Saying | None:
    """Return what the textbook says of a technique, None if it says nothing.

    Example:
        >>> saying("pruning", Case("convolutional", "server", "gpu", 1.0)).place
        0
    """
    return next((s for s in TEXTBOOK if s.technique == technique and s.holds(case)), None)


def first(case: Case) -> str:
    """Return the technique with which the textbook begins.

    Example:
        >>> first(Case("transformer", "edge", "cpu", 3.0))
        'dropping blocks + quantization'
    """
    told = dict.fromkeys(each.technique for each in TEXTBOOK)
    return next(name for name in told if (found := saying(name, case)) and found.place == 1)
