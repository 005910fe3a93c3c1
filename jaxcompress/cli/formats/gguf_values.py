"""Key-value metadata of a GGUF file in the metadata of a compressed one, as it was to the byte.

So it comes back exactly, whatever its types: numbers that are not finite, arrays of arrays.
"""

import base64
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcompress.artifact.reading import reading
from jaxcompress.cli import screen
from jaxcompress.cli.formats.gguf_header import Value, values_in
from jaxcompress.errors import ArtifactError

KEY = "gguf"
"""The name of the values in the metadata."""

_MOST_KEPT = 1 << 23  # bytes of text
_MOST_BYTES = 1 << 28  # of values


def kept_values(path: Path, values: Mapping[str, Value]) -> dict[str, Any]:
    """Return metadata with the values of a file; a note says if they are too many."""
    data = b"".join(value.data for value in values.values())
    text = base64.b64encode(zlib.compress(data, 6)).decode() if len(data) <= _MOST_BYTES else None
    if text is None or len(text) > _MOST_KEPT:
        screen.note(
            f"{path}: key-value metadata takes {len(data):,} bytes and is left out; unpack to "
            ".gguf with --like and this file"
        )
        return {}
    return {KEY: {"count": len(values), "values": text}}


def values_of(path: Path, metadata: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values in the metadata of a file; none if there are none.

    Raises:
        ArtifactError: they are damaged.
    """
    if KEY not in metadata:
        return {}
    with reading(path):
        kept = metadata[KEY]
        if not isinstance(kept, dict) or set(kept) != {"count", "values"}:
            raise ArtifactError("values of GGUF must be a count and bytes")
        count = kept["count"]
        inflating = zlib.decompressobj()
        data = inflating.decompress(base64.b64decode(kept["values"], validate=True), _MOST_BYTES)
        if not inflating.eof or inflating.unused_data or type(count) is not int or count < 0:
            raise ArtifactError("values of GGUF are damaged, or too many")
        return values_in(data, count)
