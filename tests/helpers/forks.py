"""Runs of `run.py` in processes of their own that start at once: forks of one that has imported.

`python -m tests.helpers.forks` takes a line of JSON for each run, and answers with its process and,
asked for it, with its exit status. A run may be given one fault of `FAULTS`.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Forks:
    """The process that forks; a context.

    Args:
        devices: of the processor, as many as JAX is told.
    """

    def __init__(self, devices=1):
        flags = (
            f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        )
        self._flags = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}

    def __enter__(self):
        command = [sys.executable, "-W", "ignore", "-m", "tests.helpers.forks"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | self._flags
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        with self._process:  # closes its pipes, at whose end it ends
            pass

    def start(self, words, said, fault=(), every_epoch=True):
        """Begin a run; return the number of its process.

        Args:
            words: the command line.
            said: a file for all that it says.
            fault: the name of one of `FAULTS`, and its arguments.
            every_epoch: whether it saves a checkpoint after every epoch, not every 5 seconds.
        """
        return self._ask([[str(word) for word in words], str(said), list(fault), every_epoch])

    def wait(self, process):
        """Return the exit status of a run; negative for the signal that ended it."""
        return self._ask(process)

    def run(self, words, said, fault=()):
        """Return the exit status of a run, and what it said on stderr."""
        status = self.wait(self.start(words, said, fault))
        return status, Path(f"{said}.err").read_text()

    def _ask(self, question):
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


# Faults


class _Counted:
    """Counts the calls of a kind; those from number `first` on fail, `many` of them."""

    def __init__(self, first, many, error):
        self._left, self._many, self._error = first, many, error

    def __call__(self, path=None):
        self._left -= 1
        if self._left <= 0 and self._left > -self._many:
            raise OSError(self._error, os.strerror(self._error), path)


def full_disk(folder, first):
    """From its n-th on, no file of the folder can be made, opened for writing or renamed."""
    count = _Counted(first, 10**9, errno.ENOSPC)

    def hook(event, arguments):
        path = arguments[0] if arguments else None
        writes = event in ("os.mkdir", "os.rename") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        )
        if writes and isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(folder):
            count(os.fspath(path))

    sys.addaudithook(hook)


def failing_fsync(first, many=1):
    """The n-th fsync fails, as of a broken disk."""
    real, count = os.fsync, _Counted(first, many, errno.EIO)

    def fsync(handle):
        count()
        real(handle)

    os.fsync = fsync


def small_files(most):
    """No file can become longer, of whatever library: the system fails the write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def signal_in_stage(number, name="SIGTERM"):
    """A signal comes when the n-th stage begins, from 0."""
    from pipelines.run.job import Job

    real, begun = Job._asked, []

    def asked(job, *arguments):
        begun.append(len(job.rows))
        if len(job.rows) == number and begun.count(number) == 1:
            os.kill(os.getpid(), getattr(signal, name))
        return real(job, *arguments)

    Job._asked = asked


def backwards():
    """The clock of the day runs backwards, an hour a call."""
    start = time.time()
    calls = iter(range(10**9))
    time.time = lambda: start - 3600 * next(calls)
    time.time_ns = lambda: int(time.time() * 1e9)


def no_memory_in_step(number):
    """The n-th step of training has no memory, as XLA says it."""
    from pipelines.run import fitting

    real, steps = fitting.fit, iter(range(1, 10**9))

    def fit(*arguments, **options):
        for tick in real(*arguments, **options):
            if next(steps) == number:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
            yield tick

    fitting.fit = fit


def no_memory_in_packing(number):
    """The n-th file that is packed finds no memory."""
    from pipelines.stages import files

    real, calls = files.jc.save, iter(range(1, 10**9))

    def save(*arguments, **options):
        if next(calls) == number:
            raise MemoryError
        return real(*arguments, **options)

    files.jc.save = save


def no_locks(number):
    """The file system has no locks: each attempt is this error of the system."""
    import fcntl

    def flock(handle, operation):
        raise OSError(number, os.strerror(number))

    fcntl.flock = flock


FAULTS = {
    function.__name__: function
    for function in (
        full_disk,
        failing_fsync,
        small_files,
        signal_in_stage,
        backwards,
        no_memory_in_step,
        no_memory_in_packing,
        no_locks,
    )
}


# The other side


def _child(words, said, fault, every_epoch):
    for number, kind in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import run
    from pipelines.run import fitting

    if every_epoch:
        fitting._SAVE_INTERVAL_S = 0.0
    if fault:
        FAULTS[fault[0]](*fault[1:])
    sys.argv = ["run.py", *words]
    status = 70  # a traceback
    try:
        status = run._start()
    except SystemExit as stopped:
        status = stopped.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        import jax

        if jax.distributed.is_initialized():  # as at the exit of a program: all wait for all
            jax.distributed.shutdown()
        os._exit(status or 0)


def main():
    """Fork for each line."""
    import pipelines.run.program  # noqa: F401  (so that forks need not import it)

    answer = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        question = json.loads(line)
        if isinstance(question, list):
            said = os.fork()
            if not said:
                _child(*question)
        else:
            said = os.waitstatus_to_exitcode(os.waitpid(question, 0)[1])
        answer.write(f"{said}\n")
        answer.flush()


if __name__ == "__main__":
    main()
