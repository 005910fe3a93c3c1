"""Tensors of codes that share one set of lanes: a lane costs about three bytes.

The bytes of a block are: the number of lanes (4 bytes) and of words (8), the states, the words, all
with the lowest byte first; then the model of each tensor. The number of lanes follows the size of
the block. So small blocks are small and large ones fast.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.packing import rans
from jaxcompress.packing._choice import choose, entropy_bits
from jaxcompress.packing.sequences import Take, Written, read_tensor
from jaxcompress.packing.static import Alphabet

_LARGE, _BYTES_PER_LANE = 1 << 18, (1200, 600)
"""A lane for so many bytes, of small blocks and of large ones."""

_MOST_LANES = 1 << 14
_MOST_STEPS = 1 << 14  # of a lane: codes that are nearly all the same need few bytes, and time
_HELD_BITS = 8  # about, by the state of a lane at the end
HEAD_BYTES = 12


class Codes(NamedTuple):
    """A tensor of codes.

    Attributes:
        values: of any shape that is not empty, in the dtype for the alphabet.
        alphabet: of the codes.
    """

    values: np.ndarray
    alphabet: Alphabet

    @property
    def size(self) -> int:
        """Number of codes."""
        return self.values.size


class Encoded(NamedTuple):
    """The bytes of a block.

    Attributes:
        parts: the first for all tensors, then one for each.
        sizes: how many bytes are those of each tensor alone: its words and its part.
    """

    parts: list[np.ndarray]
    sizes: list[int]


def encode(tensors: Sequence[Codes]) -> list[np.ndarray]:
    """Return the bytes of a block in parts, the first for all tensors, then one for each.

    Example:
        >>> codes = np.array([[0, 0, 1], [0, 2, 1]], np.uint8)
        >>> parts = encode([Codes(codes, Alphabet(2, 1))])
        >>> take = taking(np.concatenate(parts))
        >>> block = Block(take)
        >>> block.read(take, (2, 3), Alphabet(2, 1)).tolist()
        [[0, 0, 1], [0, 2, 1]]
    """
    return encoded(tensors).parts


def encoded(tensors: Sequence[Codes]) -> Encoded:
    """Return the bytes of a block, and how many are those of each tensor.

    Example:
        >>> codes = np.array([[0, 0, 1], [0, 2, 1]], np.uint8)
        >>> encoded([Codes(codes, Alphabet(2, 1))] * 2).sizes
        [6, 4]
    """
    return _coded(tensors, rans.encode_apart)


def estimated(tensors: Sequence[Codes]) -> Encoded:
    """Return a block whose parts are about as large, of noise: for sizes, in half of the time.

    The words are as many as codes need that are `-log2(p)` bits each, at the frequencies `p` of
    their tables. Models are chosen as for real.

    Example:
        >>> values = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)
        >>> codes = Codes(values, Alphabet(2, 1))
        >>> abs(estimated([codes]).sizes[0] - encoded([codes]).sizes[0]) <= 8
        True
    """
    return _coded(tensors, _noise)


def _noise(runs: Sequence[rans.Run], lanes: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return states and words of as many bits as symbols need, shared out over their runs."""
    bits = np.array([rans.bits(run) for run in runs])
    held = min(_HELD_BITS * lanes, bits.sum())  # by the states
    words = np.rint(bits * (1 - held / max(bits.sum(), 1)) / 16).astype(int)
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 1 << 16, count, np.uint16) for count in words]
    return rng.integers(rans.LOWEST, 1 << 32, lanes, np.uint32), noise


def _coded(
    tensors: Sequence[Codes],
    coder: Callable[[Sequence[rans.Run], int], tuple[np.ndarray, list[np.ndarray]]],
) -> Encoded:
    bits = sum(entropy_bits(codes.values, codes.alphabet) for codes in tensors)
    lanes = max(lanes_for(bits / 8), _fewest_lanes(sum(codes.size for codes in tensors)))
    written = [
        Written(choose(codes.values, codes.alphabet, lanes), codes.alphabet) for codes in tensors
    ]
    runs = [run for tensor in written for run in tensor.runs]
    states, words = coder(runs, lanes)
    count = sum(each.size for each in words)
    head = np.array([lanes], "<u4"), np.array([count], "<u8"), states.astype("<u4")
    numbers = [part.view(np.uint8) for part in (*head, *(each.astype("<u2") for each in words))]
    data = [np.array(tensor.data, np.uint8) for tensor in written]
    own = iter(words)
    sizes = [
        part.size + 2 * sum(next(own).size for _ in tensor.runs)
        for part, tensor in zip(data, written, strict=True)
    ]
    return Encoded([np.concatenate(numbers), *data], sizes)


def estimated_bits(codes: np.ndarray, alphabet: Alphabet) -> float:
    """Return about how many bits codes take, at most, with their table.

    Example:
        >>> estimated_bits(np.array([[0, 1, 0, 1]], np.uint8), Alphabet(1, 0))
        16.0
    """
    return entropy_bits(codes, alphabet)


def lanes_for(size_bytes: float) -> int:
    """Return the number of lanes for a block of about so many bytes: a power of two.

    Example:
        >>> lanes_for(10), lanes_for(100_000), lanes_for(1_000_000), lanes_for(1e9)
        (1, 64, 2048, 16384)
    """
    share = _BYTES_PER_LANE[size_bytes > _LARGE]
    lanes = 1 << max(round(np.log2(max(size_bytes, 1) / share)), 0)
    return min(lanes, _MOST_LANES)


def _fewest_lanes(size: int) -> int:
    """Return a power of two of lanes in which so many codes take few enough steps."""
    return min(1 << (size // _MOST_STEPS).bit_length() >> 1, _MOST_LANES) or 1


class Block:
    """Decodes the tensors of a block, the first ones first."""

    def __init__(self, take: Take) -> None:
        """Take the bytes that all tensors share.

        Raises:
            ValueError: they are not those of a block.
        """
        lanes = int(take(4).view("<u4")[0])
        words = int(take(8).view("<u8")[0])
        if not 0 < lanes <= rans.MOST_LANES:
            raise ValueError(f"{lanes} lanes, where there are 1 to {rans.MOST_LANES}")
        states = take(4 * lanes).view("<u4")
        self._decoder = rans.Decoder(states, take(2 * words).view("<u2"))

    def read(self, take: Take, shape: tuple[int, ...], alphabet: Alphabet) -> np.ndarray:
        """Return the codes of the next tensor.

        Args:
            take: of the bytes that belong to it.
            shape: of the tensor, which is not empty.
            alphabet: of its codes.

        Raises:
            ValueError: the bytes or the words are not those of such a tensor.
        """
        return read_tensor(take, self._decoder, shape, alphabet)

    @property
    def word_bytes(self) -> int:
        """Bytes of the words that were taken until now."""
        return 2 * self._decoder.place

    def close(self) -> None:
        """Check that nothing is left when all tensors have been read.

        Raises:
            ValueError: words are left, or a lane ends in another state than it began in.
        """
        self._decoder.close()


def taking(data: np.ndarray) -> Take:
    """Return a function that takes bytes from the front.

    Example:
        >>> take = taking(np.array([1, 2, 3], np.uint8))
        >>> take(1).tolist(), take(2).tolist()
        ([1], [2, 3])
    """
    place = 0

    def take(count: int) -> np.ndarray:
        nonlocal place
        if count > data.size - place:
            raise ValueError(f"{data.size - place} bytes where {count} are needed")
        place += count
        return data[place - count : place]

    return take
