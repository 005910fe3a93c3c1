"""Checks of weights in all formats; errors name file and tensor."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact.memory import free_bytes
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.checks import check_unique
from jaxcompress.cli.status import Refused
from jaxcompress.kinds import UNNAMED, is_unnamed


def check_names(path: Path, names: Sequence[str], written: Sequence[str] = ()) -> None:
    """Refuse two tensors of one name.

    Args:
        path: of the file.
        names: of all of its tensors.
        written: the names as the file has them, if they say more.

    Raises:
        ValueError: naming file and tensor.
    """
    check_unique(names, rule="a name must mean one tensor", place=f"{path}: ", written=written)


def check_memory(path: Path, name: str | None, needed: int) -> None:
    """Refuse tensors that do not fit in memory, before the system ends the program.

    Args:
        path: of the file.
        name: of the tensor; None for all of them together.
        needed: bytes.

    Raises:
        Refused: naming both.
    """
    free = free_bytes()
    if needed > free:
        where = "" if name is None else f"{name}: "
        raise Refused(
            f"{path}: {where}must fit in memory, got {needed:,} bytes of {free:,} that are free; "
            "take a larger machine, or a file of fewer weights."
        )


def check_storable(path: Path, leaves: Iterable[tuple[str, Any]]) -> None:
    """Refuse tensors of a dtype that the format does not know.

    Raises:
        Refused: naming file and tensor.
    """
    for name, leaf in leaves:
        dtype = np.dtype(getattr(leaf, "dtype", leaf))
        if is_unnamed(dtype):
            raise Refused(f"{path}: {name}: must have a dtype, got {dtype.str}, {UNNAMED}.")
        if dtype.name not in DTYPES:
            raise not_storable(path, name, dtype.name)


def not_storable(path: Path, name: str, dtype: str) -> Refused:
    """Return the error of a tensor whose dtype the format does not know."""
    return Refused(
        f"{path}: {name}: dtype must be one of {', '.join(DTYPES)}, got {dtype}; convert it first."
    )
