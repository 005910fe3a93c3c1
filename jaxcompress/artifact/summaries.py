"""The table of what a file holds, and that of a tree: of the file that it would make."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.artifact._rows import States, TensorRow, Total, row_of, states_of, total_of, word
from jaxcompress.artifact.coding import DEFAULT_LAYOUT
from jaxcompress.artifact.encoding import encode
from jaxcompress.artifact.reader import contents
from jaxcompress.artifact.source import Buffer
from jaxcompress.artifact.tensors import Tensor, tensors_of
from jaxcompress.metrics import count_parameters
from jaxcompress.text import as_html, escaped, table_lines
from jaxcompress.trees import PyTree

_HEADER = (
    *"tensor shape dtype form sparsity values bits/weight bytes share".split(),
    "over entropy",
)

_LEGEND = (
    "values: those that weights share, or the integers in use of those that the bits allow",
    "over entropy: bytes against the entropy of the codes plus codebook or scales; below 0 where "
    "neighbours tell more, or scales are compressed too",
)
"""What the columns mean, in the order of the columns."""


class Summary(NamedTuple):
    """What a file holds; `str` gives the table that `jaxcompress inspect` shows.

    Attributes:
        rows: a `TensorRow` of each tensor, in the order of the file.
        total: of all tensors.
        optimizer_states: of those that belong to the state of an optimizer.
    """

    rows: Sequence[TensorRow]
    total: Total
    optimizer_states: States

    def table(self) -> list[list[str]]:
        """Return the words of the table: its header, a row for each tensor, the total."""
        return [[*_HEADER], *(row.cells() for row in self.rows), self.total.cells()]

    def notes(self) -> list[str]:
        """Return the lines below the table."""
        total, states = self.total, self.optimizer_states
        lines = [*_LEGEND] if any(row.values() for row in self.rows) else []
        lines.append(
            f"file: {total.file_bytes:,} bytes, {total.ratio:.1f}x smaller than "
            f"{total.dense_bytes:,} of dense tensors"
        )
        if states.tensors:
            size = word(states.bytes, ", {:,.0f} bytes")
            lines.append(
                f"optimizer states: {states.tensors} tensors{size}, which inference does not need"
            )
        return lines

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        """Return the table and the lines below it."""
        words = [[*map(escaped, row)] for row in self.table()]
        return "\n".join([*table_lines(words), *self.notes()])

    def as_dict(self) -> dict[str, Any]:
        """Return tensors, total and optimizer states, as `jaxcompress inspect --json` has them."""
        return {
            "tensors": [row._asdict() for row in self.rows],
            "total": self.total._asdict(),
            "optimizer_states": self.optimizer_states._asdict(),
        }

    def scalars(self) -> dict[str, float]:
        """Return the total as numbers by name, for a logger; what is unknown is left out.

        `parameters` are those that `count_parameters` counts. `nonzero_fraction` and
        `bits_per_weight` are of all numbers in the tree.
        """
        total = self.total
        like = [jax.ShapeDtypeStruct(row.shape, np.dtype(row.dtype)) for row in self.rows]
        found = {
            "bytes": total.file_bytes,
            "dense_bytes": total.dense_bytes,
            "entropy_bound_bytes": total.bound_bytes,
            "times_smaller": total.ratio,
            "parameters": count_parameters(like),
            "nonzero_fraction": None if total.sparsity is None else 1 - total.sparsity,
            "bits_per_weight": total.bits_per_weight,
        }
        return {name: float(number) for name, number in found.items() if number is not None}


def summary(tree: PyTree, *, layout: str = DEFAULT_LAYOUT) -> Summary:
    """Return what `jaxcompress inspect` says of the file that `save` would write.

    The tree is coded in memory and read again, so all numbers are those of the file. That takes
    about a second for 15 million weights. Of shapes alone use `count_parameters`.

    Args:
        tree: as for `save`: arrays and compressed leaves, of any containers.
        layout: as for `save`.

    Returns:
        Rows and total; `print` it, give its `scalars()` to a logger.

    Raises:
        TypeError: as for `save`.
        ValueError: as for `save`.

    Example:
        >>> from jaxcompress.leaves import Clustered
        >>> codes = np.tile(np.array([0, 1, 2, 0], np.uint8), (64, 64))
        >>> leaf = Clustered(codes=codes, codebook=np.array([-1.0, 3.0], np.float32))
        >>> found = summary({"kernel": leaf, "bias": np.zeros(64, np.float32)})
        >>> [(row.path, row.form, row.k, row.sparsity) for row in found.rows]
        [('bias', 'dense', None, 1.0), ('kernel', 'clustered', 2, 0.5)]
        >>> found.scalars()["parameters"], found.total.dense_bytes
        (16448.0, 65792)
    """
    data = encode(tree, layout=layout)
    found = contents(Buffer(data), max_bytes=sys.maxsize)
    return summary_of(tensors_of(found), found.file_bytes)


def summary_of(tensors: Sequence[Tensor], file_bytes: int) -> Summary:
    """Return the summary of the tensors of a file of this size."""
    rows = [row_of(tensor, file_bytes) for tensor in tensors]
    return Summary(rows, total_of(rows, file_bytes), states_of(rows))
