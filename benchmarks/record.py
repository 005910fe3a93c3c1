"""Records of figures, with everything that is needed to repeat them."""

import json
import platform
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jaxcompress.costs import threads

RESULTS = Path(__file__).parent / "results"


def hardware() -> str:
    """Return one line: processor, and how many cores this process may use."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        pairs = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        fields = {name.strip(): value.strip() for name, _, value in pairs}
        flags = fields.get("flags", "").split()
        features = [name for name in ("avx2", "avx512f", "amx_tile") if name in flags]
        model = " ".join([fields.get("model name", model), *features])
    cores = threads()
    return f"{model}, {cores} core{'s' if cores != 1 else ''}"


def write(name: str, *, seeds: list[int], figures: Any, command: str = "") -> Path:
    """Write `benchmarks/results/NAME.json`: figures, command, hardware, versions, seeds.

    Args:
        name: of the file.
        seeds: that the figures depend on.
        figures: the figures.
        command: that repeats them, if not the one that is running.
    """
    running = ["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]
    record = {
        "command": command or shlex.join(running),
        "hardware": hardware(),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("jax", "jaxlib", "numpy", "optax", "flax")},
        "seeds": seeds,
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return the rows that are written down under a name, none if nothing is."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["figures"] if path.exists() else []


def merge(
    name: str,
    row: dict[str, Any],
    *,
    key: Callable[[dict[str, Any]], Any],
    command: Callable[[list[dict[str, Any]]], str],
) -> Path:
    """Write a row, which has a `seed`, among those that are there; it replaces one of its key.

    Args:
        name: of the file.
        row: to write.
        key: what rows are told apart and sorted by.
        command: from all rows to what repeats them.
    """
    figures = sorted([*(old for old in rows_of(name) if key(old) != key(row)), row], key=key)
    seeds = sorted({row["seed"] for row in figures})
    return write(name, seeds=seeds, figures=figures, command=command(figures))
