"""What the gate's short runs of `run.py` must have reached: `runs.py CHECK FOLDER`.

FOLDER is that of the run; a check ends with one line of figures, or with an AssertionError.
"""

import json
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxcompress as jc

sys.path.append(str(Path(__file__).resolve().parents[2]))  # pipelines/ is not installed

Results = dict[str, Any]
Rows = dict[str, dict[str, Any]]

_ABOUT = 0.8  # of a speed that was asked for: the gate keeps all cores busy


def digits(folder: Path, results: Results, rows: Rows) -> str:
    """README's first command: pruned, shared, and as accurate as before."""
    assert results["schema_version"] == 1 and results["data"] == "digits", results
    assert list(rows) == [
        "baseline",
        "pruned",
        "pruned + tuned",
        "shared",
        "shared + tuned",
        "reloaded",
    ]
    assert results["ratio"] >= 25, results["ratio"]
    assert results["reloaded_accuracy"] >= results["baseline_accuracy"] - 0.005, results
    net = jc.open_function(folder / "shipped.npz")
    assert net(np.zeros((3, 32, 32, 3), np.float32)).shape == (3, 10), net
    return ""


def _budgets(results: Results) -> dict[str, dict[str, Any]]:
    """Return the checks of a budget by name: all are met, times on a busy machine about."""
    checks = {check["name"]: check for check in results["checks"]}
    for name, check in checks.items():
        about = name.startswith("times faster") and check["measured"] >= _ABOUT * check["budget"]
        assert check["met"] or about, check
    return checks


def budget(folder: Path, results: Results, rows: Rows) -> str:
    """All budgets are met: a small file of a network whose arrays are smaller."""
    checks = _budgets(results)
    assert len(checks) == 4, checks
    assert (folder / "compressed.npz").stat().st_size <= 12_000, checks["bytes"]
    assert rows["reloaded"]["flops"] < 0.3 * rows["baseline"]["flops"], rows
    params = jc.load(folder / "compressed.npz")["params"]
    assert params["conv3"]["kernel"].shape[-1] <= 32 and params["dense1"]["bias"].size <= 112
    return f", {checks['points lost']['measured']:.2f} points lost"


def searched(folder: Path, results: Results, rows: Rows) -> str:
    """The network of the file is the one that was chosen from the front, within the budget."""
    assert list(rows) == ["baseline", "searched", "distilled", "distilled + tuned", "reloaded"]
    found = json.loads((folder / "front.json").read_text())
    assert found["trials"] == 3 and not found["diverged"], found
    assert found["chosen"] in [member["sizes"] for member in found["front"]], found
    assert jc.inspect(folder / "compressed.npz")["metadata"]["sizes"] == found["chosen"], found
    checks = _budgets(results)
    assert len(checks) == 3, checks
    assert results["reloaded_accuracy"] >= 0.5, results  # of three networks, trained for seconds
    return f", {checks['times faster, batch 64']['measured']:.1f} times faster"


def distilled(folder: Path, results: Results, rows: Rows) -> str:
    """The student is as small as asked, and its controls were trained."""
    assert list(rows) == [
        "baseline",
        "distilled 1/2",
        "distilled 2/2",
        "distilled + tuned",
        "reloaded",
        "student from scratch",
        "single stage",
        "single stage + tuned",
    ], list(rows)
    leaves = jax.tree.leaves(jc.load(folder / "compressed.npz")["params"])
    facts = rows["distilled 2/2"]["facts"]
    assert 8 <= facts["parameter_ratio"] <= 8 / 0.95, facts
    assert sum(prod(leaf.shape) for leaf in leaves) == facts["parameters"], facts
    assert results["ratio"] >= 7.5, results["ratio"]
    assert results["reloaded_accuracy"] >= results["baseline_accuracy"] - 0.05, results
    return f", from scratch {rows['student from scratch']['accuracy']:.4f}"


def lottery(folder: Path, results: Results, rows: Rows) -> str:
    """The places of the weights that are kept matter, and the file holds the chosen ticket."""
    last = results["tickets"][-1]
    assert last["sparsity"] == 0.9 and len(results["tickets"]) == 2, results["tickets"]
    assert last["ticket"] >= last["random_mask"] + 0.02, last
    assert last["ticket"] >= last["new_weights"], last
    chosen = rows["best ticket"]["facts"]["chosen_round"]
    name = folder / f"stages/ticket_{chosen}_of_2.npz"
    assert (folder / "compressed.npz").read_bytes() == name.read_bytes(), chosen
    return f", random mask {last['random_mask']:.4f}"


def dropped(folder: Path, results: Results, rows: Rows) -> str:
    """Six of twelve blocks are kept, and about half of the operations."""
    assert rows["dropped"]["facts"] == {"blocks": [0, 2, 4, 7, 9, 11], "of": 12}, rows["dropped"]
    params = jc.load(folder / "compressed.npz")["params"]
    assert jc.prune.count_blocks(params, "blocks") == 6
    assert rows["reloaded"]["flops"] < 0.55 * rows["baseline"]["flops"], rows
    assert results["reloaded_accuracy"] >= results["baseline_accuracy"] - 0.05, results
    return f", after the drop {rows['dropped']['accuracy']:.4f}"


def fruits(folder: Path, results: Results, rows: Rows) -> str:
    """The stand-in is named, and 131 classes are told apart; three test pictures are written."""
    from PIL import Image

    from pipelines.data import load

    assert results["classes"] == 131 and "not Fruits-360" in results["data_notice"], results
    assert results["ratio"] >= 30 and results["reloaded_accuracy"] > 0.4, results
    test = load("rendered_fruits", limit=1310).test
    for number in range(3):
        Image.fromarray(test.images[number]).save(folder.parent / f"{number}.png")
    return ""


def int8(folder: Path, results: Results, rows: Rows) -> str:
    """ONNX Runtime computes in integers, and predicts what the simulation does."""
    kinds = [row["arithmetic"] for row in results["stages"]]
    assert kinds == ["float", "float", "float", "simulated", "integers", "float"], kinds
    least = min(row["accuracy"] for row in results["stages"])
    assert least >= results["baseline_accuracy"] - 0.01, results
    facts = rows["onnx int8"]["facts"]
    assert facts["agreement"] >= 0.995 and sum(facts["integer_kernels"].values()) == 5, facts
    assert results["compressed_bytes"] <= 0.27 * results["baseline_bytes"], results
    return f", agreement {facts['agreement']:.4f}"


CHECKS: dict[str, Callable[[Path, Results, Rows], str]] = {
    check.__name__: check
    for check in (digits, budget, searched, distilled, lottery, dropped, fruits, int8)
}


def main(name: str, folder: Path) -> None:
    """Run a check, and what all runs have in common."""
    results = json.loads((folder / "results.json").read_text())
    assert results["reload_exact"] is True, results
    more = CHECKS[name](folder, results, {row["name"]: row for row in results["stages"]})
    before, after = results["baseline_accuracy"], results["reloaded_accuracy"]
    print(f"{name}: ratio {results['ratio']:.1f}, accuracy {before:.4f} -> {after:.4f}{more}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
