"""How the suite compiles, and runs that more than one file of tests looks at, made once."""

import os
import shutil
import tempfile
from importlib.metadata import version

import pytest

import run
from pipelines.data.folders import load
from tests.helpers import archives
from tests.helpers.commands import tiny

COLOURS = {"Äpfel": (200, 30, 30), "bananas, ripe": (220, 200, 40), "plum": (110, 40, 120)}
FRUITS = (
    "--model fruits --branches shape colour --sparsity 0.5 --epochs 6 --finetune-epochs 6"
    " --batch-size 8"
)

LONGEST = (
    "tests/faults/test_faults.py",
    "tests/cli/test_killed.py",
    "tests/pipelines/test_devices.py",
    "tests/artifact/test_memory.py",
    "tests/pipelines/test_run.py",
    "tests/promises/test_processes.py",
    "tests/promises/test_sharding.py",
    "tests/pipelines/test_cutting.py",
)
"""Files that take minutes, with their slow tests; the first ones first, so that no core waits."""

QUICK_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
QUICKER_COMPILATION = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""Half the time of compilation. XLA ends a process that has a flag which it does not know."""


def pytest_configure(config):
    """Compile less: what one test or process has compiled, the others take from a folder.

    XLA also optimizes less. The gate's runs and the examples of pages compile as users do.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if QUICK_COMPILATION not in flags:
        known = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)
        more = QUICKER_COMPILATION if known else ""
        os.environ["XLA_FLAGS"] = f"{flags} {QUICK_COMPILATION} {more}".strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="jaxcompress-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest; the others stay in their order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


class FruitsRun:
    """A finished run of the fruits model on a small tree of squares on white.

    Attributes:
        tree: three classes, told by their colours; one training picture cannot be read.
        out: the folder of the run.
        words: its command line.
        skipped: the picture that was left out.
    """

    def __init__(self, folder):
        self.tree, self.out = folder / "tree", folder / "run"
        for half, count in (("Training", 20), ("Test", 3)):
            for label, colour in COLOURS.items():
                for number in range(count):
                    path = self.tree / half / label / f"{number:02}.png"
                    archives.write_square(path, colour, number)
        self.skipped = "Training/plum/07.png"
        (self.tree / self.skipped).write_bytes(b"\x89PNG\r\n\x1a\n")
        self.words = [*FRUITS.split(), "--data-dir", str(self.tree), "--out", str(self.out)]

    @property
    def weights(self):
        return self.out / "compressed.npz"

    def test_pictures(self):
        """Class and path of each test picture."""
        paths = sorted((self.tree / "Test").glob("*/*.png"))
        return [(path.parent.name, path) for path in paths]

    def load(self):
        return load(self.tree)


@pytest.fixture(scope="session")
def fruits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fruits")
    finished = FruitsRun(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        archives.isolate(monkeypatch, folder)
        assert run.main(finished.words) == 0
    return finished


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished run of the smallest network, with its control; leave it as it is."""
    out = tmp_path_factory.mktemp("run") / "finished"
    assert tiny(out, "--control", "--seed", "3") == 0
    return out
