"""The part of a file that was read last, as far as it was read."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxcompress.artifact._needs import PartNeed
from jaxcompress.artifact.reader import StoredPart

_NOTHING = PartNeed(0, ())


class LastPart:
    """Leaves of one part, in order, until another one is read.

    Attributes:
        number: of the part; -1 for none.
        need: what is in memory.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.forget()

    def forget(self) -> None:
        """Free the leaves."""
        self.need = _NOTHING
        self.number = -1
        self._leaves: list[Any] = []
        self._coming: Iterator[Any] = iter(())

    def leaf(
        self,
        index: int,
        part: StoredPart,
        read: Callable[[StoredPart], Iterator[Any]],
        check: Callable[[Sequence[PartNeed]], None],
    ) -> Any:
        """Return a leaf, read with those before it in its part.

        Args:
            index: of the leaf in the file.
            part: that holds it.
            read: gives the leaves of a part.
            check: refuses what needs too much memory.
        """
        if self.number != part.number:
            self.forget()
            self.number, self._coming = part.number, read(part)
        leaves, place = self._leaves, index - part.first
        count = part.stored_until(place + 1)
        if len(leaves) < count:
            need = part.need(count)
            check([need])
            coming = self._coming
            self.forget()  # nothing is kept after an error
            leaves += itertools.islice(coming, count - len(leaves))
            if count == len(part.entries):
                next(coming, None)  # nothing must be left; the streams are freed
            self.need, self.number, self._leaves, self._coming = need, part.number, leaves, coming
        return leaves[place]
