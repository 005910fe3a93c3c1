"""`pack` with several processes, and again after an interruption: always the same bytes."""

import fcntl
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.artifact import _parts
from jaxcompress.artifact.stored_parts import stored_part
from jaxcompress.cli import packed_file, workers
from jaxcompress.cli.workers import Packing, Task, Workers
from jaxcompress.errors import MissingLibraryError
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.oneshot.stream import exactly
from jaxcompress.oneshot.ways import Treatment
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)
TREE = {f"layer{n}": RNG.normal(size=(12, 9)).astype("f") for n in range(5)} | {"n": np.ones(3)}
USUAL = Treatments(Treatment(way="kmeans", value=3))
FOLDER = ".m.npz.jaxcompress-parts"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Parts of two tensors, and workers for small files too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_parts, "NUMBERS", 200)
    monkeypatch.setattr(packed_file, "_WORTH_WORKERS", 0)
    save_file(TREE, "m.safetensors")
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """The workers that are started."""
    found = []
    real = Workers._start

    def start(self):
        found.append(real(self))
        return found[-1]

    monkeypatch.setattr(Workers, "_start", start)
    return found


WAYS = {
    "kmeans": ["--clusters", 4, "--sparsity", 0.3],
    "low rank": ["--keep-low-rank", 0.8, "--bits", 4],
    "target": ["--target-size", "3KB"],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_jobs_writes_the_same_bytes(here, started, way):
    for jobs in (1, 2):
        said = run("pack", "m.safetensors", "-o", f"{jobs}.npz", "--jobs", jobs, *WAYS[way])
        assert not said.err
        ran = len(started)
        assert ran == (way == "low rank") if jobs == 1 else 1 <= ran <= jobs
        assert all(process.returncode is not None for process in started)
        started.clear()
    assert Path("1.npz").read_bytes() == Path("2.npz").read_bytes()
    assert jc.inspect("1.npz")["parts"] == [2, 2, 2]
    assert not list(here.glob(".*"))


@pytest.mark.slow
def test_more_jobs_than_parts_and_another_format(here, started):
    np.savez("z.npz", **TREE)
    run("pack", "z.npz", "-o", "9.npz", "--jobs", 9, *WAYS["kmeans"])
    assert 1 <= len(started) <= 3
    run("pack", "m.safetensors", "-o", "1.npz", "--jobs", 1, *WAYS["kmeans"])
    assert jc.inspect("9.npz")["tensors"] == jc.inspect("1.npz")["tensors"]


def test_small_files_and_single_parts_start_no_process(here, started, monkeypatch):
    monkeypatch.setattr(packed_file, "_WORTH_WORKERS", 1000)
    run("pack", "m.safetensors", "-o", "small.npz", "--jobs", 4)
    monkeypatch.setattr(packed_file, "_WORTH_WORKERS", 0)
    monkeypatch.setattr(_parts, "NUMBERS", 1 << 22)
    run("pack", "m.safetensors", "--jobs", 4)
    assert not started


@pytest.mark.parametrize("jobs", [0, -1])
def test_fewer_jobs_than_one_are_refused(jobs):
    assert f"--jobs: must be at least 1, got {jobs}; leave it" in refused(
        "pack", "m.safetensors", "--jobs", jobs
    )


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_says_the_same_from_a_worker_and_leaves_nothing(here, jobs):
    save_file(TREE | {"layer3": 1e-3 * TREE["layer3"]}, "bad.safetensors")
    said = refused("pack", "bad.safetensors", "-o", "m.npz", "--jobs", jobs, "--sparsity", 0.5)
    assert said.startswith("jaxcompress: layer3: pruning must leave something")
    assert sorted(os.listdir()) == ["bad.safetensors", "m.safetensors"]


class Deadly(TreeSource):
    """A source whose fifth tensor kills the process that loads it, or raises an error there."""

    error = None

    def load(self, index):
        if index == 4:
            if self.error:
                raise self.error()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(index)


def deadly(error=None):
    source = Deadly(TREE)
    source.error = error
    return Packing(exactly(source), "packed")


def tasks(folder):
    return [Task(folder / f"{n}.part", range(2 * n, 2 * n + 2), USUAL) for n in range(3)]


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error_that_names_its_tensors(here):
    with Workers(1, deadly(), most_numbers=1000) as pool:
        first, second, third = (pool.submit(task) for task in tasks(here))
        assert first.result() is second.result() is None
        with pytest.raises(ChildProcessError, match="layer4 and 1 more tensors: .*SIGKILL.*--jobs"):
            third.result()
    assert sorted(path.name for path in here.glob("*.part")) == ["0.part", "1.part"]
    assert stored_part(here / "1.part").entries[1]["path"] == "layer3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (partial(jc.ArtifactError, "the rule", file="f", found=3), jc.ArtifactError),
        (partial(MissingLibraryError, "a feature", "a library", extra="an extra"), ImportError),
        (partial(OSError, 28, "No space left on device", "m.npz"), OSError),
        (MemoryError, MemoryError),
    ],
)
def test_errors_come_back_from_workers(here, error, kind):
    with Workers(1, deadly(error), most_numbers=1000) as pool:
        with pytest.raises(kind) as raised:
            pool.submit(tasks(here)[2]).result()
        assert str(raised.value) == str(error())
        assert pool.submit(tasks(here)[0]).result() is None  # it works on


def test_large_parts_are_packed_alone_and_in_turn(here, monkeypatch):
    log, sizes = [], [100, 900, 100, 100]
    source = TreeSource({f"{n}": np.zeros(size) for n, size in enumerate(sizes)})

    def ask(self, task):
        log.append(self._numbers)

    monkeypatch.setattr(Workers, "_ask", ask)
    for most in (200, 1000):
        with Workers(4, Packing(exactly(source), "packed"), most_numbers=most) as pool:
            made = [pool.submit(Task(here / "p", range(n, n + 1), USUAL)) for n in range(4)]
            assert [future.result() for future in made] == [None] * 4
        assert max(log) <= max(most, 900)
        log.clear()


@pytest.fixture
def interrupted(monkeypatch):
    """A run that is interrupted after two of its three parts; parts made are counted."""
    made, real = [], Packing.store

    def store(self, task):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(task.path.name)
        real(self, task)

    with monkeypatch.context() as patched:
        patched.setattr(workers.Packing, "store", store)
        said = run("pack", "m.safetensors", "--jobs", 1, status=130)
    assert "m.npz: 2 finished parts are kept in" in said.err and FOLDER in said.err
    assert "interrupted; files are as they were." in said.err
    assert sorted(os.listdir(FOLDER)) == ["000000.part", "000001.part", "job.json", "lock"]
    made.clear()

    def count(self, task):
        made.append(task.path.name)
        real(self, task)

    monkeypatch.setattr(workers.Packing, "store", count)
    return made


@pytest.fixture
def whole(here):
    run("pack", "m.safetensors", "-o", "whole.npz", "--jobs", 1)
    content = Path("whole.npz").read_bytes()
    Path("whole.npz").unlink()
    return content


def again(*options):
    return run("pack", "m.safetensors", "-o", "m.npz", "--jobs", 1, *options).err


def test_the_same_command_goes_on(here, whole, interrupted):
    assert again() == (
        "jaxcompress: m.npz: going on after 2 finished parts; --restart forgets them.\n"
    )
    assert interrupted == ["000002.part"]
    assert Path("m.npz").read_bytes() == whole
    assert sorted(os.listdir()) == ["m.npz", "m.safetensors"]


def test_restart_begins_anew(here, whole, interrupted):
    assert not again("--restart") and len(interrupted) == 3
    assert Path("m.npz").read_bytes() == whole and not Path(FOLDER).exists()


@pytest.mark.parametrize("change", ["options", "weights", "version", "job"])
def test_parts_of_another_job_are_forgotten(here, interrupted, monkeypatch, change):
    options = ["--clusters", 3] if change == "options" else []
    if change == "weights":
        save_file(TREE | {"layer0": TREE["layer1"]}, "m.safetensors")
    elif change == "version":
        monkeypatch.setattr(jc, "__version__", "0.0")
    elif change == "job":
        Path(FOLDER, "job.json").write_bytes(b'["')
    said = again(*options)
    assert "m.npz: 2 finished parts of other weights, options or versions are forgotten." in said
    assert len(interrupted) == 3 and not Path(FOLDER).exists()
    run("pack", "m.safetensors", "-o", "other.npz", "--jobs", 1, *options)
    assert Path("m.npz").read_bytes() == Path("other.npz").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"x" * 1000])
def test_a_damaged_part_is_made_again(here, whole, interrupted, damage):
    Path(FOLDER, "000001.part").write_bytes(damage)
    Path(FOLDER, "000002.tmp").write_bytes(b"cut sho")
    assert "m.npz: 000001.part is damaged, and made again." in again()
    assert interrupted == ["000001.part", "000002.part"]
    assert Path("m.npz").read_bytes() == whole and not Path(FOLDER).exists()


def test_two_runs_never_write_one_output(here, interrupted):
    with open(Path(FOLDER, "lock"), "r+") as lock:
        lock.write("process 7 on somewhere")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = refused("pack", "m.safetensors")
        assert "m.npz: one run at a time may pack to it, got another, process 7 on some" in said
        run("pack", "m.safetensors", "-o", "other.npz", "--jobs", 1)
    assert len(os.listdir(FOLDER)) == 4


def test_what_others_keep_in_the_folder_stays(here, interrupted):
    Path(FOLDER, "notes").write_text("mine")
    again()
    assert os.listdir(FOLDER) == ["notes"]


def test_long_names_have_folders_of_their_own():
    from jaxcompress.cli.unfinished import _name_of

    long = ["é" * 125 + end for end in ("ab.npz", "cd.npz")]
    names = {_name_of(name) for name in [*long, "m.npz"]}
    assert len(names) == 3 and all(len(os.fsencode(name)) < 200 for name in names)
    assert FOLDER in names
