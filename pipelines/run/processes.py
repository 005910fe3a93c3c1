"""Several processes of one run, on one machine or many: they compute together, the first writes.

Each reads all data and feeds its rows of every batch. All do the same stages. What depends on a
folder, a clock or a signal is told by the first process, or agreed on.
"""

import contextlib
import io
import json
import os
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from pipelines.errors import FolderError, SettingsError
from pipelines.run.flat import flatten, unflatten
from pipelines.run.folder import LOG, claim, locked
from pipelines.run.signals import Stop

WAIT_S = 60  # for all processes to come, and for one that no longer answers
_STEPS = 10  # between two questions whether another process was asked to stop
_OWN = ("checkpoints", "tensorboard", LOG)
_LOST = ("Gloo", "Connection closed by peer", "coordination service", "NCCL")


@dataclass(frozen=True)
class Processes:
    """The processes of a run.

    Attributes:
        number: of this one, from 0.
        count: of all.
    """

    number: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.number == 0

    def told(self, content: bytes = b"") -> bytes:
        """Return what the first process says; the others wait for it."""
        if self.count == 1:
            return content
        size = multihost_utils.broadcast_one_to_all(np.int32(len(content)))
        buffer = np.zeros(int(size), np.uint8)
        if self.is_first:
            buffer[:] = np.frombuffer(content, np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(buffer)).tobytes()

    def from_first(self, make: Callable[[], bytes]) -> bytes:
        """Return what the first process makes; all of them refuse what it refuses.

        Raises:
            FolderError: by `make`; in the others also where the first could not read or write.
            OSError: by `make`, in the first.
        """
        if self.count == 1:
            return make()
        fault, content, error = "", b"", None
        if self.is_first:
            try:
                content = make()
            except (FolderError, OSError) as caught:
                error, fault = caught, f"process 0: {caught}"
        fault = self.told(fault.encode()).decode()
        if error is not None:
            raise error
        if fault:
            raise FolderError(fault)
        return self.told(content)

    def check_alike(self, settings: Mapping[str, Any]) -> None:
        """Refuse processes that would not do the same.

        Raises:
            FolderError: their settings differ.
        """
        if len(set(self.gathered(_sum(settings)))) > 1:
            raise FolderError(
                "--processes: all must have the same settings, data and devices, got others in "
                "some; pass the same to all."
            )

    def gathered(self, number: int) -> list[int]:
        """Return a number of each process, below 2**31."""
        if self.count == 1:
            return [number]
        return np.asarray(multihost_utils.process_allgather(np.int32(number))).tolist()

    def agreed(self, stop: Stop) -> Stop:
        """Return a `Stop` that all processes answer alike, after the same step."""
        return stop if self.count == 1 else _Agreed(self, stop)


def joined(coordinator: str, number: int, count: int) -> Processes:
    """Wait for the other processes of a run, before JAX computes anything.

    Args:
        coordinator: `HOST:PORT` at which process 0 listens.
        number: of this process, from 0.
        count: of all.

    Raises:
        SettingsError: they do not come.
    """
    jax.config.update("jax_enable_preemption_service", val=False)  # it would take SIGTERM away
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            number,
            initialization_timeout=WAIT_S,
            heartbeat_timeout_seconds=WAIT_S,
            shutdown_timeout_seconds=WAIT_S,
        )
    except (RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SettingsError(
            f"--coordinator: the {count} processes did not meet at {coordinator} ({reason}); start "
            f"all of them within {WAIT_S} s, with --process 0 on that host."
        ) from None
    return Processes(number, count)


def lacks_process(error: BaseException) -> bool:
    """Return whether an error says that another process of this run is gone."""
    return any(word in str(error) for word in _LOST) and jax.process_count() > 1


def leave_without(status: int) -> NoReturn:
    """End this process at once: at its end JAX would wait for the one that is gone, and abort."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


@contextlib.contextmanager
def taken(
    folder: Path, settings: Mapping[str, Any], processes: Processes, *, resume: bool
) -> Iterator[Path]:
    """Lock and claim the folder of a run; other processes than the first get one of their own.

    That one is temporary.

    Raises:
        FolderError: as `locked` and `claim`.
    """
    with contextlib.ExitStack() as stack:

        def take() -> bytes:
            stack.enter_context(locked(folder))
            claim(folder, dict(settings), resume=resume)
            return b""

        processes.from_first(take)
        mine = folder
        if not processes.is_first:
            mine = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield mine


def pack(arrays: Mapping[str, Any], notes: Mapping[str, Any], folder: Path) -> bytes:
    """Return a standing, and the files that stages may read, for `unpack` of another process."""
    flat = flatten(dict(arrays))
    kinds = [[name, list(array.shape), array.dtype.name] for name, array in flat.items()]
    parts = [
        json.dumps([kinds, notes]).encode(),
        b"".join(array.tobytes() for array in flat.values()),
        _packed(folder),
    ]
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def unpack(content: bytes, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the files of `pack` into the folder, and return its arrays and notes."""
    parts, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        parts.append(content[at + 8 : at + 8 + size])
        at += 8 + size
    text, numbers, files = parts
    kinds, notes = json.loads(text)
    flat, at = {}, 0
    for name, shape, dtype in kinds:
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        flat[name] = np.frombuffer(numbers[at : at + size], dtype).reshape(shape)
        at += size
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")
    return unflatten(flat), notes


def _sum(settings: Mapping[str, Any]) -> int:
    """Return a number that differs where settings differ."""
    return zlib.crc32(json.dumps(settings, sort_keys=True).encode()) & 0x7FFFFFFF


def _packed(folder: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            if path.name not in _OWN and not path.name.startswith("."):
                archive.add(path, path.name)
    return content.getvalue()


class _Agreed(Stop):
    """Asks all processes at every tenth call, which they make in the same order."""

    def __init__(self, processes: Processes, own: Stop) -> None:
        self._processes, self._own, self._calls = processes, own, 0

    def __call__(self) -> bool:
        if self.signal_number is None and self._calls % _STEPS == 0:
            number = max(self._processes.gathered(self._own.signal_number or 0))
            self.signal_number = number or None
        self._calls += 1
        return self.signal_number is not None
