"""`jaxcompress report`: a page of everything that a run, a plan or a file tells."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from jaxcompress.cli import screen
from jaxcompress.cli.refusals import check_memory, check_names
from jaxcompress.cli.sizes import MAX_SIZE
from jaxcompress.cli.sources import open_source
from jaxcompress.cli.status import Refused
from jaxcompress.report import of_files, of_plan, of_run, of_seeds, write
from jaxcompress.trees import plain_bytes


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Page to write; default: report.html in the folder of a run, else the first file with "
    "the suffix .report.html.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    help="Weights before compression, as pack takes them: for shapes and histograms.",
)
@click.option(
    "--plan",
    type=click.Path(exists=True, path_type=Path),
    help="Plan that the first file was packed by: for why tensors were left.",
)
@MAX_SIZE
def report(
    inputs: tuple[Path, ...],
    output: Path | None,
    against: Path | None,
    plan: Path | None,
    max_size: int | None,
) -> None:
    """Write a page of INPUTS: folders of runs of run.py, compressed files, or a plan.

    Beside the page, one HTML file that needs no network, come its numbers as JSON and a model
    card. Of several runs, which must differ in the seed only, the page has means and ranges. Of
    several files it is about the first. A plan may be followed by the profile that it was made
    from.
    """
    where = output or _beside(inputs[0])
    record = _record(inputs, against, plan, max_size)
    page, *others = write(where, record)
    size = page.stat().st_size
    screen.line(f"{page}: {size:,} bytes; beside it {', '.join(path.name for path in others)}")


def _beside(first: Path) -> Path:
    return first / "report.html" if first.is_dir() else first.with_suffix(".report.html")


def _record(
    inputs: Sequence[Path], against: Path | None, plan: Path | None, max_size: int | None
) -> dict[str, Any]:
    first, *more = inputs
    is_file = not first.is_dir() and first.suffix != ".json"
    for option, given in (("--against", against), ("--plan", plan)):
        if given is not None and not is_file:
            raise Refused(f"{option}: is for compressed files, got {first}; leave it out.")
    if is_file:
        return of_files(inputs, against=_weights(against), plan=plan, max_bytes=max_size)
    if first.is_dir():
        return of_seeds(inputs) if more else of_run(first)
    if len(more) > 1:
        raise Refused(f"{more[1]}: a plan has one profile, got more; leave the others out.")
    return of_plan(first, profile=more[0] if more else None)


def _weights(against: Path | None) -> Mapping[str, np.ndarray] | None:
    if against is None:
        return None
    source = open_source(against)
    check_names(against, source.paths)
    check_memory(against, None, sum(map(plain_bytes, source.leaves)))
    return {path: np.asarray(source.load(n)) for n, path in enumerate(source.paths)}
