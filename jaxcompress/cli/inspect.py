"""`jaxcompress inspect`: what is in a file, and what each tensor takes."""

import math
from pathlib import Path
from typing import Any

import click
import numpy as np

from jaxcompress.cli import screen
from jaxcompress.cli.artifacts import Artifact, Tensor, read
from jaxcompress.cli.sizes import MAX_SIZE
from jaxcompress.states import optimizer_states


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
@MAX_SIZE
def inspect(model: Path, as_json: bool, max_size: int | None) -> None:  # noqa: FBT001
    """Show what MODEL holds: form, sparsity, values, bits a weight, bytes.

    The column "over bound" compares with the entropy of the codes, below which no coder that sees
    one weight at a time can go.
    """
    artifact = read(model, max_size)
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
        ["tensor", "shape", "dtype", "form", "sparsity", "k", "bits/weight", "bytes", "share"]
        + ["over bound"],
        [_cells(row) for row in [*rows, total]],
    )
    screen.line(
        f"file: {total['file_bytes']:,} bytes, {total['ratio']:.1f}x smaller than "
        f"{total['dense_bytes']:,} of dense tensors"
    )
    if states["tensors"]:
        screen.line(
            f"optimizer states: {states['tensors']} tensors, {screen.size(states['bytes'])} bytes, "
            "which inference does not need"
        )
    if metadata:
        screen.line(f"metadata: {metadata}")


def _states(artifact: Artifact) -> dict[str, Any]:
    """Return how many tensors are of an optimizer's state, and their share of the file."""
    tensors = artifact.tensors.values()
    found = optimizer_states(list(artifact.tensors), [tensor.shape for tensor in tensors])
    states = [tensor for tensor, is_state in zip(tensors, found, strict=True) if is_state]
    return {"tensors": len(states), "bytes": sum(tensor.stored_bytes for tensor in states)}


def _row(tensor: Tensor, file_bytes: int) -> dict[str, Any]:
    size, nonzero, bound = math.prod(tensor.shape), tensor.nonzero(), tensor.bound_bytes()
    return {
        "path": tensor.path,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "form": tensor.form,
        "packing": tensor.packing,
        "weights": size,
        "nonzero": nonzero,
        "sparsity": 1 - nonzero / size if size else 0.0,
        "k": tensor.k,
        "bits": tensor.bits,
        "bits_per_weight": 8 * tensor.stored_bytes / size if size else 0.0,
        "bytes": tensor.stored_bytes,
        "share": tensor.stored_bytes / file_bytes,
        "bound_bytes": bound,
        "over_bound": _over(tensor.stored_bytes, bound),
        "dense_bytes": size * np.dtype(tensor.dtype).itemsize,
    }


def _total(rows: list[dict[str, Any]], file_bytes: int) -> dict[str, Any]:
    def summed(field: str) -> Any:
        return sum(row[field] for row in rows)

    size, bound, dense = summed("weights"), summed("bound_bytes"), summed("dense_bytes")
    return {
        "tensors": len(rows),
        "weights": size,
        "nonzero": summed("nonzero"),
        "sparsity": 1 - summed("nonzero") / size if size else 0.0,
        "bits_per_weight": 8 * file_bytes / size if size else 0.0,
        "file_bytes": file_bytes,
        "bound_bytes": bound,
        "over_bound": _over(file_bytes, bound),
        "dense_bytes": dense,
        "ratio": dense / file_bytes,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    over = row["over_bound"]
    head = (
        [f"total of {row['tensors']}", "", "", ""]
        if "path" not in row
        else [row["path"], screen.shape(row["shape"]), row["dtype"], _form(row)]
    )
    return [
        *head,
        f"{row['sparsity']:.1%}",
        "" if row.get("k") is None else str(row["k"]),
        f"{row['bits_per_weight']:.2f}",
        screen.size(row.get("bytes", row["file_bytes"] if "path" not in row else 0)),
        f"{row.get('share', 1.0):.1%}",
        "" if over is None else f"{over:+.1%}",
    ]


def _form(row: dict[str, Any]) -> str:
    bits = "" if row["bits"] is None else f"{row['bits']}-bit"
    return " ".join(word for word in (bits, row["form"], row["packing"]) if word)


def _over(stored: float, bound: float) -> float | None:
    return stored / bound - 1 if bound else None
