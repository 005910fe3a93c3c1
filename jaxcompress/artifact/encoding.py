"""A tree as the parts of a file, as the bytes of one, or as their number."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from jaxcompress.artifact._parts import Part
from jaxcompress.artifact.coding import DEFAULT_LAYOUT, check_layout
from jaxcompress.artifact.outline import Outline, outline, paths
from jaxcompress.artifact.repeats import repeat_of, repeated_leaves
from jaxcompress.artifact.writer import encoded, pieces
from jaxcompress.leaves import is_compressed
from jaxcompress.placement import unsplit
from jaxcompress.trees import PyTree, named_leaves


def encoded_tree(tree: PyTree, layout: str) -> tuple[Iterator[Part], Outline]:
    """Return the parts of a file, which come one at a time, and the structure of the tree."""
    check_layout(layout)
    return encoded_leaves(tree, layout, stored_leaves(tree))


def stored_leaves(tree: PyTree) -> Iterator[Any]:
    """Return the leaves as a file has them, one at a time: put together, equal ones but once."""
    leaves = named_leaves(tree, is_leaf=is_compressed).leaves
    first = repeated_leaves(leaves)
    return (
        repeat_of(first[n], leaf) if n in first else jax.tree.map(unsplit, leaf)
        for n, leaf in enumerate(leaves)
    )


def encoded_leaves(
    tree: PyTree, layout: str, stored: Iterator[Any]
) -> tuple[Iterator[Part], Outline]:
    """Return what `encoded_tree` does, from leaves that `stored_leaves` gives."""
    structure = outline(tree, is_compressed)
    leaves = named_leaves(tree, is_leaf=is_compressed).leaves
    return encoded(_named(paths(structure), stored), leaves, layout), structure


def _named(names: list[str], leaves: Iterator[Any]) -> Iterator[tuple[str, Any]]:
    """Yield paths with leaves; `zip` would keep each leaf until the next one has come."""
    for name in names:
        yield name, next(leaves)


def encode(
    tree: PyTree, *, layout: str = DEFAULT_LAYOUT, metadata: Mapping[str, Any] | None = None
) -> bytes:
    """Return the bytes of the file that `save` writes.

    Example:
        >>> import numpy as np
        >>> tree = {"kernel": np.eye(2, dtype=np.float32)}
        >>> encode(tree)[:2], encode(tree) == encode(tree)  # a zip file; same input, same bytes
        (b'PK', True)
    """
    parts, structure = encoded_tree(tree, layout)
    return b"".join(pieces(parts, structure, metadata=metadata))


def size_bytes(
    tree: PyTree, *, layout: str = DEFAULT_LAYOUT, metadata: Mapping[str, Any] | None = None
) -> int:
    """Return the size of the file that `save` writes, to the byte; no file is written.

    The tree is coded, in the memory of one part of the file: as long as `save` takes without the
    disk.

    Args:
        tree: as for `save`.
        layout: as for `save`.
        metadata: as for `save`; it is in the file.

    Raises:
        TypeError: as for `save`.
        ValueError: as for `save`.

    Example:
        >>> import numpy as np
        >>> tree = {"kernel": np.eye(2, dtype=np.float32)}
        >>> size_bytes(tree) == len(encode(tree))
        True
    """
    parts, structure = encoded_tree(tree, layout)
    return sum(map(len, pieces(parts, structure, metadata=metadata)))
