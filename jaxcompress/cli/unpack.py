"""`jaxcompress unpack`: plain weights again."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np

from jaxcompress.artifact import open_file
from jaxcompress.cli import outputs, screen
from jaxcompress.cli.artifacts import Tensor, described
from jaxcompress.cli.checkpoints import msgpack_bytes
from jaxcompress.cli.sizes import MAX_SIZE, limit_of
from jaxcompress.cli.status import Refused


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write: .safetensors, .npz or .msgpack; default: MODEL as .safetensors.",
)
@MAX_SIZE
def unpack(model: Path, output: Path | None, max_size: int | None) -> None:
    """Write the weights of MODEL as an ordinary file of dense tensors.

    Names are the paths in the tree joined with "/"; .msgpack keeps the nesting.
    """
    where = output or model.with_suffix(".safetensors")
    if where.suffix not in (".safetensors", ".npz", ".msgpack"):
        raise Refused(
            f"{where}: the output must be .safetensors, .npz or .msgpack, got "
            f"{where.suffix or 'no suffix'!r}; name another with -o."
        )
    outputs.check_output(where, model, named=output is not None)
    with open_file(model, max_bytes=max_size) as file:
        artifact = described(model, file.manifest)
        tensors = artifact.tensors

        def load(name: str) -> np.ndarray:
            return np.asarray(file[name])

        if where.suffix == ".msgpack":
            _check_whole(model, tensors.values(), limit_of(max_size))
            size = outputs.write_bytes(where, msgpack_bytes(where, file.load()))
        elif where.suffix == ".npz":
            size = outputs.write_npz(where, tensors, load)
        else:
            strings = _strings(model, artifact.metadata)
            size = outputs.write_safetensors(where, tensors, load, strings)
    screen.line(f"{where}: {size:,} bytes, {len(tensors)} tensors")


def _check_whole(model: Path, tensors: Iterable[Tensor], limit: int) -> None:
    """Refuse tensors that are too large together: a msgpack is made in memory."""
    needed = sum(math.prod(t.shape) * np.dtype(t.dtype).itemsize for t in tensors)
    needed *= 4  # leaf, tensor, their objects in msgpack, and the file
    if needed > limit:
        raise Refused(
            f"{model}: .msgpack must be made in memory, got {needed:,} bytes of {limit:,} that "
            "are allowed; raise --max-size, or write .safetensors."
        )


def _strings(model: Path, metadata: dict[str, Any]) -> dict[str, str]:
    """Return the strings of a safetensors file that the metadata keeps."""
    found = metadata.get("safetensors", {})
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return found
    screen.note(f"{model}: metadata: safetensors can carry strings by name only; left out")
    return {}
