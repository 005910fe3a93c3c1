"""Leaves of a file in order, all or some, with one part in memory at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from jaxcompress.artifact._forms import SAME
from jaxcompress.artifact._needs import PartNeed
from jaxcompress.artifact.reader import Opened, StoredPart, leaves_of
from jaxcompress.leaves import is_compressed

_ARRAYS = ("dense", "planes")
"""Forms of ordinary arrays; planes may be those of `Half` leaves too."""


class Choice(NamedTuple):
    """Leaves that are wanted, and what is read for them.

    Attributes:
        wanted: for each tensor of the file.
        named: numbers of the tensors that others, which are wanted, are the same as.
        reads: how many tensors are read of each part.
    """

    wanted: Sequence[bool]
    named: frozenset[int]
    reads: dict[int, int]

    def need(
        self, part: StoredPart, entries: Sequence[dict[str, Any]], *, held: bool, as_dense: bool
    ) -> PartNeed:
        """Return what reading a part takes.

        Args:
            part: of the file.
            entries: of all tensors of the file.
            held: whether all wanted leaves are in memory together in the end.
            as_dense: whether compressed leaves become dense, each of those that are the same.
        """
        count, needed, kept = self.reads[part.number], [], []
        for number, entry in enumerate(part.entries, part.first):
            is_kept = held and self.wanted[number]
            if entry["form"] != SAME:
                if number - part.first < count:
                    needed.append(entry)
                    kept.append(is_kept or number in self.named)
            elif self.wanted[number]:
                named = entries[entry["tensor"]]
                if as_dense or named["form"] in _ARRAYS:
                    needed.append(entry | {"named": named})
                    kept.append(is_kept)
        opens = any(entry["form"] != SAME for entry in part.entries[:count])
        return PartNeed(part.stream_bytes if opens else 0, needed, kept)


def places_of(entries: Sequence[dict[str, Any]]) -> list[int]:
    """Return for each tensor the number of the one that is stored for it."""
    return [entry.get("tensor", number) for number, entry in enumerate(entries)]


def choice(parts: Sequence[StoredPart], places: Sequence[int], wanted: Sequence[bool]) -> Choice:
    """Decide what is read: parts, and ends of parts, that nothing is wanted of are left out.

    Args:
        parts: of the file.
        places: from `places_of`.
        wanted: for each tensor.
    """
    read = {place for place, want in zip(places, wanted, strict=True) if want}
    named = {place for n, place in enumerate(places) if wanted[n] and place != n}
    reads = {}
    for part in parts:
        numbers = range(part.first, part.first + len(part.entries))
        last = max((n for n in numbers if n in read), default=part.first - 1)
        reads[part.number] = part.stored_until(last - part.first + 1)
    return Choice(wanted, frozenset(named), reads)


def chosen_leaves(found: Opened, chosen: Choice, convert: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield the wanted leaves, converted.

    Leaves that are the same are one object if they stay compressed. Ordinary arrays are not: who
    changes one, or donates it to a compiled function, does not mean the other.

    Args:
        found: the file.
        chosen: from `choice`.
        convert: from leaves of numpy arrays.
    """
    again: dict[int, Callable[[], Any]] = {}
    for part in found.parts:
        count = chosen.reads[part.number]
        coming = leaves_of(part, found.reader(part))
        for number, entry in enumerate(part.entries, part.first):
            leaf = next(coming) if number - part.first < count else None
            if entry["form"] == SAME:
                if chosen.wanted[number]:
                    yield again[entry["tensor"]]()
            elif number in chosen.named:
                leaf, again[number] = _made(leaf, convert)
                if chosen.wanted[number]:
                    yield leaf
            elif chosen.wanted[number]:
                leaf = convert(leaf)
                yield leaf
            del leaf  # before the next one is read
        if count == len(part.entries):
            next(coming, None)  # nothing must be left


def _made(leaf: Any, convert: Callable[[Any], Any]) -> tuple[Any, Callable[[], Any]]:
    """Return a leaf converted, and what gives it again."""
    made = convert(leaf)
    if is_compressed(made):
        return made, lambda: made

    def again() -> Any:
        own = leaf if is_compressed(leaf) else leaf.copy()
        return jax.block_until_ready(convert(own))  # before its array of numpy has a successor

    return made, again
