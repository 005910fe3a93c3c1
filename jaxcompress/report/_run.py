"""The record of a folder of `run.py`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcompress.report._arrays import arrays_of
from jaxcompress.report._damage import ALONE, alone_record
from jaxcompress.report._files import blank, facts_of, fill_layers
from jaxcompress.report._intervals import CONFIDENCE, wilson
from jaxcompress.report._json import checked, is_number, read_json
from jaxcompress.report._layers import renamed_blocks
from jaxcompress.report._mistakes import ANSWERS, mistakes_of
from jaxcompress.report._profile import plan_record, profile_record, reasons
from jaxcompress.report._search import FRONT, search_record, tickets_record
from jaxcompress.report._tensors import stored

RESULTS, PLAN, PROFILE = "results.json", "plan.json", "profile.json"
BASELINE, COMPRESSED = "baseline.npz", "compressed.npz"

_RESULTS = {
    **dict.fromkeys(("data", "data_source", "data_notice", "model", "recipe"), "a text"),
    **dict.fromkeys(("train_images", "test_images", "classes", "skipped_images"), "a count"),
    **dict.fromkeys(("schema_version", "seed", "baseline_bytes", "compressed_bytes"), "a count"),
    **dict.fromkeys(("baseline_accuracy", "reloaded_accuracy", "ratio", "seconds"), "a number"),
    **dict.fromkeys(("options", "versions", "device"), "an object"),
    **dict.fromkeys(("stages", "checks"), "a list"),
    "tickets": "a list?",
    "command": "a text?",
    "control_accuracy": "a number?",
    "shipped_bytes": "a count?",
    "reload_exact": "true or false",
}
_STAGE = {
    **dict.fromkeys(("name", "arithmetic", "sha256"), "a text"),
    **dict.fromkeys(("accuracy", "loss", "validation_accuracy", "sparsity"), "a number"),
    **dict.fromkeys(("size_bytes", "distinct_weights", "flops"), "a count"),
    **dict.fromkeys(("latency_ms", "seconds"), "a number"),
    "peak_bytes": "a number?",
    "latency_quartiles_ms": "a list?",
    "facts": "an object",
}
_CHECK = {
    "name": "a text",
    "budget": "a number?",
    "predicted": "a number?",
    "measured": "a number",
    "met": "true or false",
}


def of_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record of a finished run of `run.py`.

    It is made of what the folder holds, and is the same for the same folder.

    Args:
        folder: of the run.

    Returns:
        The content of `report.json`.

    Raises:
        ValueError: it holds no finished run, or one of its files is not what it should be.
        OSError: a file cannot be read.

    Example:
        >>> of_run("no/such/folder")
        Traceback (most recent call last):
            ...
        ValueError: no/such/folder: must be the folder of a run, got nothing; name one of run.py.
    """
    folder = Path(folder)
    results = _results(folder)
    stages = _stages(folder / RESULTS, results)
    record = blank("run", title=f"{results['model']} on {results['data']}")
    record["notice"] = results["data_notice"]
    record["stages"] = stages
    record["checks"] = [
        {name: checked(folder / RESULTS, each, _CHECK, at="checks")[name] for name in _CHECK}
        for each in results["checks"]
    ]
    _headline(record, results, stages)
    plan, profile = _planned(folder)
    record["plan"], record["profile"] = plan, profile
    if (path := folder / FRONT).exists():
        record["search"] = search_record(path, read_json(path), results["options"])
    record["tickets"] = tickets_record(folder / RESULTS, results["tickets"], results["test_images"])
    _files(record, folder, stages, reasons(plan, profile))
    record["alone"] = alone_record(folder / ALONE)
    record["mistakes"] = mistakes_of(folder / ANSWERS, results["classes"])
    record["run"] = _made(results)
    _say(record, results)
    return record


def _results(folder: Path) -> dict[str, Any]:
    path = folder / RESULTS
    if not folder.is_dir():
        what = "a file" if folder.exists() else "nothing"
        raise ValueError(f"{folder}: must be the folder of a run, got {what}; name one of run.py.")
    if not path.exists():
        if (folder / "settings.json").exists():
            raise ValueError(
                f"{folder}: the run must be finished, got no {RESULTS}; go on with --resume."
            )
        raise ValueError(f"{folder}: must hold {RESULTS}, got none; name the folder of a run.")
    results = checked(path, read_json(path), _RESULTS)
    if results["schema_version"] != 1:
        raise ValueError(
            f"{path}: schema_version must be 1, got {results['schema_version']}; take a newer "
            "jaxcompress."
        )
    for name in ("test_images", "baseline_bytes", "compressed_bytes"):
        if not results[name]:
            raise ValueError(f"{path}: {name} must be at least 1, got 0; make it again.")
    return results


def _stages(path: Path, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the stages, those after the reloaded network as controls."""
    found: list[dict[str, Any]] = []
    is_control = False
    for each in results["stages"]:
        row = checked(path, each, _STAGE, at="stages")
        if not 0 <= row["accuracy"] <= 1:
            raise ValueError(
                f"{path}: {row['name']}: accuracy must be in [0, 1], got {row['accuracy']}; make "
                "it again."
            )
        low, high = wilson(row["accuracy"], results["test_images"])
        kept = {name: row[name] for name in _STAGE}
        found.append(kept | {"accuracy_low": low, "accuracy_high": high, "is_control": is_control})
        is_control = is_control or row["name"] == "reloaded"
    names = [row["name"] for row in found]
    for name in ("baseline", "reloaded"):
        if name not in names:
            raise ValueError(f"{path}: stages must have {name}, got none; make it again.")
    return found


def _headline(record: dict[str, Any], results: Any, stages: Sequence[Mapping[str, Any]]) -> None:
    by_name = {row["name"]: row for row in stages}
    first, last = by_name["baseline"], by_name["reloaded"]
    record["size"] = {
        "before_bytes": results["baseline_bytes"],
        "before_is": "the file of the dense network in float32",
        "after_bytes": results["compressed_bytes"],
        "ratio": results["baseline_bytes"] / results["compressed_bytes"],
        "shipped_bytes": results["shipped_bytes"],
    }
    control = by_name.get("control")
    record["quality"] = {
        "metric": "accuracy",
        "samples": results["test_images"],
        "confidence": CONFIDENCE,
        "before": _quality(first),
        "after": _quality(last),
        "control": None if control is None else _quality(control),
        "points_lost": 100 * (first["accuracy"] - last["accuracy"]),
        "points_lost_to_control": None
        if control is None
        else 100 * (control["accuracy"] - last["accuracy"]),
        "seeds": 1,
    }
    device = results["device"]
    record["latency"] = {
        "batch": 1,
        "statistic": "median",
        "before_ms": first["latency_ms"],
        "after_ms": last["latency_ms"],
        "before_quartiles_ms": _quartiles(first),
        "after_quartiles_ms": _quartiles(last),
        "ratio": first["latency_ms"] / last["latency_ms"] if last["latency_ms"] else None,
        "threads": device.get("threads"),
        "platform": str(device.get("platform", "")),
        "processor": str(device.get("processor") or device.get("kind", "")),
        "is_of": "a dense network of these sizes",
        "speedups": _speedups(last["facts"]),
        "others": [
            {"name": row["name"], "ms": row["latency_ms"]}
            for row in stages
            if row["name"].startswith("onnx ")
        ],
    }
    record["memory"] = {"before_bytes": first["peak_bytes"], "after_bytes": last["peak_bytes"]}
    record["flops"] = {"before": first["flops"], "after": last["flops"]}


def _quality(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        "value": row["accuracy"],
        "low": row["accuracy_low"],
        "high": row["accuracy_high"],
    }


def _quartiles(row: Mapping[str, Any]) -> list[float] | None:
    found = row["latency_quartiles_ms"] or []
    return found if len(found) == 2 and all(map(is_number, found)) else None


def _speedups(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = facts.get("speedups")
    pairs = found.items() if isinstance(found, dict) else ()
    return [
        {"batch": int(batch), "ratio": float(ratio)}
        for batch, ratio in pairs
        if batch.isdigit() and type(ratio) in (int, float)
    ]


def _planned(folder: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    plan = profile = None
    if (folder / PLAN).exists():
        plan = plan_record(folder / PLAN, read_json(folder / PLAN))
    if (folder / PROFILE).exists():
        told = read_json(folder / PROFILE)
        profile = profile_record(folder / PROFILE, told, None if plan is None else plan["network"])
    return plan, profile


def _files(
    record: dict[str, Any],
    folder: Path,
    stages: Sequence[Mapping[str, Any]],
    why: Mapping[str, str],
) -> None:
    """Fill in the files of the run, and what the compressed one holds."""
    for name in (BASELINE, "shipped.npz", "float32.onnx", "int8.onnx"):
        if (folder / name).is_file():
            record["files"].append({"name": name} | facts_of(folder / name))
        elif name == BASELINE:
            record["warnings"].append(f"{name} is missing: layers are shown after compression only")
    if not (folder / COMPRESSED).is_file():
        record["warnings"].append(f"{COMPRESSED} is missing: layers are not shown")
        return
    told, tensors = stored(folder / COMPRESSED)
    head = {"name": COMPRESSED} | facts_of(folder / COMPRESSED) | told
    record["files"].insert(0, head)
    last = next(row for row in stages if row["name"] == "reloaded")
    if head["bytes"] != record["size"]["after_bytes"] or head["sha256"] != last["sha256"]:
        record["warnings"].append(f"{COMPRESSED} is not the file that {RESULTS} describes")
    before = None
    if (folder / BASELINE).is_file():
        before = arrays_of(folder / BASELINE)
    paths = [row["path"] for row in told["tensors"]]
    renamed = renamed_blocks(paths, _blocks(stages))
    fill_layers(record, head, tensors, before, why, renamed)


def _blocks(stages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the numbers of the blocks that were kept, none where none was dropped."""
    found = next((row["facts"]["blocks"] for row in stages if "blocks" in row["facts"]), None)
    is_kept = isinstance(found, list) and all(type(place) is int for place in found)
    return found if is_kept and found is not None else []


def _made(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run was: data, seed, options, versions, and the command."""
    fields = ("model", "recipe", "seed", "data", "data_source", "train_images", "test_images")
    more = ("classes", "skipped_images", "reload_exact", "seconds", "options", "versions")
    found = {name: results[name] for name in (*fields, *more)}
    return found | {"device": results["device"], "command": results["command"]}


def _say(record: dict[str, Any], results: Mapping[str, Any]) -> None:
    """Add what was skipped, and what to beware of."""
    skipped, warnings = record["skipped"], record["warnings"]
    if results["skipped_images"]:
        skipped.append(f"{results['skipped_images']:,} pictures could not be read, and were left.")
    if results["control_accuracy"] is None:
        skipped.append("No control: the dense network was not trained for as many extra steps.")
    if results["command"] is None:
        skipped.append("The command: this run was made before it was kept.")
    if results["shipped_bytes"] is None:
        skipped.append("No file with the program was written.")
    if record["mistakes"] is None:
        skipped.append("Mistakes are not shown: the run kept no answers.")
    if record["alone"] is None:
        skipped.append("The damage of each layer alone: this run did not measure it.")
    elif record["alone"]["why_not"]:
        skipped.append(f"The damage of each layer alone: {record['alone']['why_not']}.")
    if record["profile"] is not None:
        skipped += record["profile"]["limits"]
    if not results["reload_exact"]:
        warnings.append("the reloaded network does not give the same logits")
    warnings += [f"budget missed: {each['name']}" for each in record["checks"] if not each["met"]]
