"""`jaxcompress unpack`: plain weights again."""

from pathlib import Path

import click

from jaxcompress.cli import outputs, screen
from jaxcompress.cli.artifacts import read
from jaxcompress.cli.sizes import Size
from jaxcompress.cli.status import Refused
from jaxcompress.codec import inspect
from jaxcompress.leaves import dense

MAX_SIZE = click.option(
    "--max-size",
    type=Size(),
    help="Refuse files whose tensors would take more memory than this.",
)


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
    artifact = read(model, max_size)
    if where.suffix == ".msgpack":
        from jaxcompress.cli.checkpoints import msgpack_bytes

        size = outputs.write_bytes(where, msgpack_bytes(where, dense(artifact.tree)))
    elif where.suffix == ".npz":
        size = outputs.write_npz(where, artifact.leaves, artifact.tensor)
    else:
        strings = inspect(model)["metadata"].get("safetensors", {})
        size = outputs.write_safetensors(where, artifact.leaves, artifact.tensor, strings)
    screen.line(f"{where}: {size:,} bytes, {len(artifact.leaves)} tensors")
