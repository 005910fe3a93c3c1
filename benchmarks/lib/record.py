"""Records of figures, with everything that is needed to repeat them."""

import datetime
import functools
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.lib.code import ROOT, commit, digest, sources
from jaxcompress.costs import threads

RESULTS = ROOT / "benchmarks" / "results"
Figures = Mapping[str, Any]
_KEPT = ("date", "commit", "dirty", "command", "hardware", "versions", "seeds", "figures")
"""Fields of an earlier record in the history of a later one."""


class Record(NamedTuple):
    """A file of figures.

    Attributes:
        name: of the file, `benchmarks/results/NAME.json`.
        proves: what its figures show.
        measures: files and folders of the code that they depend on, relative to the root.
        tables: by name, what makes the lines of a table from the content of the file.
        minutes: in words, where the file does not hold them.
    """

    name: str
    proves: str
    measures: tuple[str, ...]
    tables: Mapping[str, Callable[[Figures], list[str]]]
    minutes: str = ""

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return RESULTS / f"{self.name}.json"

    def read(self) -> dict[str, Any]:
        """Return the content of the file, nothing if there is none."""
        return json.loads(self.path.read_text()) if self.path.exists() else {}


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


def write(record: Record, *, seeds: list[int], figures: Any, command: str = "") -> Path:
    """Write the file of a record: figures, command, hardware, versions, seeds, date, code.

    A record of the same code is replaced. One of other code becomes the first of the history.

    Args:
        record: which one.
        seeds: that the figures depend on.
        figures: the figures; rows that have `minutes` say together how long all of them took.
        command: that repeats them, if not the one that is running.
    """
    code = code_now(record.measures)
    name, dirty = commit(record.measures)
    content = {
        "command": command or _running(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": name,
        **({"dirty": True} if dirty else {}),
        "minutes": _minutes_of(figures),
        "hardware": hardware(),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("jax", "jaxlib", "numpy", "optax", "flax")},
        "seeds": seeds,
        "code": code,
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    record.path.write_text(as_text(content | {"history": history(record.read(), content)}))
    return record.path


_LOADED = sources(("benchmarks", "jaxcompress", "nets", "pipelines"))
"""The code that runs, read when it is loaded: files may be edited while a benchmark runs."""


@functools.cache
def code_now(places: tuple[str, ...]) -> dict[str, str]:
    """Return the digest of each file that runs in these places, by its path."""
    inside = tuple(f"{place}/" for place in places)
    return {
        path: digest(text)
        for path, text in _LOADED.items()
        if path in places or path.startswith(inside)
    }


def history(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the earlier records of a new one, the latest first."""
    earlier = list(old.get("history", []))
    if not old or old.get("code") == new["code"]:
        return earlier
    return [{field: old[field] for field in _KEPT if field in old}, *earlier]


def as_text(content: Mapping[str, Any]) -> str:
    """Return the text of a file: an earlier record and all digests are one line each."""
    lines = []
    for field, value in content.items():
        if field == "history":
            earlier = ",\n".join(f"  {json.dumps(each)}" for each in value)
            text = f"[\n{earlier}\n ]" if value else "[]"
        elif field == "code":
            text = json.dumps(value)
        else:
            text = json.dumps(value, indent=1).replace("\n", "\n ")
        lines.append(f" {json.dumps(field)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def rows_of(record: Record) -> list[dict[str, Any]]:
    """Return the rows in the file that the code of today made."""
    old = record.read()
    return old["figures"] if old and old.get("code") == code_now(record.measures) else []


def merge(
    record: Record,
    row: dict[str, Any],
    *,
    key: Callable[[dict[str, Any]], Any],
    command: Callable[[list[dict[str, Any]]], str],
) -> Path:
    """Write a row, which has a `seed`, among those of the same code; it replaces one of its key.

    Args:
        record: which one.
        row: to write; it is given the `minutes` since the last one.
        key: what rows are told apart and sorted by.
        command: from all rows to what repeats them.
    """
    row |= {"minutes": minutes()}
    others = (old for old in rows_of(record) if key(old) != key(row))
    figures = sorted([*others, row], key=key)
    seeds = sorted({row["seed"] for row in figures})
    return write(record, seeds=seeds, figures=figures, command=command(figures))


_marks = [time.perf_counter()]


def minutes() -> float:
    """Return the minutes since the last call, or since the program began."""
    _marks.append(time.perf_counter())
    return round((_marks[-1] - _marks[-2]) / 60, 1)


def _minutes_of(figures: Any) -> float:
    if isinstance(figures, list) and all("minutes" in row for row in figures):
        return round(sum(row["minutes"] for row in figures), 1)
    return minutes()


def _running() -> str:
    """Return the command that is running, on one core if it may use no other."""
    module = f"benchmarks.{Path(sys.argv[0]).parent.name}"
    pinned = ["taskset", "-c", "0"] if threads() == 1 else []
    return shlex.join([*pinned, "python", "-m", module, *sys.argv[1:]])
