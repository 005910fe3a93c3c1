"""Leaves that are stored once: each later one names the first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_count
from jaxcompress.artifact._forms.form import Form
from jaxcompress.artifact.coding import Fields
from jaxcompress.artifact.repeats import Repeat
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.errors import ArtifactError

SAME = "same"
"""Name of the form."""


def check_repeats(entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse entries that are the same as none before them, as another repeat, or as another kind.

    Args:
        entries: of the manifest, each checked by itself.

    Raises:
        ArtifactError: naming the tensor.
    """
    for number, entry in enumerate(entries):
        if entry["form"] != SAME:
            continue
        tensor, path = entry["tensor"], entry["path"]
        if tensor >= number:
            raise ArtifactError(
                "must be the same as a tensor before it",
                tensor=path,
                expected=f"< {number}",
                found=tensor,
            )
        named = entries[tensor]
        if named["form"] == SAME:
            raise ArtifactError(
                "must be the same as a tensor that is stored", tensor=path, found=named["path"]
            )
        if (named["shape"], named["dtype"]) != (entry["shape"], entry["dtype"]):
            raise ArtifactError(
                "must have the shape and the dtype of the tensor that it is the same as",
                tensor=path,
                expected=f"{named['dtype']} {named['shape']}",
                found=f"{entry['dtype']} {entry['shape']}",
            )


def _prepare(path: str, leaf: Repeat) -> Repeat:
    del path
    return leaf


def _numbers(leaf: Repeat) -> tuple[()]:
    del leaf
    return ()


def _write(leaf: Repeat, dtype: str, layout: str, writer: Writer) -> Fields:
    del dtype, layout, writer
    return {"tensor": leaf.tensor}


def _read(entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader) -> Repeat:
    del reader
    return Repeat(tensor=entry["tensor"], shape=shape, dtype=np.dtype(dtype))


REPEAT = Form(Repeat, _prepare, _numbers, _write, {6: {"tensor": is_count}}, _read)
