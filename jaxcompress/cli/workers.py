"""Processes that pack parts of a file, so that all cores work.

They are started as new programs, with one thread each for linear algebra: its sums depend on how
many threads add them up. A worker ends when this process does, in whatever way.
"""

import contextlib
import functools
import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

from jaxcompress.artifact.stored_parts import store_part
from jaxcompress.oneshot.outcomes import Outcome
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.stream import Pruning

_ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")
} | {"VECLIB_MAXIMUM_THREADS": "1", "PJRT_NPROC": "1"}

# Ctrl-C is for the parent, which ends its workers. They import from where the parent does.
_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = sys.argv[1:]
from jaxcompress.cli.workers import serve
serve()
"""


class Task(NamedTuple):
    """A part to be packed.

    Attributes:
        path: file to be made.
        tensors: numbers of its tensors.
        treatments: of those in the scope.
    """

    path: Path
    tensors: range
    treatments: Treatments


class Packing(NamedTuple):
    """What all parts of a file share.

    Attributes:
        pruning: which weights are kept, and where they come from.
        layout: a key of `LAYOUTS`, of tensors without a rule that says another.
    """

    pruning: Pruning
    layout: str

    def store(self, task: Task) -> None:
        """Pack a part."""
        outcomes: list[Outcome] = []
        leaves = self.pruning.leaves(task.tensors, task.treatments, outcomes)
        store_part(task.path, leaves, self.layout_of(task.treatments), outcomes)

    def layout_of(self, treatments: Treatments) -> Callable[[str], str]:
        """Return how the codes of each tensor are packed, by its path."""
        return functools.partial(treatments.layout_of, usual=self.layout)


class Workers:
    """Processes that take tasks in order, one at a time each."""

    def __init__(self, jobs: int, packing: Packing, *, most_numbers: int) -> None:
        """Start none before there is something to do.

        Args:
            jobs: most processes.
            packing: what all parts share.
            most_numbers: that the parts which are packed at a time may have together; a larger part
                is packed alone. This bounds the memory.
        """
        self._packing, self._most = packing, most_numbers
        self._threads = ThreadPoolExecutor(jobs)
        self._started: list[subprocess.Popen[bytes]] = []
        self._idle: list[subprocess.Popen[bytes]] = []
        self._closed = False
        self._lock = threading.Lock()
        self._turn, self._room, self._numbers = threading.Lock(), threading.Condition(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes at once, whatever they do."""
        with self._lock:
            self._closed = True
            for process in self._started:
                process.kill()
        with self._room:
            self._room.notify_all()
        self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            with contextlib.suppress(OSError), process:  # closes the pipes, and waits
                pass

    def submit(self, task: Task) -> Future[None]:
        """Pack a part when its turn comes; the result is None, or the error.

        The error is a `ChildProcessError` if the process died.
        """
        return self._threads.submit(self._work, task)

    def _work(self, task: Task) -> None:
        leaves = self._packing.pruning.source.leaves
        numbers = sum(math.prod(leaves[index].shape) for index in task.tensors)
        with self._turn, self._room:  # in turn, or a large part would wait for all small ones
            self._room.wait_for(
                lambda: not self._numbers or self._numbers + numbers <= self._most or self._closed
            )
            self._numbers += numbers
        try:
            self._ask(task)
        finally:
            with self._room:
                self._numbers -= numbers
                self._room.notify_all()

    def _ask(self, task: Task) -> None:
        """Let a process pack a part."""
        with self._lock:
            if self._closed:
                return
            is_new = not self._idle
            process = self._start() if is_new else self._idle.pop()
        try:
            if is_new:
                _send(process.stdin, self._packing)
            _send(process.stdin, task)
            error = _received(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise self._died(process, task.tensors) from None
        with self._lock:
            self._idle.append(process)
        if error is not None:
            raise error

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, *map(os.fspath, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"JAX_PLATFORMS": "cpu"} | os.environ | _ONE_THREAD,
        )
        self._started.append(process)
        return process

    def _died(self, process: subprocess.Popen[bytes], tensors: Sequence[int]) -> ChildProcessError:
        """Return the error of a process that ended on its own."""
        status = process.wait()
        how = f"exit status {status}"
        if status < 0:
            how = signal.Signals(-status).name if -status in set(signal.Signals) else f"{-status}"
        first = self._packing.pruning.source.paths[tensors[0]]
        others = f" and {len(tensors) - 1} more tensors" if len(tensors) > 1 else ""
        return ChildProcessError(
            f"{first}{others}: the process that packs them must live, got {how}; if memory was "
            "short, pass --jobs 1."
        )


def serve() -> None:
    """Be a worker: tasks come from stdin, answers go to stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed must not be taken for an answer
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    packing: Packing = tasks.get()
    while True:
        answer = None
        try:
            packing.store(tasks.get())
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            answer = _picklable(error)
        _send(answers, answer)


def _listen(tasks: "queue.SimpleQueue[Any]") -> None:
    """Pass tasks on, and end the process when there is nobody to give any."""
    try:
        while True:
            tasks.put(_received(sys.stdin.buffer))
    except EOFError:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _send(pipe: Any, value: Any) -> None:
    pickle.dump(value, pipe)
    pipe.flush()


def _received(pipe: Any) -> Any:
    return pickle.load(pipe)  # noqa: S301  between this program and its own children


def _picklable(error: Exception) -> Exception:
    """Return an error that can be sent, of the nearest kind that is made from a message."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        kinds = (kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        plain: Exception = next(kinds)(str(error))  # type: ignore[assignment]
        return plain
    return error
