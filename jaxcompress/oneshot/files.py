"""Writing a file from leaves that come one at a time."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxcompress.artifact.writer import ArtifactWriter
from jaxcompress.outline import Outline


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
        layout: how codes are packed.
        metadata: anything that JSON can hold.

    Raises:
        OSError: the folder cannot be written.
    """
    writer = ArtifactWriter(layout)
    for leaf_path, leaf in leaves:
        writer.add(leaf_path, leaf)
    return writer.write(path, outline, metadata=metadata)
