"""`jaxcompress inspect`: the tensors of a file, and their sizes."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from jaxcompress.artifact.summaries import summary_of
from jaxcompress.cli import screen
from jaxcompress.cli.artifacts import Artifact, read, read_manifest
from jaxcompress.cli.sizes import MAX_SIZE
from jaxcompress.errors import MissingLibraryError
from jaxcompress.text import shortened

_LONGEST = 2000  # characters of metadata, of which --json shows all
_MOST_LINES = 40  # of what is said in one field of how a file was made

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
    found = summary_of([*artifact.tensors.values()], artifact.file_bytes)
    metadata = artifact.metadata
    if as_json:
        told = {"file": str(model), "metadata": metadata}
        told |= {} if artifact.program is None else {"program": artifact.program}
        screen.as_json(told | found.as_dict())
        return
    header, *rows = found.table()
    screen.table(header, rows)
    for note in found.notes():
        screen.line(note)
    if metadata:
        screen.line(f"metadata: {shortened(str(metadata), most=_LONGEST)}")
    for line in _said(artifact.program or {}):
        screen.line(shortened(line, most=_LONGEST))


def _said(program: Mapping[str, Any]) -> Iterator[str]:
    """Yield what runs a program, and how its weights were made: a line a field, or an entry."""
    if program:
        yield f"program: {program.get('kind')}, which `jaxcompress run` executes"
    for name, value in program.get("made", {}).items():
        parts = value if isinstance(value, list) and value else [value]
        yield from (f"made, {name}: {part}" for part in parts[:_MOST_LINES])
        if len(parts) > _MOST_LINES:
            yield f"made, {name}: and {len(parts) - _MOST_LINES} more, which --json shows"


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
