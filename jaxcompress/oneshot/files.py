"""Writing a file from leaves that come one at a time.

The only place that knows how: a writer takes leaves in the order of the tree, then the outline.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxcompress import codec
from jaxcompress.outline import Outline, fill

LAYOUTS = ("packed", "csr", "entropy")


class _Collector:
    """Keeps leaves until the file is written, where the codec has no writer for streams."""

    def __init__(self) -> None:
        self._leaves: list[Any] = []

    def add(self, path: str, leaf: Any) -> None:
        """Take the next leaf."""
        del path
        self._leaves.append(leaf)

    def write(self, path: Path, outline: Outline, metadata: Mapping[str, Any] | None) -> int:
        """Write the file; returns its size in bytes."""
        return codec.save(path, fill(outline, self._leaves), metadata=metadata)


def write_leaves(
    path: Path,
    leaves: Iterable[tuple[str, Any]],
    outline: Outline,
    *,
    layout: str,
    metadata: Mapping[str, Any] | None = None,
) -> int:
    """Write leaves to one file, atomically; returns its size in bytes.

    Args:
        path: file to write.
        leaves: path and leaf, in the order of the tree.
        outline: structure of the tree.
        layout: how codes are packed, one of `LAYOUTS`.
        metadata: anything that JSON can hold.

    Raises:
        OSError: the folder cannot be written.
    """
    make = getattr(codec, "ArtifactWriter", None)
    writer: Any = make(layout=layout) if make else _Collector()
    for leaf_path, leaf in leaves:
        writer.add(leaf_path, leaf)
    return writer.write(path, outline, metadata=metadata)
