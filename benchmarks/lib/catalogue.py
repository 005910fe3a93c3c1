"""All records in one table, and which of them are older than the code they measure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.lib.code import ROOT, changed, digests
from benchmarks.lib.markdown import markdown
from benchmarks.lib.record import Record

_FEW = 5
"""So many changed files are named."""


def catalogue(records: Iterable[Record], pages: Mapping[Path, str]) -> list[str]:
    """Return one row for each record: what it proves, how to repeat it, how long that takes.

    Args:
        records: the rows.
        pages: text by path, where the tables stand.
    """
    header = ["record", "what it shows", "tables", "command", "minutes", "hardware", "made"]
    rows = []
    for record in records:
        content = record.read()
        row = [f"[{record.name}](results/{record.name}.json)", record.proves]
        row += [", ".join(dict.fromkeys(_places(record, pages))), f"`{content['command']}`"]
        rows.append([*row, _minutes(record), content["hardware"], content["date"]])
    return markdown(header, rows, left=len(header))


def _places(record: Record, pages: Mapping[Path, str]) -> Iterator[str]:
    for name in record.tables:
        for path, text in pages.items():
            if f"<!-- table {name} -->" in text:
                shown = path.relative_to(ROOT).as_posix()
                yield f"[{shown}](../{shown})"
                break


def _minutes(record: Record) -> str:
    found = record.read().get("minutes")
    return record.minutes if found is None else f"{found:.1f}" if found < 10 else f"{found:.0f}"


def stale(records: Iterable[Record]) -> list[str]:
    """Return lines about each record that was made with other code than that of today."""
    lines = []
    for record in records:
        content = record.read()
        files = changed(content.get("code", {}), digests(record.measures))
        if not files:
            continue
        minutes = _minutes(record)
        lines += [
            f"{record.name}: made {content['date']} at {content['commit']}",
            f"  changed since: {_listed(files) if content.get('code') else 'not recorded'}",
            f"  repeat: {content['command']}" + (f"  # minutes: {minutes}" if minutes else ""),
        ]
    return lines


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _FEW} more" if len(files) > _FEW else ""
    return ", ".join(files[:_FEW]) + more
