"""How a run ends: done, stopped, diverged or out of memory."""

import errno
import os
import shlex
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from jaxcompress.errors import MismatchError
from pipelines.data import Dataset
from pipelines.models.devices import Division
from pipelines.run.folder import RESULTS, write_json
from pipelines.run.job import Diverged, Interrupted, Job
from pipelines.run.made import made
from pipelines.run.page import write_page
from pipelines.run.processes import Processes
from pipelines.run.proof import checks_of, missed, table_of
from pipelines.run.report import results, table
from pipelines.run.row import Row
from pipelines.run.shipped import SHIPPED, write_shipped
from pipelines.run.signals import Stop
from pipelines.run.tickets import table_of_tickets

FAILED, MISSED = 1, 4
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Ending(NamedTuple):
    """A run and all that its end needs.

    Attributes:
        job: the run.
        dataset: pictures and labels.
        division: of a batch.
        processes: that compute together.
        with_program: whether to write `shipped.npz`.
    """

    job: Job
    dataset: Dataset
    division: Division
    processes: Processes
    with_program: bool

    def run(self, stop: Stop, words: Sequence[str]) -> int:
        """Run all stages; return the exit status.

        Args:
            stop: that the run asks.
            words: of the command line.

        Raises:
            OSError: a file cannot be written.
        """
        job, console = self.job, self.job.console
        try:
            rows = job.run()
        except Interrupted as where:
            again = _resume_command(words, job.folder)
            console.loud(f"stopped in stage {where}; go on with: {again}")
            return stop.exit_status
        except Diverged as error:
            console.loud(str(error))
            return FAILED
        except MismatchError as error:
            console.loud(f"{job.stage}: {error}")
            return FAILED
        except (MemoryError, RuntimeError, ValueError) as error:
            self._failed(error)
            return FAILED
        status = self._finish(rows) if self.processes.is_first else 0
        return self.processes.told(bytes([status]))[0]

    def _failed(self, error: Exception) -> None:
        """Say what the system lacks; raise any other error again.

        Raises:
            OSError: the disk is full.
        """
        job = self.job
        if number := next((n for n in _NO_ROOM if os.strerror(n) in str(error)), None):
            raise OSError(
                number, os.strerror(number), job.folder
            ) from None  # orbax raises one without them
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise error
        smaller = max(job.plan.batch_size // 2, 1)
        job.console.loud(
            f"{job.stage}: out of memory at --batch-size {job.plan.batch_size}; pass "
            f"--batch-size {smaller} and another --out, or free memory: --resume goes on from the "
            f"last checkpoint in {job.folder}."
        )

    def _finish(self, rows: list[Row]) -> int:
        """Write and show what came out; return the exit status."""
        job, dataset, console, shipped = self.job, self.dataset, self.job.console, None
        told = results(job.plan, dataset, rows, division=self.division)
        write_json(job.folder / RESULTS, told)
        if self.with_program:
            try:
                how = made(job.plan, dataset, rows, job.folder)
                shipped = write_shipped(job.folder, layout=job.plan.layout, made=how)
            except (ValueError, RuntimeError, MemoryError) as error:
                why = next(iter(str(error).splitlines()), type(error).__name__)
                console.loud(f"{SHIPPED}: is not written ({why}); nothing else needs it")
        if shipped is None:
            (job.folder / SHIPPED).unlink(missing_ok=True)  # of an earlier end of this run
        outcome = results(job.plan, dataset, rows, shipped_bytes=shipped, division=self.division)
        write_json(job.folder / RESULTS, outcome)
        checks = checks_of(job.plan, rows)
        tables = (table(job.plan, dataset, rows), table_of(checks), table_of_tickets(rows))
        for shown in filter(attrgetter("row_count"), tables):
            console.table(shown)
        if not outcome["reload_exact"]:
            console.loud("the reloaded network does not give the same logits: please report this")
            return FAILED
        console.line(
            f"{outcome['baseline_bytes']:,} -> {outcome['compressed_bytes']:,} bytes, "
            f"{outcome['ratio']:.1f}x smaller; reloaded logits are the same to the bit. "
            f"Files in {job.folder}"
        )
        if shipped is not None:
            more = shipped - outcome["compressed_bytes"]
            console.line(
                f"{SHIPPED} is the same with its program, {more:,} bytes more: "
                "jaxcompress run opens it"
            )
        write_page(job.folder, console, job.write_alone)
        if short := missed(checks):
            console.loud(short)
            return MISSED
        return 0


def _resume_command(words: Sequence[str], folder: Path) -> str:
    words = [word for word in words if word != "--resume"]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(folder)]
    return f"python run.py {shlex.join(words)} --resume"
