"""`jaxcompress run`: the function of a file, on arrays or pictures."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np

from jaxcompress.artifact import check_target, write_atomically
from jaxcompress.cli import screen
from jaxcompress.cli.sizes import MAX_SIZE
from jaxcompress.cli.status import SAME, Refused
from jaxcompress.programs import OpenFunction, open_function
from jaxcompress.programs.pictures import read_pictures
from jaxcompress.trees import PyTree

_ARRAYS = (".npz", ".npy")
_TOP = 3


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write: .npz, by output name."
)
@MAX_SIZE
def run(model: Path, inputs: tuple[Path, ...], output: Path | None, max_size: int | None) -> int:
    """Run the program of MODEL, a file of jaxcompress.ship, on INPUTS.

    INPUTS is an .npz with an array for each input, an .npy for the only one, or pictures, for
    files that say how to prepare them. A program is a program: only run files from people whom
    you trust.
    """
    if output is not None and output.suffix != ".npz":
        raise Refused(f"--output: must be a file of .npz, got {output}; name it so.")
    if output is not None:
        check_target(output)
    net = open_function(model, max_bytes=max_size)
    try:
        result = net(*_arguments(net, inputs))
    except ValueError as error:
        raise Refused(str(error)) from None
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result)]
    if net.classes is not None and leaves[0].ndim == 2:
        _show_classes(net.classes, leaves[0])
    for told, leaf in zip(net.outputs, leaves, strict=True):
        screen.line(f"{told.name}: {leaf.dtype}[{', '.join(map(str, leaf.shape))}]")
    if output is not None:
        pairs = zip(net.outputs, leaves, strict=True)
        named: dict[str, Any] = {told.name: leaf for told, leaf in pairs}
        buffer = io.BytesIO()
        np.savez(buffer, **named)
        write_atomically(output, buffer.getvalue())
    return SAME


def _arguments(net: OpenFunction, paths: Sequence[Path]) -> list[PyTree]:
    """Return the arguments of a call.

    Raises:
        ValueError: other files than the network takes.
    """
    wanted = [told.name for told in net.inputs]
    if paths[0].suffix in _ARRAYS:
        if len(paths) > 1:
            raise ValueError(
                f"{paths[1]}: arrays must be in one file, got {len(paths)}; join them."
            )
        return list(net.story.inputs.filled(_arrays(paths[0], wanted)))
    if net.preprocessing is None:
        raise ValueError(
            f"{paths[0]}: must be {' or '.join(_ARRAYS)}, as the file does not say how to prepare "
            "pictures; pass arrays."
        )
    if len(wanted) > 1:
        raise ValueError(f"{paths[0]}: pictures are one input, the network has {len(wanted)}.")
    return list(net.story.inputs.filled([read_pictures(paths, net.preprocessing)]))


def _arrays(path: Path, wanted: Sequence[str]) -> list[np.ndarray]:
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: must be arrays, got {error}; write it anew.") from None
    if isinstance(found, np.ndarray):
        if len(wanted) > 1:
            raise ValueError(f"{path}: must hold {', '.join(wanted)}, got one array; pass an .npz.")
        return [found]
    if sorted(found.files) != sorted(wanted):
        raise ValueError(
            f"{path}: must hold {', '.join(wanted)}, got {', '.join(found.files)}; rename them."
        )
    return [found[name] for name in wanted]


def _show_classes(classes: Sequence[str], scores: np.ndarray) -> None:
    for number, row in enumerate(scores):
        best = np.argsort(-row, kind="stable")[:_TOP]
        screen.line(f"{number}: " + ", ".join(f"{classes[n]} {row[n]:.3g}" for n in best))
