"""A model card, in the form of Hugging Face."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxcompress.report._html import words
from jaxcompress.text import ascii_json, escaped

_MARKED = "\\`*_[]<>|&~#$"


def plain(text: Any) -> str:
    r"""Return a text that Markdown shows as it is.

    Example:
        >>> plain("<script>*x*")
        '\\<script\\>\\*x\\*'
    """
    return "".join(f"\\{c}" if c in _MARKED else c for c in escaped(str(text)))


def card(record: Mapping[str, Any]) -> str:
    """Return the text of a model card: what it is, from what, how, and with which figures.

    The licence is left to you.

    Args:
        record: of `of_run`, `of_files` or `of_result`.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from jaxcompress.artifact import save
        >>> from jaxcompress.report import of_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "net.npz")
        ...     size = save(path, {"bias": np.zeros(3, "float32")})
        ...     text = card(of_files([path]))
        >>> "- dense: 1 tensor, 3 weights" in text
        True
    """
    lines = [*_head(record), f"# {plain(record['title'])}", ""]
    if record["notice"]:
        lines += [f"> **{plain(record['notice'])}**", ""]
    for line in record["warnings"]:
        lines += [f"> **Warning:** {plain(line)}", ""]
    lines += ["A network that [jaxcompress](https://pypi.org/project/jaxcompress/) made small.", ""]
    lines += [*_figures(record), *_how(record), *_made(record)]
    lines += ["## Use", "", "```python", "import jaxcompress as jc", ""]
    lines += [f'params = jc.load("{_file(record)}")', "```", ""]
    lines += ["## Limits", "", *[f"- {plain(line)}" for line in record["skipped"]]]
    return "\n".join(lines).rstrip() + "\n"


def _figures(record: Mapping[str, Any]) -> list[str]:
    """Return the table of before and after, and how its numbers were measured."""
    if record["seeds"]:
        return _over_seeds(record["seeds"])
    quality = record["quality"] or {}
    rows, notes = [], []
    if record["size"]:
        pair = _pair(record["size"], "before_bytes", "after_bytes", "count")
        rows.append(("bytes of the file", *pair))
    if quality.get("samples"):
        rows.append(("test accuracy, %", *(_accuracy(quality[n]) for n in ("before", "after"))))
        samples = f"{quality['samples']:,} test samples and one seed"
        notes = [f"Intervals are of 95 %, from {samples}."]
        if quality["control"]:
            rows.append(("control, %", "", _accuracy(quality["control"])))
    if record["latency"]:
        rows.append(("ms, batch 1", *_pair(record["latency"], "before_ms", "after_ms", "ms")))
        threads = words(record["latency"]["threads"], "count")
        notes.append(
            f"Times: medians on {plain(record['latency']['processor'])}, threads {threads}."
        )
    if record["flops"]:
        rows.append(("operations of one call", *_pair(record["flops"], "before", "after", "count")))
    return _table(rows, notes) if rows else []


def _table(rows: Sequence[Sequence[str]], notes: Sequence[str]) -> list[str]:
    table = ["| | before | after |", "|---|---:|---:|", *[f"| {' | '.join(row)} |" for row in rows]]
    return [*table, "", *[part for note in notes for part in (note, "")]]


def _over_seeds(seeds: Mapping[str, Any]) -> list[str]:
    """Return the same table of runs that differ in the seed."""
    found = seeds["headline"]

    def spread(name: str, form: str) -> str:
        mean, low, high = (words(found[name][part], form) for part in ("mean", "low", "high"))
        return mean if low == high else f"{mean} ({low} to {high})"

    rows = [
        (title, spread(f"{before}_{field}", form), spread(f"{after}_{field}", form))
        for title, before, after, field, form in (
            ("bytes of the file", "size_before", "size_after", "bytes", "count"),
            ("test accuracy, %", "quality_before", "quality_after", "value", "percent"),
            ("ms, batch 1", "latency_before", "latency_after", "ms", "ms"),
        )
    ]
    if found["quality_control_value"]:
        rows.append(("control, %", "", spread("quality_control_value", "percent")))
    count = len(seeds["runs"])
    return _table(rows, [f"Numbers are means of {count} seeds, with the lowest and the highest."])


def _made(record: Mapping[str, Any]) -> list[str]:
    run = record["run"]
    if not run:
        return []
    data = (
        f"{plain(run['data'])}, from {plain(run['data_source'])}; {run['train_images']:,} samples"
    )
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return [
        *["## Data", "", f"{data} to train, {run['test_images']:,} to test.", ""],
        *["## To make it again", "", "```", escaped(run["command"] or "not kept"), "```", ""],
        *[f"Seed {_seeds_of(record)}; {plain(versions)}.", ""],
    ]


def _seeds_of(record: Mapping[str, Any]) -> str:
    runs = record["seeds"]["runs"] if record["seeds"] else [record["run"]]
    return ", ".join(str(run["seed"]) for run in runs)


def _head(record: Mapping[str, Any]) -> list[str]:
    """Return the metadata: strings of JSON are YAML."""
    run, quality = record["run"], record["quality"]
    lines = ["---", "# license: choose one, such as apache-2.0", "library_name: jaxcompress"]
    lines += ["tags:", "- jax", "- compression"]
    if run:
        lines += ["datasets:", f"- {ascii_json(run['data'])}", "metrics:", "- accuracy"]
    if run and quality:
        lines += ["model-index:", f"- name: {ascii_json(record['title'])}", "  results:"]
        lines += ["  - task:", "      type: image-classification", "    dataset:"]
        lines += [
            f"      name: {ascii_json(run['data'])}",
            f"      type: {ascii_json(run['data'])}",
        ]
        lines += [
            "    metrics:",
            "    - type: accuracy",
            f"      value: {_reached(record)}",
        ]
    return [*lines, "---", ""]


def _reached(record: Mapping[str, Any]) -> float:
    if record["seeds"]:
        return round(record["seeds"]["headline"]["quality_after_value"]["mean"], 6)
    return record["quality"]["after"]["value"]


def _pair(told: Mapping[str, Any], before: str, after: str, form: str) -> tuple[str, str]:
    return words(told[before], form), words(told[after], form)


def _accuracy(told: Mapping[str, float]) -> str:
    value, low, high = (words(told[name], "percent") for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _how(record: Mapping[str, Any]) -> list[str]:
    lines = ["## How", ""]
    if record["run"]:
        lines += [
            f"Recipe {plain(record['run']['recipe'])} on {plain(record['run']['model'])}.",
            "",
        ]
    names = [plain(row["name"]) for row in record["stages"] if not row["is_control"]]
    if names:
        lines += [f"Stages: {', '.join(names)}.", ""]
    for form in record["forms"]:
        count = f"{form['tensors']:,} tensor{'s' if form['tensors'] != 1 else ''}"
        size = words(form["bytes"], "count")
        lines.append(f"- {form['form']}: {count}, {form['weights']:,} weights, {size} bytes")
    return [*lines, ""] if record["forms"] else lines


def _file(record: Mapping[str, Any]) -> str:
    name = record["files"][0]["name"] if record["files"] else "model.npz"
    return ascii_json(str(name))[1:-1]
