"""Codes as streams: a table of packings, and the packings that each layout tries."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact._fields import is_count
from jaxcompress.artifact._huffman import literal_bits
from jaxcompress.artifact._repetitions import all_repeated_bits, repeated_bits
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.errors import ArtifactError
from jaxcompress.kinds import codes_dtype
from jaxcompress.packing import block, csr, digits, entropy, levels, positions, static
from jaxcompress.packing.contexts import Choice

Fields = dict[str, Any]
"""Fields of a packing in the manifest, without its name."""

Streams = dict[str, list[Any]]
"""What a packing adds, by stream: arrays, or `block.Codes`, which are coded with all others."""


class Alphabet(NamedTuple):
    """The facts about codes that are known before they are read.

    Attributes:
        shape: of the tensor.
        k: codes are integers from 0 to `k`; code 0 is the number 0.
        negative: number of codes, the first ones after 0, of negative numbers.
    """

    shape: tuple[int, ...]
    k: int
    negative: int

    @property
    def size(self) -> int:
        """Number of codes."""
        return math.prod(self.shape)


class Packing(NamedTuple):
    """One way to store codes.

    Attributes:
        write: returns the fields of the manifest and the streams.
        fields: the names of the fields, and a check of each.
        read: returns codes, taken from the streams as the fields say.
        since: the version of the format that has it.
    """

    write: Callable[[Alphabet, np.ndarray], tuple[Fields, Streams]]
    fields: Mapping[str, Callable[[Any], bool]]
    read: Callable[[Alphabet, Fields, Reader], np.ndarray]
    since: int = 1


def write_codes(alphabet: Alphabet, codes: np.ndarray, layout: str, writer: Writer) -> Fields:
    """Add codes to the streams by the smallest packing of the layout.

    Args:
        alphabet: of the codes.
        codes: of the shape of `alphabet`, in the dtype for its `k`.
        layout: a key of `LAYOUTS`.
        writer: of the streams.

    Returns:
        The name of the packing and its fields, for the manifest.
    """
    name, (fields, streams) = _smallest(
        LAYOUTS[layout] if codes.size else ("plain",), alphabet, codes
    )
    for stream, parts in streams.items():
        for part in parts:
            writer.add(stream, part)
    return {"packing": name} | fields


def read_codes(alphabet: Alphabet, entry: Fields, reader: Reader) -> np.ndarray:
    """Return the codes of an entry of the manifest.

    Raises:
        ArtifactError: the fields, or the numbers in the streams, break a rule.
    """
    try:
        return PACKINGS[entry["packing"]].read(alphabet, entry, reader).reshape(alphabet.shape)
    except ArtifactError:
        raise
    except ValueError as error:
        raise ArtifactError(f"packing {entry['packing']}: {error}") from None


def _smallest(
    names: Sequence[str], alphabet: Alphabet, codes: np.ndarray
) -> tuple[str, tuple[Fields, Streams]]:
    """Return the packing of the fewest bits, the first of equal ones, and what it writes.

    A packing whose entries alone, with one bit for each letter of their positions, take more bits
    than another is not tried.
    """
    if names[0] == "rans":
        plain_bits = 8 * digits.count_bytes(codes.size, alphabet.k + 1)
        coded = block.Codes(codes, static.Alphabet(alphabet.k, alphabet.negative))
        coded_bits, fewest = block.estimated_bits(*coded), repeated_bits(codes, alphabet.k + 1)
        if fewest <= coded_bits < plain_bits:  # contexts may make up for it
            coded_bits = 8 * sum(part.size for part in block.encode([coded]))
            if fewest <= coded_bits:
                fewest = all_repeated_bits(codes, alphabet.k + 1)
        names = names[:1] if coded_bits < min(plain_bits, fewest) else names[1:]
    if len(names) == 1:
        return names[0], PACKINGS[names[0]].write(alphabet, codes)
    entries = codes[codes != 0]
    of_entries = literal_bits([digits.pack(entries - 1, alphabet.k)])
    least = {"gaps": of_entries + entries.size, "bits": of_entries + codes.size // 8}
    best, fewest, packed = "", math.inf, ({}, {})
    for name in reversed(names):
        if least.get(name, 0) > fewest:
            continue
        found = PACKINGS[name].write(alphabet, codes)
        bits = literal_bits(itertools.chain(*found[1].values()))
        if bits <= fewest:
            best, fewest, packed = name, bits, found
    return best, packed


def _write_csr(alphabet: Alphabet, codes: np.ndarray) -> tuple[Fields, Streams]:
    matrix = codes.reshape(_matrix_shape(codes.shape))
    packed = csr.encode(matrix, matrix != 0)
    streams = {"row_lengths": packed.row_lengths.astype("<u4"), "distances": packed.distances}
    streams[_entries_stream(alphabet)] = packed.entries
    return {"entries": packed.entries.size}, {name: [part] for name, part in streams.items()}


def _read_csr(alphabet: Alphabet, fields: Fields, reader: Reader) -> np.ndarray:
    entries = reader.take(_entries_stream(alphabet), fields["entries"])
    if entries.max(initial=0) > alphabet.k:
        raise ValueError(f"code {entries.max()} in a codebook of {alphabet.k}")
    codes = np.zeros(alphabet.size, codes_dtype(alphabet.k))
    for places, part in read_rows(alphabet.shape, entries, reader):
        codes[places] = part
    return codes


def _entries_stream(alphabet: Alphabet) -> str:
    return "codes" if alphabet.k < 256 else "codes_wide"


def read_rows(
    shape: tuple[int, ...], entries: np.ndarray, reader: Reader
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions in the flat tensor and the entries there, from compressed sparse rows.

    Raises:
        ArtifactError: too few numbers in the streams.
        ValueError: they are not the rows of a tensor of that shape.
    """
    matrix = _matrix_shape(shape)
    lengths = reader.take("row_lengths", matrix[0])
    distances = reader.take("distances", entries.size)
    return csr.decode(csr.Csr(lengths, distances, entries), matrix)


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of a tensor as a matrix: its last axis is the columns."""
    columns = shape[-1] if shape else 1
    return (math.prod(shape[:-1]) if columns else 0, columns)


def _write_gaps(alphabet: Alphabet, codes: np.ndarray) -> tuple[Fields, Streams]:
    flat = codes.ravel()
    kept = flat != 0
    entries, gaps = flat[kept], positions.gaps(kept)
    streams = {"gaps": [gaps], "digits": [digits.pack(entries - 1, alphabet.k)]}
    return {"entries": entries.size, "gaps": gaps.size}, streams


def _read_gaps(alphabet: Alphabet, fields: Fields, reader: Reader) -> np.ndarray:
    stream = reader.take("gaps", fields["gaps"])
    kept = positions.kept_from_gaps(stream, alphabet.size, fields["entries"])
    return _filled(kept, alphabet, fields, reader)


def _write_bits(alphabet: Alphabet, codes: np.ndarray) -> tuple[Fields, Streams]:
    flat = codes.ravel()
    kept = flat != 0
    entries = flat[kept]
    streams = {"bits": [np.packbits(kept)], "digits": [digits.pack(entries - 1, alphabet.k)]}
    return {"entries": entries.size}, streams


def _read_bits(alphabet: Alphabet, fields: Fields, reader: Reader) -> np.ndarray:
    stream = reader.take("bits", -(-alphabet.size // 8))
    kept = positions.kept_from_bits(stream, alphabet.size, fields["entries"])
    return _filled(kept, alphabet, fields, reader)


def _filled(kept: np.ndarray, alphabet: Alphabet, fields: Fields, reader: Reader) -> np.ndarray:
    """Return codes at the kept entries, 0 elsewhere."""
    count = fields["entries"]
    if count and not alphabet.k:
        raise ValueError(f"{count} entries in a codebook of 0")
    stream = reader.take("digits", digits.count_bytes(count, alphabet.k))
    codes = np.zeros(alphabet.size, codes_dtype(alphabet.k))
    codes[kept] = (
        digits.unpack(stream, count, alphabet.k).astype(codes_dtype(alphabet.k), copy=False) + 1
    )
    return codes


def _write_plain(alphabet: Alphabet, codes: np.ndarray) -> tuple[Fields, Streams]:
    return {}, {"digits": [digits.pack(codes.ravel(), alphabet.k + 1)]}


def _read_plain(alphabet: Alphabet, fields: Fields, reader: Reader) -> np.ndarray:
    del fields
    base = alphabet.k + 1
    stream = reader.take("digits", digits.count_bytes(alphabet.size, base))
    return digits.unpack(stream, alphabet.size, base).astype(codes_dtype(alphabet.k), copy=False)


def _write_ans(alphabet: Alphabet, codes: np.ndarray) -> tuple[Fields, Streams]:
    k, negative = alphabet.k, alphabet.negative
    words = entropy.encode(levels.from_codes(codes, k, negative), -negative, k - negative)
    choice = words.choice
    fields = {
        "entries": int(np.count_nonzero(codes)),
        "words": [segment.size for segment in words.segments],
        "model": [choice.row_classes, *choice.lags, choice.size_classes],
    }
    return fields, {"ans": words.segments}


def _read_ans(alphabet: Alphabet, fields: Fields, reader: Reader) -> np.ndarray:
    row_classes, near, far, size_classes = fields["model"]
    choice = Choice(row_classes, (near, far), size_classes)
    segments = [reader.take("ans", count) for count in fields["words"]]
    k, negative = alphabet.k, alphabet.negative
    found = entropy.decode(
        entropy.Words(choice, segments), alphabet.shape, fields["entries"], -negative, k - negative
    )
    return levels.to_codes(found, k, negative)


def _write_rans(alphabet: Alphabet, codes: np.ndarray) -> tuple[Fields, Streams]:
    return {}, {"rans": [block.Codes(codes, static.Alphabet(alphabet.k, alphabet.negative))]}


def _read_rans(alphabet: Alphabet, fields: Fields, reader: Reader) -> np.ndarray:
    del fields
    return reader.take_codes(alphabet.shape, static.Alphabet(alphabet.k, alphabet.negative))


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_count, value))


def _is_model(value: Any) -> bool:
    return _are_counts(value) and len(value) == 4 and {value[0], value[3]} <= set(entropy.CLASSES)


PACKINGS: dict[str, Packing] = {
    "csr": Packing(_write_csr, {"entries": is_count}, _read_csr),
    "gaps": Packing(_write_gaps, {"entries": is_count, "gaps": is_count}, _read_gaps),
    "bits": Packing(_write_bits, {"entries": is_count}, _read_bits),
    "plain": Packing(_write_plain, {}, _read_plain),
    "ans": Packing(
        _write_ans,
        {"entries": is_count, "words": _are_counts, "model": _is_model},
        _read_ans,
    ),
    "rans": Packing(_write_rans, {}, _read_rans, since=5),
}

DEFAULT_LAYOUT = "entropy"

LAYOUTS: dict[str, tuple[str, ...]] = {
    "csr": ("csr",),
    "packed": ("gaps", "bits", "plain"),
    "entropy": ("rans", "plain"),
}
"""The packings that each layout tries."""


def check_layout(layout: str, name: str = "layout") -> None:
    """Refuse the name of no layout.

    Raises:
        ValueError: with the names of all layouts.
    """
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ValueError(f"{name}: must be one of {', '.join(LAYOUTS)}, got {layout!r}.")
