"""The state from which a run continues: the latest one whose files are all unchanged."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipelines.run.checkpoints import Checkpoints
from pipelines.run.console import Console
from pipelines.run.outputs import fault_of, mend
from pipelines.run.row import Row
from pipelines.run.standing import Standing, unpacked
from pipelines.stages.files import read_plain, size_of, write_plain
from pipelines.stages.stage import Stage


def take_up(
    checkpoints: Checkpoints,
    stages: Sequence[Stage],
    folder: Path,
    *,
    write: Callable[[Standing, Stage], None],
    console: Console,
) -> Standing:
    """Return the state to continue from, after changed files are written again.

    If a file cannot be written again from a state, an earlier state is used, and the stages after
    it run again.

    Args:
        checkpoints: of the run.
        stages: all of the run.
        folder: of the run.
        write: writes the file of the last finished stage.
        console: to report to.

    Raises:
        FolderError: a checkpoint has another format, or a pipe or the like is in its place.
    """
    checkpoints.tidy()
    for standing in _standings(checkpoints, stages, folder):
        done = stages[: len(standing.rows)]
        again = None
        if done and done[-1].write is not size_of:
            again = partial(write, standing, done[-1])
        files = [folder / stage.file for stage in done]
        if mend(files, standing.rows, again, console.loud):
            at = stages[min(len(done), len(stages) - 1)]
            console.line(f"resumed at stage {at.name!r}")
            return standing
    if checkpoints.found:
        console.loud(f"nothing to go on from is sound; starting at {stages[0].name!r} again")
    return Standing()


def _standings(
    checkpoints: Checkpoints, stages: Sequence[Stage], folder: Path
) -> Iterator[Standing]:
    """Yield the states to continue from, the latest first."""
    rows: Sequence[Row] = ()
    for standing in checkpoints.sound(partial(unpacked, stages=stages)):
        rows = rows or standing.rows
        yield standing
    # The longest training need not be repeated, if its file and those after it hold all it kept.
    done = 0
    for number, (stage, row) in enumerate(zip(stages, rows, strict=False), start=1):
        if stage.write is not write_plain or fault_of(folder / stage.file, row):
            break
        done = done if row.facts else number
    if done:
        yield Standing(rows[:done], read_plain(folder / stages[done - 1].file))
