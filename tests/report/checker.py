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
        half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
        middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        close(row["accuracy_low"], max(0, middle - half))
        close(row["accuracy_high"], min(1, middle + half))
    found, manifest = read_csr(after)
    found |= arrays or {}
    dense = np.load(before)
    for entry, layer in zip(manifest["tensors"], told["layers"], strict=False):
        row = layer["after"]
        assert (row["path"], row["form"]) == (entry["path"], entry["form"])
        assert row["shape"] == entry["shape"] and row["dtype"] == entry["dtype"]
        if row["path"] in found:
            check_tensor(row, found[row["path"]], (codes or {}).get(row["path"]))
        if layer["was_path"] is None and row["path"] in dense.files:
            assert layer["before"]["shape"] == list(dense[row["path"]].shape)
            assert layer["before"]["bytes"] == dense[row["path"]].nbytes
    with zipfile.ZipFile(after) as archive:
        stored = sum(info.compress_size for info in archive.infolist())
    rows = [layer["after"] for layer in told["layers"] if layer["after"]]
    assert sum(row["bytes"] for row in rows) <= stored <= sizes[1]
    close(
        told["files"][0]["total"]["bits_per_weight"], 8 * sizes[1] / sum(r["weights"] for r in rows)
    )
    return len(found)
