"""The numbers of a report, counted again from the files: numpy, zipfile and json, nothing else.

It shares no code with the report. Tensors in the forms dense, clustered and same of layout csr are
read here; the arrays of other forms and layouts must be given.
"""

import hashlib
import json
import math
import zipfile
from pathlib import Path

import numpy as np

Z = 1.959963984540054


def read_csr(path):
    """The tensors of a file by path, as far as this program reads them, and its manifest."""
    streams = dict(np.load(path))
    manifest = json.loads(streams["manifest"].tobytes())
    found = {}

    def take(name, count):
        part, streams[name] = streams[name][:count], streams[name][count:]
        return part

    for told in manifest["tensors"]:
        form, size = told["form"], math.prod(told["shape"])
        if form == "dense" and told["dtype"] in streams:
            found[told["path"]] = take(told["dtype"], size).reshape(told["shape"])
        elif form == "half" and told["stored"] in streams:
            found[told["path"]] = take(told["stored"], size).reshape(told["shape"])
        elif form in ("clustered", "sparse") and told["packing"] == "csr":
            book = take(told["dtype"], told["k"]) if form == "clustered" else None
            rows = math.prod(told["shape"][:-1])
            ends = np.cumsum([0, *take("row_lengths", rows)])
            steps, codes = take("distances", told["entries"]), take("codes", told["entries"])
            if book is None:
                book = take(told["dtype"], int(np.count_nonzero(codes)))
            dense = np.zeros((rows, told["shape"][-1]), told["dtype"])
            met = 0
            for row in range(rows):
                column = -1
                for n in range(ends[row], ends[row + 1]):
                    column += int(steps[n])
                    if codes[n]:
                        met += 1
                        value = book[codes[n] - 1] if form == "clustered" else book[met - 1]
                        dense[row, column] = value
            found[told["path"]] = dense.reshape(told["shape"])
        else:
            break  # what follows stands behind a stream that is not read here
    return found, manifest


def entropy(symbols):
    counts = np.unique(symbols, return_counts=True)[1] / symbols.size
    return float(-(counts * np.log2(counts)).sum())


def close(a, b):
    assert math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9), (a, b)


def check_tensor(row, dense, codes=None):
    """Counts of one tensor; `codes` are its symbols, where several numbers may have one."""
    assert row["shape"] == list(dense.shape) and row["weights"] == dense.size
    assert row["nonzero"] == np.count_nonzero(dense)
    assert row["distinct"] == np.unique(dense).size
    close(row["sparsity"], 1 - np.count_nonzero(dense) / dense.size)
    if row["bytes"] is not None:
        close(row["bits_per_weight"], 8 * row["bytes"] / dense.size)
    if row["form"] == "clustered":
        codes = dense
    if row["form"] == "sparse":
        codes = dense != 0
    assert (codes is None) == (row["entropy_bits"] is None), row["path"]
    if codes is not None:
        close(row["entropy_bits"], entropy(np.asarray(codes).reshape(-1)))
        if row["form"] == "clustered":
            close(row["bound_bytes"], dense.size * entropy(dense.reshape(-1)) / 8 + 4 * row["k"])


def wilson(p, n):
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    return max(0, middle - half), min(1, middle + half)


def check_error(layer, was, now):
    """The relative error of a tensor, and the same in decibels."""
    was, now = was.astype(np.float64), now.astype(np.float64)
    norm = math.sqrt(((was - now) ** 2).sum() / (was**2).sum())
    assert math.isclose(layer["error"]["relative"], norm, rel_tol=1e-4, abs_tol=1e-12)
    if norm:
        assert math.isclose(10 ** (-layer["error"]["sqnr_db"] / 20), norm, rel_tol=1e-4)
    return ((was - now) ** 2).sum(), (was**2).sum()


def check_search(told, front):
    """Members as in `front.json`; nothing beats the front, something beats each other one."""
    found, n = told["search"], front["validation_images"]
    known = {json.dumps(each["sizes"]): each for each in front["tried"]}
    assert len(found["tried"]) == len(known) == found["trials"]

    def point(each):
        return each["size_bytes"], each["milliseconds"], -each["accuracy"]

    sound = [each for each in found["tried"] if each["accuracy"] is not None]
    assert len(known) - len(sound) == len(found["diverged"])
    for each in found["tried"]:
        for field, value in known[json.dumps(each["sizes"])].items():
            assert each[field] == value, field
        if each["accuracy"] is None:
            assert not each["on_front"]
            continue
        close(each["low"], wilson(each["accuracy"], n)[0])
        close(each["high"], wilson(each["accuracy"], n)[1])
        others = [point(other) for other in sound if point(other) != point(each)]
        beaten = any(all(map(float.__le__, map(float, o), map(float, point(each)))) for o in others)
        assert each["on_front"] != beaten, each["name"]
    (chosen,) = [each for each in found["tried"] if each["is_chosen"]]
    assert chosen["sizes"] == front["chosen"] and chosen["on_front"]


def check_tickets(told, results):
    """Accuracies as in `results.json`, their intervals, and differences with Newcombe's."""
    n = results["test_images"]
    for found, known in zip(told["tickets"]["rounds"], results["tickets"], strict=True):
        assert found["sparsity"] == known["sparsity"]
        (low, high), ticket = wilson(known["ticket"], n), known["ticket"]
        for way, row in found["ways"].items():
            assert row["value"] == known[way]
            close(row["low"], wilson(known[way], n)[0])
            close(row["high"], wilson(known[way], n)[1])
        for way, row in found["ticket_less"].items():
            other, (least, most) = known[way], wilson(known[way], n)
            close(row["value"], ticket - other)
            close(row["low"], ticket - other - math.hypot(ticket - low, most - other))
            close(row["high"], ticket - other + math.hypot(high - ticket, other - least))


def check_seeds(folders, told):
    """Means and ranges of several runs."""
    runs = [json.loads((Path(f) / "results.json").read_text()) for f in folders]
    assert [each["seed"] for each in told["seeds"]["runs"]] == [run["seed"] for run in runs]

    def check(found, values):
        assert found["each"] == values
        close(found["mean"], sum(values) / len(values))
        assert (found["low"], found["high"]) == (min(values), max(values))

    headline = told["seeds"]["headline"]
    check(headline["size_after_bytes"], [run["compressed_bytes"] for run in runs])
    check(headline["quality_after_value"], [run["reloaded_accuracy"] for run in runs])
    check(
        headline["quality_points_lost"],
        [100 * (run["baseline_accuracy"] - run["reloaded_accuracy"]) for run in runs],
    )
    for n, row in enumerate(told["seeds"]["stages"]):
        stages = [run["stages"][n] for run in runs]
        assert {stage["name"] for stage in stages} == {row["name"]}
        for field in ("accuracy", "size_bytes", "latency_ms"):
            check(row[field], [stage[field] for stage in stages])
    for n, row in enumerate(told["seeds"]["tickets"]):
        for way, found in row["ways"].items():
            check(found, [run["tickets"][n][way] for run in runs])


def check_run(folder, arrays=None, codes=None):
    """Compare `report.json` with the files beside it; returns how many tensors were counted.

    `arrays` and `codes` are by path, of tensors that this program does not read.
    """
    folder = Path(folder)
    told = json.loads((folder / "report.json").read_text())
    results = json.loads((folder / "results.json").read_text())
    for file in told["files"]:
        data = (folder / file["name"]).read_bytes()
        assert file["bytes"] == len(data)
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
    before, after = (folder / n for n in ("baseline.npz", "compressed.npz"))
    sizes = before.stat().st_size, after.stat().st_size
    assert (told["size"]["before_bytes"], told["size"]["after_bytes"]) == sizes
    close(told["size"]["ratio"], sizes[0] / sizes[1])
    n = results["test_images"]
    for row, known in zip(told["stages"], results["stages"], strict=True):
        p = known["accuracy"]
        assert row["accuracy"] == p and row["size_bytes"] == known["size_bytes"]
        close(row["accuracy_low"], wilson(p, n)[0])
        close(row["accuracy_high"], wilson(p, n)[1])
    found, manifest = read_csr(after)
    found |= arrays or {}
    dense = np.load(before)
    squares = []
    for entry, layer in zip(manifest["tensors"], told["layers"], strict=False):
        row = layer["after"]
        assert (row["path"], row["form"]) == (entry["path"], entry["form"])
        assert row["shape"] == entry["shape"] and row["dtype"] == entry["dtype"]
        if row["path"] in found:
            check_tensor(row, found[row["path"]], (codes or {}).get(row["path"]))
        if layer["was_path"] is None and row["path"] in dense.files:
            assert layer["before"]["shape"] == list(dense[row["path"]].shape)
            assert layer["before"]["bytes"] == dense[row["path"]].nbytes
            is_same = list(dense[row["path"]].shape) == row["shape"]
            assert is_same == (layer["error"] is not None)
            if is_same and row["path"] in found:
                squares.append(check_error(layer, dense[row["path"]], found[row["path"]]))
    with zipfile.ZipFile(after) as archive:
        stored = sum(info.compress_size for info in archive.infolist())
    rows = [layer["after"] for layer in told["layers"] if layer["after"]]
    assert sum(row["bytes"] for row in rows) <= stored <= sizes[1]
    close(sum(each["after"] for each in told["bytes_by_layer"]), sum(r["bytes"] for r in rows))
    was = [layer["before"]["bytes"] for layer in told["layers"] if layer["before"]]
    assert sum(each["before"] for each in told["bytes_by_layer"]) == sum(was)
    compared = [layer for layer in told["layers"] if layer["error"]]
    if len(squares) == len(compared) > 0:
        changed = [(a, b) for a, b in squares if a]
        assert told["damage"]["changed"] == len(changed)
        error = math.sqrt(sum(a for a, _ in changed) / sum(b for _, b in changed))
        assert math.isclose(told["damage"]["relative"], error, rel_tol=1e-4)
    if (folder / "front.json").exists():
        check_search(told, json.loads((folder / "front.json").read_text()))
    if told["tickets"]:
        check_tickets(told, results)
    close(
        told["files"][0]["total"]["bits_per_weight"], 8 * sizes[1] / sum(r["weights"] for r in rows)
    )
    return len(found)
