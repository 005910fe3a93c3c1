"""The last section: what was skipped, versions, and how to make it again."""

from typing import Any

from jaxcompress.report._html._elements import Child, path, tag
from jaxcompress.report._html._numbers import Told
from jaxcompress.report._html._tables import Column, table
from jaxcompress.text import ascii_json, shortened

_MOST_PATHS, _MOST_ROWS = 60, 250
"""Names in a list, and rows of a table; the record has all."""


def skipped(told: Told) -> list[Child]:
    """Return what was skipped and why, and warnings."""
    found: list[Child] = []
    if told.at("warnings"):
        found.append(tag("h3", "Warnings"))
        found.append(tag("ul", [tag("li", line) for line in told.at("warnings")]))
    if told.at("skipped"):
        if told.at("warnings"):
            found.append(tag("h3", "Skipped"))
        found.append(tag("ul", [tag("li", line) for line in told.at("skipped")]))
    kept = (told.at("profile.kept") or {}).items()
    rows = [[why, _some(paths)] for why, paths in kept]
    if rows:
        columns = [Column("reason", "text"), Column("tensors without a choice", "text long")]
        found.append(table("What the planner left", columns, rows))
    return found


def _some(paths: list[str]) -> str:
    more = f", and {len(paths) - _MOST_PATHS:,} more" if len(paths) > _MOST_PATHS else ""
    return ", ".join(paths[:_MOST_PATHS]) + more


def again(told: Told) -> list[Child]:
    """Return the command, the plan, files with digests, data and versions."""
    found: list[Child] = []
    run = told.at("run")
    if run:
        text = "The same command with the same versions gives the same bytes on the same processor."
        found += [tag("p", text), tag("pre", tag("code", run["command"] or "not kept"))]
    if told.at("plan"):
        found.append(_plan(told))
    if told.at("files"):
        found.append(_files(told))
        metadata = told.at("files.0.metadata")
        if metadata and not run:
            text = shortened(ascii_json(metadata), most=2000)
            found += [tag("h3", "Metadata of the file"), tag("pre", tag("code", text))]
    if run:
        found.append(_facts(run))
    return found


def _plan(told: Told) -> Child:
    settings = told.at("plan.settings")
    rows = [[path(name), words] for name, words in [*settings.items()][:_MOST_ROWS]]
    columns = [Column("tensor", "text fit"), Column("settings", "text long")]
    why = [tag("li", line) for line in told.at("plan.why")]
    said = ["The plan: network ", tag("b", told.at("plan.network")), ", predicted "]
    said += [told.number("plan.size_bytes", "count"), " bytes."]
    more = tag("details", tag("summary", "Settings by tensor"), table("Plan", columns, rows))
    return [tag("p", said), tag("ul", why) if why else None, more if rows else None]


def _files(told: Told) -> Child:
    rows = [
        [
            row["name"],
            told.number(f"files.{n}.bytes", "count"),
            tag("code", row.get("sha256", "")),
        ]
        for n, row in enumerate(told.at("files"))
    ]
    columns = [Column("file", "text"), Column("bytes"), Column("sha256", "text fit")]
    return table("Files", columns, rows)


def _facts(run: dict[str, Any]) -> Child:
    device = run["device"]
    pairs = {
        "data": f"{run['data']}, from {run['data_source']}",
        "samples": f"{run['train_images']:,} to train, {run['test_images']:,} to test",
        "model, recipe": f"{run['model']}, {run['recipe']}",
        "seed": run["seed"],
        "reloaded to the bit": "yes" if run["reload_exact"] else "no",
        "time": f"{run['seconds']:,.0f} seconds in all stages",
        "device": ", ".join(f"{name} {value}" for name, value in device.items()),
        "versions": ", ".join(f"{name} {value}" for name, value in run["versions"].items()),
    }
    return tag("dl", [[tag("dt", name), tag("dd", text)] for name, text in pairs.items()])
