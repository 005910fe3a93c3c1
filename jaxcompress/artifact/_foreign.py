"""Files of other programs, recognized by their first bytes, for errors only."""

import struct
from collections.abc import Callable

from jaxcompress.artifact.streams import parsed_name

HEAD_SIZE = 300

_PACK = "; jaxcompress pack makes one of it"


def kind_by(head: bytes) -> str | None:
    r"""Return the kind of a file from its first bytes; None for our own and for unknown files.

    Example:
        >>> kind_by(b"\x89HDF\r\n\x1a\n")
        'an HDF5 file'
    """
    others = (what(head) for start, what in _KINDS if head.startswith(start))
    return _safetensors(head) or next(others, None)


def _zip(head: bytes) -> str | None:
    if len(head) < 30:
        return None
    length = struct.unpack_from("<H", head, 26)[0]
    name = head[30 : 30 + length].decode(errors="replace")
    ours = parsed_name(name.removesuffix(".npy")) and head[4] == 20  # numpy's are of zip64
    if name == "manifest.npy" or ours or 30 + length > len(head):
        return None
    return f"an ordinary .npz{_PACK}" if name.endswith(".npy") else f"a zip that holds {name[:60]}"


def _safetensors(head: bytes) -> str | None:
    if len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 2**32:
        return f"a file of safetensors{_PACK}"
    return None


def _named(what: str) -> Callable[[bytes], str]:
    return lambda head: what


_KINDS: list[tuple[bytes | tuple[bytes, ...], Callable[[bytes], str | None]]] = [
    (b"PK\3\4", _zip),
    (b"\x93NUMPY", _named("an .npy, one array of numpy")),
    (b"\x89HDF", _named("an HDF5 file")),
    (b"GGUF", _named("a GGUF file")),
    (b"\x1f\x8b", _named("a gzip")),
    (b"\x28\xb5\x2f\xfd", _named("a zstd")),
    (tuple(bytes([0x80, n]) for n in range(2, 6)), _named("a pickle, which is never opened")),
    (tuple(bytes([n]) for n in (*range(0x81, 0x90), 0xDE, 0xDF)), _named(f"a msgpack{_PACK}")),
]
