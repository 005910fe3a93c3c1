"""`jaxcompress inspect`: the tensors of a file, and their sizes."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np

from jaxcompress.cli import screen
from jaxcompress.cli.artifacts import Artifact, Tensor, read, read_manifest
from jaxcompress.cli.sizes import MAX_SIZE
from jaxcompress.errors import MissingLibraryError
from jaxcompress.states import optimizer_states
from jaxcompress.text import shortened

_LONGEST = 2000  # characters of metadata, of which --json shows all

_UNCODED = ("dense", "half", "planes", "same")
"""Forms without codes, of which there is no entropy."""

_LEGEND = (
    "values: those that weights share, or the integers in use of those that the bits allow",
    "over entropy: bytes against the entropy of the codes plus codebook or scales; below 0 where "
    "neighbours tell more, or scales are compressed too",
)
"""What the columns mean, in the order of the columns."""

_MOST_NUMBERS = 1 << 24
"""Numbers up to which a file is read in a second or so."""


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Read the tensors of large files too: sparsity, and the bytes of each.",
)
@MAX_SIZE
def inspect(
    model: Path,
    as_json: bool,  # noqa: FBT001
    everything: bool,  # noqa: FBT001
    max_size: int | None,
) -> None:
    """Show what MODEL holds: form, sparsity, values, bits a weight, bytes.

    Of files of more than 2^24 numbers only the manifest is read, unless --all is given. The column
    "over entropy" compares with the entropy of the codes, below which no coder that sees
    one weight at a time can go. Of a file in the layout "entropy" of format versions 2 to 4 only
    the manifest is shown where constriction is not installed.
    """
    artifact = _read(model, max_size, everything=everything)
    rows = [_row(tensor, artifact.file_bytes) for tensor in artifact.tensors.values()]
    total = _total(rows, artifact.file_bytes)
    metadata = artifact.metadata
    states = _states(artifact)
    if as_json:
        file = {"file": str(model), "metadata": metadata, "tensors": rows, "total": total}
        file |= {"optimizer_states": states}
        screen.as_json(file)
        return
    screen.table(
        ["tensor", "shape", "dtype", "form", "sparsity", "values", "bits/weight", "bytes", "share"]
        + ["over entropy"],
        [_cells(row) for row in [*rows, total]],
    )
    if any(_values(row) for row in rows):
        for meaning in _LEGEND:
            screen.line(meaning)
    screen.line(
        f"file: {total['file_bytes']:,} bytes, {total['ratio']:.1f}x smaller than "
        f"{total['dense_bytes']:,} of dense tensors"
    )
    if states["tensors"]:
        size = _word(states["bytes"], ", {:,.0f} bytes")
        screen.line(
            f"optimizer states: {states['tensors']} tensors{size}, which inference does not need"
        )
    if metadata:
        screen.line(f"metadata: {shortened(str(metadata), most=_LONGEST)}")


def _read(model: Path, max_size: int | None, *, everything: bool) -> Artifact:
    told = read_manifest(model)
    numbers = sum(math.prod(tensor.shape) for tensor in told.tensors.values())
    if numbers > _MOST_NUMBERS and not everything:
        screen.note(f"{model}: only the manifest is read, of {numbers:,} numbers; pass --all.")
        return told
    try:
        return read(model, max_size)
    except MissingLibraryError as error:
        screen.note(f"{model}: only the manifest is shown; {error}")
        return read_manifest(model)


def _states(artifact: Artifact) -> dict[str, Any]:
    """Return the number of tensors of an optimizer's state, and their bytes in the file."""
    tensors = artifact.tensors.values()
    found = optimizer_states(list(artifact.tensors), [tensor.shape for tensor in tensors])
    states = [tensor for tensor, is_state in zip(tensors, found, strict=True) if is_state]
    return {"tensors": len(states), "bytes": _sum(tensor.stored_bytes for tensor in states)}


def _sum(values: Iterable[Any]) -> Any:
    """Return the sum of numbers, None if one of them is not known."""
    found = list(values)
    return None if None in found else sum(found)


def _fraction(part: float | None, whole: float) -> float | None:
    return None if part is None else part / whole if whole else 0.0


def _zeros(nonzero: int | None, size: int) -> float | None:
    return None if nonzero is None else 1 - nonzero / size if size else 0.0


def _row(tensor: Tensor, file_bytes: int) -> dict[str, Any]:
    size, nonzero, bound = math.prod(tensor.shape), tensor.nonzero(), tensor.bound_bytes()
    stored = tensor.stored_bytes
    return {
        "path": tensor.path,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "form": tensor.form,
        "packing": tensor.packing,
        "weights": size,
        "nonzero": nonzero,
        "sparsity": _zeros(nonzero, size),
        "k": tensor.k,
        "bits": tensor.bits,
        "levels": tensor.levels(),
        "bits_per_weight": None if stored is None else _fraction(8 * stored, size),
        "bytes": stored,
        "share": _fraction(stored, file_bytes),
        "bound_bytes": bound,
        "over_bound": _over(stored, bound),
        "dense_bytes": size * np.dtype(tensor.dtype).itemsize,
    }


def _total(rows: list[dict[str, Any]], file_bytes: int) -> dict[str, Any]:
    def summed(field: str) -> Any:
        return _sum(row[field] for row in rows)

    size, bound, dense = summed("weights"), summed("bound_bytes"), summed("dense_bytes")
    return {
        "tensors": len(rows),
        "weights": size,
        "nonzero": summed("nonzero"),
        "sparsity": _zeros(summed("nonzero"), size),
        "bits_per_weight": _fraction(8 * file_bytes, size),
        "file_bytes": file_bytes,
        "bound_bytes": bound,
        "over_bound": _over(file_bytes, bound),
        "dense_bytes": dense,
        "ratio": dense / file_bytes,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    head = (
        [f"total of {row['tensors']}", "", "", ""]
        if "path" not in row
        else [row["path"], screen.shape(row["shape"]), row["dtype"], _form(row)]
    )
    has_codes = row.get("form", "dense") not in _UNCODED  # all of a file are more than codes
    stored = row["bytes"] if "path" in row else row["file_bytes"]
    return [
        *head,
        _word(row["sparsity"], "{:.1%}"),
        _values(row),
        _word(row["bits_per_weight"], "{:.2f}"),
        _word(stored, "{:,.0f}"),
        _word(row.get("share", 1.0), "{:.1%}"),
        _word(row["over_bound"] if has_codes else None, "{:+.1%}"),
    ]


def _word(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)


def _form(row: dict[str, Any]) -> str:
    return f"{row['form']} {row['packing']}".rstrip()


def _values(row: dict[str, Any]) -> str:
    if row.get("bits") is None:
        return _word(row.get("k"), "{}")
    # The bits are those of the grid. Codes take fewer of them in the file.
    return f"{_word(row['levels'], '{} of ') or 'at most '}{1 << row['bits']}"


def _over(stored: float | None, bound: float | None) -> float | None:
    return stored / bound - 1 if bound and stored is not None else None
