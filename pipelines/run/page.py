"""The report at the end of a run: nothing else needs it, and no run fails for it."""

from collections.abc import Callable
from pathlib import Path

import jaxcompress as jc
from jaxcompress.text import printable
from pipelines.run.console import Console

PAGE = "report.html"


def write_page(folder: Path, console: Console, measure: Callable[[], None]) -> None:
    """Write the page, its numbers and the model card of a finished run, or say why not.

    Args:
        folder: of the run, with `results.json`.
        console: to say it.
        measure: called first, for what only the report needs.
    """
    try:
        if not (folder / jc.report.ALONE).exists():
            measure()
        files = jc.report.write(folder / PAGE, jc.report.of_run(folder))
    except Exception as error:  # whatever it is, the network is there and is measured
        why = next(iter(printable(str(error)).splitlines()), type(error).__name__)
        console.loud(f"{PAGE}: is not written ({why}); nothing else needs it")
        return
    console.line(f"{', '.join(path.name for path in files)}: the report")
