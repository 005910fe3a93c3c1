"""Lottery tickets beside their controls: how much of a network its mask and its weights say."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from pipelines.run.row import Row
from pipelines.stages.lottery import CONTROL
from pipelines.stages.tickets import WAYS


def tickets_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return one object for each round: sparsity, and accuracies on the test images as JSON.

    Args:
        rows: of a finished run; of other recipes there are no rounds.
    """
    by_name = {row.name: row for row in rows}
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        if "way" in row.facts:
            mine = found.setdefault(row.facts["round"], {"sparsity": row.facts["removed"]})
            mine[_key(row.facts["way"])] = row.accuracy
    dense = {"dense": "baseline", "dense_trained_on": CONTROL}
    shared = {key: by_name[name].accuracy for key, name in dense.items() if name in by_name}
    return [each | shared for each in found.values()]


def table_of_tickets(rows: Sequence[Row]) -> Table:
    """Return a table of the rounds; of other recipes it has no rows."""
    shown = Table(
        caption="Accuracy on the test images. A ticket less the same mask with new weights is what "
        "early weights are worth; less a random mask, with as many weights in each layer, what "
        "their places are worth; less fine-tuning, what rewinding is worth. Fine-tuned networks, "
        "and the dense one that was trained on, have trained longer."
    )
    names = ("sparsity", *WAYS, "dense", "dense trained on")
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    for each in tickets_of(rows):
        digits = 1 if each["sparsity"] < 0.99 else 3
        cells = (f"{each[_key(name)]:.2%}" for name in names[1:])
        shown.add_row(f"{each['sparsity']:.{digits}%}", *cells)
    return shown


def _key(name: str) -> str:
    return name.replace(" ", "_").replace("-", "_")
