"""Tokens of text: byte-pair encoding, learned here.

Source: Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019.
"""

import functools
import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

END = 0
"""The token behind each text; token 1 + b is byte b, and the next ones are merged pairs."""

_WORD = re.compile(rb" ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\n+| +|\s")

Pair = tuple[int, int]


def learned(texts: Iterable[str], vocabulary: int) -> list[Pair]:
    """Return the pairs of tokens that are merged, the most frequent first; ties: the lower pair.

    Args:
        texts: to count pairs in.
        vocabulary: number of tokens, bytes and `END` included.
    """
    counts = Counter(word for text in texts for word in _WORD.findall(text.encode()))
    words = [([1 + byte for byte in word], count) for word, count in sorted(counts.items())]
    total: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)
    for index, (word, count) in enumerate(words):
        _count(word, count, index, total, where)
    heap = [(-count, pair) for pair, count in total.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while len(merges) + 257 < vocabulary and heap:
        count, pair = heapq.heappop(heap)
        if -count != total[pair] or not count:
            continue  # an older count
        merges.append(pair)
        changed: set[Pair] = set()
        for index in sorted(where.pop(pair)):
            word, times = words[index]
            changed |= _count(word, -times, index, total, where)
            words[index] = (_merged(word, pair, len(merges) + 256), times)
            changed |= _count(words[index][0], times, index, total, where)
        for each in changed:
            if total[each] > 0:
                heapq.heappush(heap, (-total[each], each))
    return merges


class Pieces:
    """Turns text into tokens.

    Args:
        merges: from `learned`.
    """

    def __init__(self, merges: Sequence[Pair]) -> None:
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._word = functools.cache(self._of_word)

    def __call__(self, text: str) -> list[int]:
        """Return the tokens of a text, `END` behind it."""
        return [t for word in _WORD.findall(text.encode()) for t in self._word(word)] + [END]

    def _of_word(self, word: bytes) -> list[int]:
        tokens = [1 + byte for byte in word]
        while len(tokens) > 1:
            pair = min(zip(tokens, tokens[1:], strict=False), key=self._order)
            if pair not in self._rank:
                break
            tokens = _merged(tokens, pair, self._rank[pair] + 257)
        return tokens

    def _order(self, pair: Pair) -> float:
        return self._rank.get(pair, float("inf"))


def _count(
    word: list[int], times: int, index: int, total: Counter[Pair], where: dict[Pair, set[int]]
) -> set[Pair]:
    pairs = [*zip(word, word[1:], strict=False)]
    for pair in pairs:
        total[pair] += times
        if times > 0:
            where[pair].add(index)
    return set(pairs)


def _merged(tokens: list[int], pair: Pair, merged: int) -> list[int]:
    found, at = [], 0
    while at < len(tokens):
        both = tuple(tokens[at : at + 2]) == pair
        found.append(merged if both else tokens[at])
        at += 2 if both else 1
    return found
