"""Symbols with static tables, as words of many interleaved range ANS coders.

Lanes advance together: step `t` codes symbols `t * lanes` to `(t + 1) * lanes - 1`, one in each
lane. A lane has a state of 32 bits, at least 2^16 between steps. To decode a symbol, its lane looks
up the lowest 12 bits of the state in a table, and takes one word of 16 bits where the state fell
below 2^16. The words of all lanes are one stream, in the order in which the decoder takes them.

The encoder runs backwards, from the last symbol to the first, and starts every lane in 2^16. So a
decoder that has read everything has no words left, and all lanes in 2^16.

Source: Duda 2013, arXiv:1311.2540; Giesen 2014, arXiv:1402.3392.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.packing.tables import BITS, ONE, decoding_tables

LOWEST = 1 << 16
"""The lowest state between steps, in which lanes start and end."""

MOST_LANES = 1 << 16

Ranges = Callable[[int, int], np.ndarray]
"""From a range of symbols to a number for each."""

_FEW_LANES = 32
"""Up to so many lanes, integers of Python are faster than arrays."""

_WORD = 16
_ROUND_UP = 2.0**-14
"""Added before rounding down: more than the error of a product, less than 1 / 4096."""


class Run(NamedTuple):
    """Symbols that are coded one after the other.

    Attributes:
        keys: `[n]` uint8 or uint16, `context * alphabet + symbol`.
        frequencies: `[contexts, alphabet]` integers; each row that occurs adds up to 4096.
    """

    keys: np.ndarray
    frequencies: np.ndarray


def encode(runs: Sequence[Run], lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the states of the lanes, uint32, and the words, uint16.

    Example:
        >>> run = Run(np.array([0, 1, 0], np.uint8), np.array([[3072, 1024]]))
        >>> states, words = encode([run], 2)
        >>> Decoder(states, words).take(np.empty(3, np.uint8), run.frequencies).tolist()
        [0, 1, 0]
    """
    states, words = encode_apart(runs, lanes)
    return states, np.concatenate([np.empty(0, np.uint16), *words])


def encode_apart(runs: Sequence[Run], lanes: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the states of the lanes, and the words of each run, which follow one another.

    Example:
        >>> run = Run(np.array([0, 1, 0], np.uint8), np.array([[3072, 1024]]))
        >>> [words.size for words in encode_apart([run, run], 2)[1]]
        [0, 0]
    """
    if lanes <= _FEW_LANES:
        few = [LOWEST] * lanes
        words = [_encoded_by_few(run, few) for run in reversed(runs)]
        return np.array(few, np.uint32), words[::-1]
    states = np.full(lanes, LOWEST, np.uint32)
    words = [_encoded(run, states) for run in reversed(runs)]
    return states, words[::-1]


def bits(run: Run) -> float:
    """Return how many bits the symbols of a run take: the sum of `-log2(frequency / 4096)`.

    Example:
        >>> bits(Run(np.array([0, 1, 1], np.uint8), np.array([[2048, 2048]])))
        3.0
    """
    counts = np.bincount(run.keys, minlength=run.frequencies.size)
    used = np.flatnonzero(counts)
    return float(counts[used] @ (BITS - np.log2(run.frequencies.ravel()[used])))


def _encoded_by_few(run: Run, states: list[int]) -> np.ndarray:
    """Return the words of a run, and change the states: `_encoded`, symbol by symbol."""
    frequencies = run.frequencies.astype(np.uint32)
    firsts = (np.cumsum(frequencies, axis=1) - frequencies).ravel().tolist()
    numbers = frequencies.ravel().tolist()
    lanes, lane = len(states), run.keys.size % len(states)
    words: list[int] = []
    for key in reversed(run.keys.tolist()):
        lane = (lane or lanes) - 1
        x, frequency = states[lane], numbers[key]
        if x >> (32 - BITS) >= frequency:
            words.append(x & (LOWEST - 1))
            x >>= _WORD
        quotient, rest = divmod(x, frequency)
        states[lane] = (quotient << BITS) + rest + firsts[key]
    return np.array(words[::-1], np.uint16)


def _encoded(run: Run, states: np.ndarray) -> np.ndarray:
    """Return the words of a run, and change the states."""
    pieces: list[np.ndarray] = []
    lanes, size = states.size, run.keys.size
    frequencies = run.frequencies.astype(np.uint32)
    firsts = np.cumsum(frequencies, axis=1, dtype=np.uint32) - frequencies
    entries = (frequencies << 16 | firsts).ravel()
    inverses = 1.0 / np.maximum(np.arange(ONE + 1), 1)
    for start in range((size - 1) // lanes * lanes, -1, -lanes):
        keys = run.keys[start : start + lanes]
        x = states[: keys.size]
        entry = entries.take(keys, mode="clip")
        frequency = entry >> 16
        full = np.flatnonzero(x >> (32 - BITS) >= frequency)
        words = x.take(full)
        pieces.append(words.astype(np.uint16))
        x[full] = words >> _WORD
        # The quotient x // frequency; a product is faster than a division.
        quotient = x * inverses.take(frequency, mode="clip")
        quotient += _ROUND_UP
        x += quotient.astype(np.uint32) * (ONE - frequency)
        x += entry & (LOWEST - 1)
    return np.concatenate([np.empty(0, np.uint16), *pieces[::-1]])


class Decoder:
    """Returns symbols, the first ones first.

    Attributes:
        place: number of words that were taken until now.
    """

    def __init__(self, states: np.ndarray, words: np.ndarray) -> None:
        """Take what `encode` returned.

        Raises:
            ValueError: a state between steps is never so low.
        """
        if states.min(initial=LOWEST) < LOWEST:
            raise ValueError(f"a lane in state {states.min()}, below {LOWEST}")
        self._states = states.astype(np.uint32)
        self._words = words
        self.place = 0

    def take(
        self,
        out: np.ndarray,
        frequencies: np.ndarray,
        contexts: Ranges | None = None,
        *,
        chosen: np.ndarray | None = None,
        reach: int = 1 << 18,
    ) -> np.ndarray:
        """Return the next symbols.

        Args:
            out: `[n]` uint8, where symbols appear as they are decoded.
            frequencies: `[tables, alphabet]`, as for `encode`.
            contexts: gives the context of each symbol of a range; it may read the symbols of `out`
                that are `reach` and more before the end of the range. None if there is only one.
            chosen: `[contexts]` the table of each context; None if each has its own.
            reach: at least the number of lanes.

        Raises:
            ValueError: there are too few words, or symbols are needed before they are decoded.
        """
        lanes = self._states.size
        if reach < lanes:
            raise ValueError(f"contexts of {reach} symbols before, with {lanes} lanes")
        span = reach // lanes * lanes
        tables = decoding_tables(frequencies)
        places = np.arange(len(frequencies)) if chosen is None else chosen
        firsts = places.astype(np.uint32) << BITS
        for start in range(0, out.size, span):
            part, found = out[start : start + span], None
            if contexts is not None and len(frequencies) > 1:
                found = firsts.take(contexts(start, start + part.size))
            few = lanes <= _FEW_LANES
            (self._decode_by_few if few else self._decode)(part, tables, found)
        return out

    def _decode_by_few(self, out: np.ndarray, tables: np.ndarray, firsts: Any) -> None:
        """Decode as `_decode`, symbol by symbol."""
        states, symbols = self._states.tolist(), bytearray(out.size)
        entry_at, lanes, lane = tables.item, len(states), 0
        words = self._words[self.place : self.place + out.size].tolist()
        places = [0] * out.size if firsts is None else firsts[: out.size].tolist()
        number = 0
        for place, first in enumerate(places):
            x = states[lane]
            entry = entry_at(first + (x & (ONE - 1)))
            symbols[place] = entry >> 24
            x = (x >> BITS) * ((entry >> BITS & (ONE - 1)) + 1) + (entry & (ONE - 1))
            if x < LOWEST:
                if number == len(words):
                    raise ValueError("more symbols than there are words for")
                x = x << _WORD | words[number]
                number += 1
            states[lane] = x
            lane = lane + 1 if lane + 1 < lanes else 0
        out[:] = np.frombuffer(symbols, np.uint8)
        self._states[:] = states
        self.place += number

    def _decode(self, out: np.ndarray, tables: np.ndarray, firsts: np.ndarray | None) -> None:
        lanes = min(self._states.size, out.size)
        x, words, place = self._states[:lanes], self._words, self.place
        index, entry = np.empty(lanes, np.intp), np.empty(lanes, np.uint32)
        frequency, low = np.empty(lanes, np.uint32), np.empty(lanes, bool)
        for start in range(0, out.size, lanes):
            if out.size - start < lanes:  # the last step
                lanes = out.size - start
                x, index, entry = x[:lanes], index[:lanes], entry[:lanes]
                frequency, low = frequency[:lanes], low[:lanes]
            np.bitwise_and(x, ONE - 1, out=index, casting="unsafe")
            if firsts is not None:
                np.add(index, firsts[start : start + lanes], out=index)
            tables.take(index, out=entry, mode="clip")
            np.right_shift(entry, 24, out=out[start : start + lanes], casting="unsafe")
            np.right_shift(entry, BITS, out=frequency)
            frequency &= ONE - 1
            frequency += 1
            x >>= BITS
            x *= frequency
            entry &= ONE - 1
            x += entry
            np.less(x, LOWEST, out=low)
            taking = np.flatnonzero(low)
            taken = words[place : place + taking.size]
            if taken.size < taking.size:
                raise ValueError("more symbols than there are words for")
            x[taking] = x.take(taking) << _WORD | taken
            place += taking.size
        self.place = place

    def close(self) -> None:
        """Check that all words are used up, and that lanes end where the encoder started them.

        Raises:
            ValueError: they are not.
        """
        if self.place != self._words.size or (self._states != LOWEST).any():
            raise ValueError("words or states that no symbol came from")
