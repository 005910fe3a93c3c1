"""The made checkpoint can be read by others; processes are measured with their children."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from benchmarks.large import checkpoint, processes, run
from jaxcompress.cli.sources import open_source

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SHAPES = checkpoint.shapes_of(3e6, width=64)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(checkpoint, "_POOL", 1 << 16)


def test_the_made_checkpoint_is_whole(tmp_path):
    for name in ("a", "b"):
        checkpoint.make(tmp_path / name, SHAPES)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == checkpoint.SHARDS + 1
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    source = open_source(tmp_path / "a")
    assert {p: leaf.shape for p, leaf in zip(source.paths, source.leaves, strict=True)} == SHAPES
    loaded = [load_file(tmp_path / "a" / name) for name in files[:-1]]
    assert sum(array.nbytes for shard in loaded for array in shard.values()) == pytest.approx(
        3e6, rel=0.1
    )
    kernel = source.load(source.paths.index("model.layers.0.mlp.up_proj.weight")).astype("f")
    assert np.isfinite(kernel).all() and 0.5 < kernel.std() * 8 < 3
    scales = kernel.std(axis=1)
    assert scales.max() / scales.min() > 3  # rows differ in their scales
    other = source.load(source.paths.index("model.layers.1.mlp.up_proj.weight")).astype("f")
    assert abs(np.corrcoef(kernel.ravel(), other.ravel())[0, 1]) < 0.1


def test_shapes_grow_with_the_size():
    shapes = checkpoint.shapes_of(10e9)
    assert checkpoint._bytes_of(shapes) == pytest.approx(10e9, rel=0.03)
    assert sum(len(shape) == 2 and min(shape) >= 4096 for shape in shapes.values()) >= 64
    assert shapes["model.layers.0.mlp.down_proj.weight"] == (4096, 14336)


CHILD = """
import subprocess, sys, time
child = "x = b'1' * 200_000_000; import time; time.sleep(0.5); [None for _ in range(5_000_000)]"
subprocess.run([sys.executable, "-c", child], check=True)
print("done")
"""


@pytest.mark.slow
@linux
def test_children_count():
    used = processes.measured([sys.executable, "-c", CHILD])
    assert used.output == "done\n" and used.seconds > 0.5
    assert used.peak_bytes > 200_000_000 and used.cpu_seconds > 0.05


@linux
def test_a_command_that_fails_is_no_figure():
    with pytest.raises(RuntimeError, match="exit status 3: no"):
        processes.measured([sys.executable, "-c", "print('no'); raise SystemExit(3)"])
    with pytest.raises(RuntimeError, match="exit status 3"):
        processes.killed([sys.executable, "-c", "raise SystemExit(3)"], 60)


SLEEPER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""


@pytest.mark.slow
@linux
def test_children_die_too(tmp_path):
    place = tmp_path / "pid"
    command = [sys.executable, "-c", SLEEPER, str(place)]
    assert processes.killed(command, 3)
    child = Path("/proc", place.read_text(), "stat")
    for _ in range(100):  # it may remain a zombie until somebody asks for its status
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the child lives")
    assert not processes.killed([sys.executable, "-c", ""], 60)


@pytest.mark.slow
@linux
def test_kills_and_a_run_without_give_the_same_bytes(tmp_path, monkeypatch):
    checkpoint.make(tmp_path / "m", SHAPES)
    way = "8-bit"
    row = run.speed_row(way, tmp_path / "m", tmp_path / "o.npz")
    assert row["file_bytes"] == (tmp_path / "o.npz").stat().st_size < row["input_bytes"] / 2
    one, each = (run.reading_row(way, tmp_path / "o.npz", which) for which in ("one", "all"))
    assert 0 < one["read_bytes"] < each["read_bytes"] == checkpoint._bytes_of(SHAPES)
    assert one["file_bytes"] == row["file_bytes"] and one["peak_bytes"] > 0
    monkeypatch.setattr(run, "MOMENTS", (0.1 * row["seconds"], 0.5 * row["seconds"]))
    killed = run.kills_row(way, tmp_path / "m", tmp_path / "o.npz", row["seconds"], 2)
    assert killed["same_bytes"] and killed["left_over"] == [] and killed["kills"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "o.npz"]


@pytest.mark.slow
def test_the_command_makes_a_checkpoint(tmp_path):
    words = ["make", str(tmp_path / "m"), "--gigabytes", "0.001"]
    code = "import benchmarks.large.run as r; r.shapes_of = lambda b: {'a': (4, 4)}; r.main()"
    subprocess.run([sys.executable, "-c", code, *words], check=True)
    assert open_source(tmp_path / "m").paths == ["a"]
