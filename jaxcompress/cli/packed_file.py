"""The file that `pack` makes: part by part, by several processes, and again after a kill."""

import contextlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple

import numpy as np

import jaxcompress
from jaxcompress.artifact.atomic import atomic_file, naming
from jaxcompress.artifact.manifest import VERSION
from jaxcompress.artifact.memory import free_bytes
from jaxcompress.artifact.stored_parts import Part, part_ranges, stored_part
from jaxcompress.artifact.writer import encoded, pieces
from jaxcompress.cli import screen
from jaxcompress.cli.unfinished import Unfinished, unfinished
from jaxcompress.cli.workers import Packing, Task, Workers
from jaxcompress.errors import ArtifactError
from jaxcompress.oneshot.outcomes import Outcome, Report
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.sources import Selection, Source, Track, is_in_memory
from jaxcompress.oneshot.target import aim

_WORTH_WORKERS = 1 << 24
"""Numbers from which on processes pay: each takes a second or two to start."""

_NUMBERS_A_WORKER = 1 << 24
_BYTES_A_NUMBER = 16  # of memory while a tensor is packed
_WORKER_BYTES = 1 << 29  # of memory that should be free for each


Check = Callable[[Report], None]
"""Raises what is wrong with a report."""


class Packed(NamedTuple):
    """A file that was made.

    Attributes:
        size: in bytes.
        report: what became of the tensors.
    """

    size: int
    report: Report


class PackedFile:
    """The file to be made; it may be made several times to reach a size."""

    def __init__(
        self,
        output: Path,
        model: Path,
        packing: Packing,
        metadata: dict[str, Any],
        *,
        jobs: int | None,
        apart: bool,
        track: Track,
    ) -> None:
        """Decide who packs; nothing is written yet.

        Args:
            output: the file.
            model: file or folder of the weights.
            packing: what all parts share.
            metadata: of the file.
            jobs: most processes; None for one a core.
            apart: whether one process too is another one than this, for the same threads.
            track: shows progress.
        """
        self._output, self._model, self._packing = output, model, packing
        self._metadata, self._track = metadata, track
        leaves = packing.pruning.source.leaves
        self._parts = part_ranges(leaves)
        numbers = [sum(int(np.prod(leaves[i].shape)) for i in part) for part in self._parts]
        is_large = len(self._parts) > 1 and sum(numbers) >= _WORTH_WORKERS
        # A tree in memory would be in the memory of each.
        in_files = not is_in_memory(packing.pruning.source)
        self._jobs = (default_jobs() if jobs is None else jobs) if is_large and in_files else 1
        self._has_workers = is_large and in_files and (self._jobs > 1 or apart)
        room = min(self._jobs * _NUMBERS_A_WORKER, free_bytes() // (2 * _BYTES_A_NUMBER))
        self._most_numbers = max(room, *numbers, 0)

    def write(self, treatments: Treatments, check: Check, *, restart: bool) -> Packed:
        """Write it; nothing is left if its report does not pass the check.

        Args:
            treatments: of the tensors in the scope.
            check: raises what is wrong with a report.
            restart: whether to forget parts that a killed run has finished.
        """
        with self._folder(resumable=True) as folder, self._workers() as workers:
            if folder:
                folder.take_up(self._job(), restart=restart)
            with atomic_file(self._output) as file:
                packed = self._made(treatments, file, folder, workers)
                check(packed.report)
                return packed

    def write_within(self, target_bytes: int, treatments: Treatments, check: Check) -> Packed:
        """Write the largest file found that is at most `target_bytes`."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self._folder(resumable=False))
            workers = stack.enter_context(self._workers())
            stack.enter_context(naming(self._output))
            # Beside the output, where there is room for it; the system removes them in any case.
            beside = Path(os.path.realpath(self._output)).parent
            best, spare = (stack.enter_context(TemporaryFile(dir=beside)) for _ in range(2))
            found = Packed(0, Report([]))

            def attempt(tried: Treatments) -> int:
                nonlocal best, spare, found
                self._metadata["pack"]["step"] = tried.usual.value
                if folder:
                    folder.forget()
                spare.seek(0)
                packed = self._made(tried, spare, folder, workers)
                if found.size < packed.size <= target_bytes:
                    best, spare, found = spare, best, packed
                return packed.size

            aim(self._packing.pruning, treatments, target_bytes, attempt, track=self._track)
            check(found.report)
            best.seek(0)
            best.truncate(found.size)
            with atomic_file(self._output) as file:
                shutil.copyfileobj(best, file)
        return found

    def _folder(self, *, resumable: bool) -> contextlib.AbstractContextManager[Unfinished | None]:
        if len(self._parts) <= 1:
            return contextlib.nullcontext()
        return unfinished(self._output, resumable=resumable)

    def _workers(self) -> contextlib.AbstractContextManager[Workers | None]:
        if not self._has_workers:
            return contextlib.nullcontext()
        return Workers(self._jobs, self._packing, most_numbers=self._most_numbers)

    def _made(
        self,
        treatments: Treatments,
        file: BinaryIO,
        folder: Unfinished | None,
        workers: Workers | None,
    ) -> Packed:
        """Make it in an open file, part by part."""
        pruning = self._packing.pruning
        outcomes: list[Outcome] = []

        def stored() -> Iterator[Part]:
            assert folder is not None
            for part in self._stored(treatments, folder, workers):
                outcomes.extend(Outcome(*note) for note in part.notes)
                yield part

        leaves = pruning.all_leaves(treatments, outcomes, track=self._track)
        layout = self._packing.layout_of(treatments)
        parts = stored() if folder else encoded(leaves, pruning.source.leaves, layout)
        file.writelines(pieces(parts, pruning.source.outline, metadata=self._metadata))
        return Packed(file.tell(), Report(outcomes))

    def _stored(
        self, treatments: Treatments, folder: Unfinished, workers: Workers | None
    ) -> Iterator[Part]:
        """Yield the parts, in order, each from its file in the folder."""
        tasks = [Task(folder.part(k), part, treatments) for k, part in enumerate(self._parts)]
        running: Mapping[int, Future[None]] = {}
        if workers:
            missing = [k for k, task in enumerate(tasks) if not task.path.exists()]
            running = {k: workers.submit(tasks[k]) for k in missing}
        for number in self._track(range(len(tasks)), "packing", self._bytes_of):
            if number in running:
                _wait_for(running[number], running)
            task = tasks[number]
            part = stored_part(task.path)
            if part is None:
                if task.path.exists():
                    screen.note(f"{folder.output}: {task.path.name} is damaged, and made again.")
                if workers:
                    workers.submit(task).result()
                else:
                    self._packing.store(task)
                part = stored_part(task.path)
            if part is None:
                raise ArtifactError("damaged right after it was written", file=str(task.path))
            yield part

    def _bytes_of(self, number: int) -> int:
        """Return how many bytes the tensors of a part take where they come from."""
        return sum(map(self._packing.pruning.bytes_of, self._parts[number]))

    def _job(self) -> dict[str, Any]:
        """Return what decides the bytes of the parts, as JSON."""
        source = self._packing.pruning.source
        return {
            "tensors": [
                [path, list(leaf.shape), np.dtype(leaf.dtype).name]
                for path, leaf in zip(source.paths, source.leaves, strict=True)
            ],
            "parts": [len(part) for part in self._parts],
            "files": _stamps(self._model, source),
            "metadata": self._metadata,
            "layout": self._packing.layout,
            "format": VERSION,
            "versions": [
                jaxcompress.__version__,
                zlib.ZLIB_RUNTIME_VERSION,
                *map(version, ("numpy", "jax", "jaxlib", "ml_dtypes")),
            ],
        }


def default_jobs() -> int:
    """Return how many processes may run: one a core, as far as there is memory."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return max(1, min(cores, free_bytes() // _WORKER_BYTES))


def _stamps(model: Path, source: Source) -> list[tuple[str, int, int]]:
    """Return name, size and time of each file that is read."""
    whole = source.whole if isinstance(source, Selection) else source
    files = getattr(whole, "files", None) or [model]
    if model.is_dir() and files == [model]:
        files = sorted(Path(folder, name) for folder, _, names in os.walk(model) for name in names)
    found = [(path, path.stat()) for path in files]
    return [(path.name, stat.st_size, stat.st_mtime_ns) for path, stat in found]


def _wait_for(wanted: Future[None], running: Mapping[int, Future[None]]) -> None:
    """Wait for a part, and raise the error of any other as soon as there is one."""
    waiting = set(running.values())
    while not wanted.done():
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
    wanted.result()
