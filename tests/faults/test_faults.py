"""Whatever a system does to a run: after resuming the same bytes, or one line that says why not.

At no moment is a file of an earlier stage lost or another one. `kills` has the kills at random
moments, tests/pipelines/test_devices.py those of one process of two.
"""

import errno
import fcntl
import os
import random
import signal
import time

import pytest

from tests.faults.kills import RECIPES, Chain, results
from tests.faults.soak import soak
from tests.helpers.forks import Forks

pytestmark = pytest.mark.slow  # whole runs, in processes of their own

LEAST = "--model lenet-300-100 --data digits --limit 128 --epochs 2 --finetune-epochs 1"
LEAST = [*LEAST.split(), "--recipe", "prune", "--no-program", "--out"]
STAGES = ("baseline", "pruned", "pruned + tuned", "reloaded")


@pytest.fixture(scope="module")
def forks():
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """What a run leaves that nothing happened to."""
    place = tmp_path_factory.mktemp("whole")
    status, said = forks.run([*LEAST, place / "run"], place / "said")
    assert (status, said) == (0, "")
    return results(place / "run")


class Place:
    """A run to which things happen; `out` is its folder."""

    def __init__(self, forks, whole, folder):
        self.out, self._forks, self._whole, self._folder = folder / "run", forks, whole, folder

    def begin(self, *fault):
        return self._forks.start([*LEAST, self.out, *self.resume], self._folder / "said", fault)

    def end(self, process):
        """Return exit status, stderr and stdout; nothing that was written may be another."""
        status = self._forks.wait(process)
        for name, content in results(self.out).items():
            assert name == "answers.npz" or content == self._whole[name], name
        return status, *((self._folder / f"said.{kind}").read_text() for kind in ("err", "out"))

    def suffers(self, *fault):
        """Run with a fault; what it says is one line, and never a traceback."""
        status, err, out = self.end(self.begin(*fault))
        assert status in (0, 1, 2), err
        assert err.count("\n") <= 1 and "Traceback" not in err + out, err
        assert status == 0 or err.startswith("run.py: ") or "***" in out
        return status, err, out

    def recovers(self):
        """Run without a fault, to the same bytes."""
        status, err, _ = self.end(self.begin())
        assert (status, err) == (0, "")
        assert results(self.out) == self._whole

    @property
    def resume(self):
        return ["--resume"] * (self.out / "settings.json").exists()


@pytest.fixture
def place(forks, whole, tmp_path):
    return Place(forks, whole, tmp_path)


# Kills


@pytest.mark.parametrize(
    ("recipe", "count"),
    [
        ("prune+share", 3),
        *(pytest.param(recipe, 25, marks=pytest.mark.exhaustive) for recipe in RECIPES),
    ],
)
def test_kills_at_random_moments_end_in_the_same_bytes(recipe, count, forks, tmp_path):
    chain = Chain(forks, recipe, tmp_path / "chain")
    assert chain.killed(random.Random(count), count) == count


# Disks


def each(some, every):
    """Numbers for the slow suite, and all of them for a night."""
    every = [pytest.param(n, marks=pytest.mark.exhaustive) for n in every if n not in some]
    return [*some, *every]


@pytest.mark.parametrize("number", each((1, 5, 20, 45), range(1, 90)))
def test_a_disk_that_is_full_from_any_write_on(number, place):
    status, err, _ = place.suffers("full_disk", str(place.out), number)
    if status:
        assert "No space left on device" in err
    place.recovers()


@pytest.mark.parametrize("number", each((1, 6, 17), range(1, 50)))
def test_an_fsync_that_fails_at_any_write(number, place):
    status, err, _ = place.suffers("failing_fsync", number)
    if status:
        assert "Input/output error" in err and "--resume goes on from there" in err
    place.recovers()


@pytest.mark.parametrize("most", each((2_000, 300_000), (20_000, 100_000, 1_000_000)))
def test_files_that_cannot_grow_of_whatever_library(most, place):
    """The system fails writes in the middle of files, those of orbax too."""
    status, err, _ = place.suffers("small_files", most)
    assert status == 1 and "File too large" in err
    place.recovers()


def test_a_checkpoint_that_was_damaged_in_the_middle_of_a_training(place):
    status, _, _ = place.end(place.begin("signal_in_stage", 2))
    assert status == 143
    newest = max(place.out.glob("checkpoints/*.json"))
    assert len(list(place.out.glob("checkpoints/*.json"))) == 2
    largest = max(newest.with_suffix("").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    largest.write_bytes(content)
    place.recovers()
    assert f"checkpoint {newest.stem} is damaged" in (place.out / "log.txt").read_text()


# Signals and clocks


def test_sigterm_in_each_stage(place):
    for number, stage in enumerate(STAGES):
        status, err, out = place.end(place.begin("signal_in_stage", number))
        assert status == 143 and "Traceback" not in err, err
        assert f"stopped in stage {stage}" in out.replace("\n", " ")
    place.recovers()


def test_a_clock_that_runs_backwards(place):
    process = place.begin("backwards")
    while not list(place.out.glob("checkpoints/*.json")):
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    assert place.end(process)[0] == -signal.SIGKILL
    assert place.suffers("backwards")[:2] == (0, "")
    place.recovers()


# Locks


def test_of_two_runs_in_one_folder_one_names_the_other(forks, place, tmp_path):
    first = place.begin()
    while not (place.out / ".holder").exists():
        time.sleep(0.01)
    status, err = forks.run([*LEAST, place.out], tmp_path / "second")
    assert status == 2 and f"another run writes here (process {first} on " in err
    assert err.count("\n") == 1
    assert place.end(first)[:2] == (0, "")
    place.recovers()


def test_the_lock_of_a_drive_whose_holder_is_gone(place):
    """A server may keep the lock of a machine that crashed: the line says what to remove."""
    place.out.mkdir()
    (place.out / ".holder").write_text("process 7 on elsewhere\n")
    with (place.out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, err, _ = place.suffers()
        assert status == 2 and "process 7 on elsewhere" in err
        assert f"remove {place.out / '.lock'} if it is gone" in err
        (place.out / ".lock").unlink()
        place.recovers()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_drive_without_locks(number, place):
    """Some have another kind of lock; a run that was killed there does not keep it."""
    process = place.begin("no_locks", number)
    while not list(place.out.glob("checkpoints/*.json")) and number == errno.ENOSYS:
        time.sleep(0.02)
    if number == errno.ENOSYS:
        os.kill(process, signal.SIGKILL)
    status, err, _ = place.end(process)
    if number == errno.ENOLCK:
        assert status == 2 and "cannot be written (No locks available)" in err
    else:
        assert status == -signal.SIGKILL
    assert place.suffers("no_locks", number)[0] == (2 if number == errno.ENOLCK else 0)
    place.recovers()


# Memory


@pytest.mark.parametrize("number", [1, 5])
def test_no_memory_in_a_step(number, place):
    status, _, out = place.suffers("no_memory_in_step", number)
    assert status == 1 and "out of memory at --batch-size 64; pass --batch-size 32" in out
    place.recovers()


@pytest.mark.parametrize("number", [1, 3])
def test_no_memory_in_packing(number, place):
    status, _, out = place.suffers("no_memory_in_packing", number)
    assert status == 1 and "out of memory" in out and "--resume goes on" in out
    place.recovers()


@pytest.mark.exhaustive
def test_the_memory_of_a_training_does_not_grow(tmp_path):
    """`python -m tests.faults.soak 10` measures it; here a leak of a checkpoint a time is seen."""
    found = soak(0.4, tmp_path)
    assert found.checkpoints > 5
    assert found.mib_a_million_steps * found.steps / 1e6 < 30
