"""A file written leaf by leaf."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxcompress.artifact import manifest
from jaxcompress.artifact._archive import archive, deflate
from jaxcompress.artifact._forms import write_leaf
from jaxcompress.artifact.atomic import write_atomically
from jaxcompress.artifact.coding import LAYOUTS
from jaxcompress.artifact.outline import Outline, paths
from jaxcompress.artifact.streams import MANIFEST, Writer


class ArtifactWriter:
    """Writes a file leaf by leaf, so that only one leaf need be in memory.

    It keeps about as many bytes as the file has.
    """

    def __init__(self, layout: str = "packed") -> None:
        """Take the layout, a key of `LAYOUTS`.

        Raises:
            ValueError: there is no such layout.
        """
        if layout not in LAYOUTS:
            raise ValueError(f"layout: must be one of {', '.join(LAYOUTS)}, got {layout!r}.")
        self._layout = layout
        self._writer = Writer(splits_planes=layout != "csr")
        self._entries: list[dict[str, Any]] = []

    def add(self, path: str, leaf: Any) -> None:
        """Add the next leaf in the order of the tree.

        Raises:
            TypeError: a dtype that cannot be stored.
            ValueError: a leaf that breaks the rules of its type.
        """
        self._entries.append(write_leaf(path, leaf, self._layout, self._writer))

    def write(
        self,
        path: str | os.PathLike[str],
        structure: Outline,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Write the file atomically; return its size in bytes.

        Args:
            path: file to write.
            structure: of the tree whose leaves were added, from `outline`.
            metadata: as for `save`.
        """
        parts = self.parts(structure, metadata=metadata)
        write_atomically(Path(path), parts)
        return sum(map(len, parts))

    def parts(
        self, structure: Outline, *, metadata: Mapping[str, Any] | None = None
    ) -> list[bytes]:
        """Return the bytes of the file in pieces."""
        expected, found = paths(structure), [entry["path"] for entry in self._entries]
        if expected != found:
            raise ValueError(
                f"{next((p for p in expected if p not in found), '(root)')}: leaves must be added "
                f"in the order of the tree, got {len(found)} of {len(expected)}; add each once."
            )
        data, digest = manifest.encode(structure, self._entries, metadata)
        members = {MANIFEST: deflate([data])} | self._writer.members()
        return list(archive(members, digest))


def filled(leaves: Iterable[tuple[str, Any]], layout: str) -> ArtifactWriter:
    """Return a writer to which these leaves were added.

    Args:
        leaves: path and leaf, in the order of the tree; they may come one at a time.
        layout: how codes are packed.
    """
    writer = ArtifactWriter(layout)
    for path, leaf in leaves:
        writer.add(path, leaf)
    return writer
