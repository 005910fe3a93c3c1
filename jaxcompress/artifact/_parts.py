"""The parts of a file: tensors that follow one another, with streams of their own.

A part is read and written without the others. It ends after the tensor with which it reaches
`NUMBERS`, so that a large tensor is the last of its part and a small file is one part.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jaxcompress.artifact._forms import write_leaf
from jaxcompress.artifact._members import Deflated
from jaxcompress.artifact.coding import check_layout
from jaxcompress.artifact.streams import Coder, Writer
from jaxcompress.packing import block

NUMBERS = 1 << 22
"""Numbers of dense tensors with which a part is full."""


Layout = str | Callable[[str], str]
"""How codes are packed: a key of `LAYOUTS`, or a function from the path of a tensor to one."""


class Part(NamedTuple):
    """Some tensors as a file holds them.

    Attributes:
        entries: of the manifest, one for each tensor.
        members: the streams.
        notes: anything of JSON about the tensors, which no file holds.
        shares: bytes of each tensor among those of the streams; empty where they are not known.
    """

    entries: list[dict[str, Any]]
    members: dict[str, Deflated]
    notes: Sequence[Any] = ()
    shares: Sequence[float] = ()


def lengths(leaves: Iterable[Any]) -> Iterator[int]:
    """Yield how many tensors each part has, from leaves or their shapes and dtypes.

    Example:
        >>> import jax
        >>> shapes = (5,), (NUMBERS - 5,), (), (2, NUMBERS), (7,)
        >>> list(lengths(jax.ShapeDtypeStruct(shape, "float32") for shape in shapes))
        [2, 2, 1]
    """
    count = filled = 0
    for leaf in leaves:
        count, filled = count + 1, filled + math.prod(leaf.shape)
        if filled >= NUMBERS:
            yield count
            count = filled = 0
    if count:
        yield count


def encode_part(
    leaves: Iterable[tuple[str, Any]], layout: Layout, coder: Coder = block.encoded
) -> Part:
    """Return the tensors of a part, coded; it depends on nothing else.

    Args:
        leaves: path and leaf of each; they may come one at a time.
        layout: a key of `LAYOUTS`, or a function from path to key.
        coder: of codes.

    Raises:
        TypeError: a dtype that cannot be stored.
        ValueError: no such layout, or a leaf that breaks the rules of its type.
    """
    writer, entries = Writer(coder), []
    for path, leaf in leaves:
        own = layout if isinstance(layout, str) else layout(path)
        check_layout(own)
        writer.splits_planes &= own != "csr"
        entries.append(write_leaf(path, leaf, own, writer))
        del leaf  # before the next one comes
    members = writer.members()
    return Part(entries, members, shares=writer.shares)
