"""Bits with probabilities, as words of an asymmetric numeral system.

A model gives the probability of each bit, in units of 2^-20. It is the same whether the bits are
known (`Recorder`) or decoded from the words (`Player`). It uses integer arithmetic only, and passes
the library fractions that floating point represents exactly, so that all machines decode the same.

Source: Duda 2009, arXiv:0902.0271; the coder is constriction's, Bamler 2022, arXiv:2201.01741.
"""

from typing import Any, Protocol

import numpy as np

from jaxcompress.extras import library

ONE = 1 << 20
_START = np.array([0, 1], np.uint32)
"""The start of the words: the least state in which every bit has its proper cost.

In a lower state zeros at the end of a tensor would be free, and a file without words could
represent a tensor of any size.
"""

_SEGMENT = 1 << 22


class Coder(Protocol):
    """Takes known bits or returns decoded ones; a model does not know which."""

    def code(self, probabilities: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Return the next bits: `bits` if they are known.

        Args:
            probabilities: `[n]` that a bit is 1, int64 in units of 2^-20, in (0, 1).
            bits: `[n]` zeros and ones, or None.
        """
        ...

    def pause(self) -> None:
        """Mark a place where words may end and memory may be freed."""
        ...


def _library() -> Any:
    return library("constriction", "layout entropy", extra="entropy").stream


class Recorder:
    """Codes bits that are known."""

    def __init__(self) -> None:
        self._segments: list[np.ndarray] = []
        self._bits: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        self._held = 0

    def code(self, probabilities: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Take bits."""
        assert bits is not None  # a model that encodes has them
        self._bits.append(bits.astype(np.int8))
        self._probabilities.append(probabilities.astype(np.int32))
        self._held += len(bits)
        return bits

    def cost_bits(self) -> float:
        """Return the information of all bits held; the words take little more."""
        if not self._held:
            return 0.0
        bits, p = np.concatenate(self._bits), np.concatenate(self._probabilities)
        return float(-np.log2(np.where(bits, p, ONE - p) / ONE).sum())

    def pause(self) -> None:
        """End a segment if it has become long."""
        if self._held >= _SEGMENT:
            self._segments.append(self._encoded())

    def words(self) -> list[np.ndarray]:
        """Return the words of all segments, uint32."""
        return [*self._segments, self._encoded()] if self._held else self._segments

    def _encoded(self) -> np.ndarray:
        stream = _library()
        coder = stream.stack.AnsCoder(_START)
        coder.encode_reverse(
            np.concatenate(self._bits).astype(np.int32),
            stream.model.Bernoulli(perfect=False),
            np.concatenate(self._probabilities) / ONE,
        )
        self._bits, self._probabilities, self._held = [], [], 0
        return coder.get_compressed()


class Player:
    """Decodes bits from words."""

    def __init__(self, segments: list[np.ndarray]) -> None:
        stream = _library()
        self._bernoulli = stream.model.Bernoulli(perfect=False)
        self._new = stream.stack.AnsCoder
        self._segments = segments[::-1]
        self._given = 0
        self._coder = None

    def code(self, probabilities: np.ndarray, bits: np.ndarray | None = None) -> np.ndarray:
        """Return decoded bits.

        Raises:
            ValueError: there are no more words.
        """
        del bits
        if self._coder is None:
            if not self._segments:
                raise ValueError("more bits than there are words for")
            self._coder = self._new(np.ascontiguousarray(self._segments.pop()))
        self._given += len(probabilities)
        return self._coder.decode(self._bernoulli, probabilities / ONE)

    def pause(self) -> None:
        """End a segment where the recorder did."""
        if self._given >= _SEGMENT:
            self.finish()

    def finish(self) -> None:
        """Check that the words of the segment are used up.

        Raises:
            ValueError: they are not.
        """
        if self._coder is not None and not np.array_equal(self._coder.get_compressed(), _START):
            raise ValueError("words that no bit came from")
        self._coder, self._given = None, 0

    def close(self) -> None:
        """Check that all words are used up.

        Raises:
            ValueError: they are not.
        """
        self.finish()
        if self._segments:
            raise ValueError("words that no bit came from")
