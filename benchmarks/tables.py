"""Generate the tables of the README from benchmarks/results; no figure is typed by hand.

python -m benchmarks.tables           # rewrite README.md
python -m benchmarks.tables --check   # exit 1 if it would change
"""

import re
import statistics
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.markdown import footnote, markdown, recorded, spread
from benchmarks.quantization_tables import (
    execution,
    quantization_accuracy,
    quantization_latency,
    quantization_sizes,
)
from benchmarks.structured_tables import (
    structured_accuracy,
    structured_latency,
    structured_tracing,
)

README = Path(__file__).parent.parent / "README.md"


def pipeline(name: str) -> list[str]:
    """Return one row for each sparsity and quantizer: accuracy, control, bytes."""
    record = recorded(name)

    def setting(run: dict[str, Any]) -> tuple[float, str]:
        fineness = f"step {run['step']}" if run["step"] else f"k = {run['clusters']}"
        return run["sparsity"], f"{run['sparsity']:.0%}, {run['quantizer']}, {fineness}"

    controls = {
        run["seed"]: run["control_accuracy"]
        for run in record["figures"]
        if run["control_accuracy"] is not None
    }
    rows = []
    for (_, label), group in groupby(sorted(record["figures"], key=setting), setting):
        runs = [run | {"control_accuracy": controls[run["seed"]]} for run in group]

        def percent(field: str, runs: list[dict[str, Any]] = runs) -> str:
            return spread([100 * run[field] for run in runs])

        rows.append(
            [
                label,
                percent("baseline_accuracy"),
                percent("control_accuracy"),
                percent("reloaded_accuracy"),
                spread([100 * (r["reloaded_accuracy"] - r["control_accuracy"]) for r in runs]),
                f"{runs[0]['baseline_bytes']:,}",
                f"{statistics.mean(r['compressed_bytes'] for r in runs):,.0f}",
                f"{statistics.mean(r['ratio'] for r in runs):.1f}x",
                spread([r["seconds"] / 60 for r in runs], 1),
            ]
        )
    header = ["setting", "baseline %", "control %", "compressed %", "against control, points"]
    header += ["float32 bytes", "file bytes", "ratio", "minutes"]
    return markdown(header, rows) + footnote(record, " Mean (range) over the seeds.")


def sizes(name: str) -> list[str]:
    """Return how far each layout is from the bound, and its speed where that was measured."""
    record = recorded(name)
    speeds = {(row["net"], row["sparsity"]): row for row in record["figures"]["speed"]}
    rows = []
    for row in record["figures"]["sizes"]:
        above, speed = row["percent_above_bound"], speeds.get((row["net"], row["sparsity"]), {})
        fields = ("write_times_savez_compressed", "load_times_np_load", "load_times_trusting_load")
        rows.append(
            [
                f"{row['net']}, {row['sparsity']:.0%}",
                f"{row['bound_bytes']:,}",
                f"{row['float32_bytes'] / row['bound_bytes']:.1f}x",
                *(f"{above[layout]:+.2f} %" for layout in ("csr", "packed", "entropy")),
                *(f"{speed[field]:.2f}" if speed else "" for field in fields),
            ]
        )
    header = ["net, sparsity", "bound, bytes", "float32 to bound", "`csr`", "`packed`", "`entropy`"]
    header += ["write `packed`", "load `packed`", "checks"]
    return markdown(header, rows) + footnote(record)


def minilm(name: str) -> list[str]:
    """Return one row for each way to make the transformer smaller."""
    record = recorded(name)
    rows = [
        [
            row["name"],
            f"{row['file_bytes']:,}",
            f"{row['ratio']:.1f}x",
            f"{row['cosine_mean']:.4f} ({row['cosine_least']:.3f})",
            f"{row['write_cpu_s']:.1f}",
            f"{row['read_cpu_s']:.1f}",
        ]
        for row in record["figures"]
    ]
    header = ["way", "file bytes", "ratio", "cosine, mean (least)", "write, CPU s", "read, CPU s"]
    first = record["figures"][0]
    more = (
        f" Ratios are to {first['float32_bytes']:,} bytes of float32, without the pooler, which "
        f"embeddings do not need; {first['sentences']} sentences."
    )
    return markdown(header, rows) + footnote(record, more)


def core(name: str) -> list[str]:
    """Return the ratios of the core to its peers."""
    record = recorded(name)
    figures = record["figures"]
    rows = [
        [
            f"`kmeans`, 10 million weights, k = {row['k']}",
            "`np.sort` of them",
            f"{row['times_np_sort']:.2f}",
        ]
        for row in figures["kmeans"]
    ]
    rows += [
        [
            f"`kmeans`, 100 000 {source} numbers, k = {row['k']}: inertia above the exact",
            "kmeans1d",
            f"{100 * row[f'inertia_above_exact_{source}']:.4f} %",
        ]
        for row in figures["kmeans"]
        for source in ("normal", "Laplace", "Student t, 2")
    ]
    rows.append(
        [
            "`magnitude_mask`, 10 million weights",
            "`np.partition` of their magnitudes",
            f"{figures['magnitude_mask']['times_np_partition']:.2f}",
        ]
    )
    for row in figures["training_step"]:
        for kind, transform in (("masked", "hold_mask"), ("shared", "share_centroids")):
            rows.append(
                [
                    f"step of {row['net']} with `{transform}`, batch 64",
                    "the same step without",
                    f"{row[f'{kind}_times_plain']:.2f}",
                ]
            )
    added = figures["import"]["added_seconds"]
    rows.append(["`import jaxcompress`", "after `import jax, optax`", f"+{added:.2f} s"])
    return markdown(["what", "peer", "times the peer"], rows) + footnote(record)


def quantizers(name: str) -> list[str]:
    """Return the size of each quantizer against K-Means, and what that does to test accuracy."""
    record = recorded(name)

    def network(row: dict[str, Any]) -> tuple[str, float]:
        return row["net"], row["sparsity"]

    rows = []
    for (net, sparsity), group in groupby(record["figures"], network):
        found = {row["method"]: row for row in group}
        cells = [f"{net}, {sparsity:.0%}", f"{found['kmeans']['bound_bytes']:,}"]
        cells.append(f"{found['kmeans']['times_kmeans16_bound']:.2f}")
        for method in ("uniform", "entropy", "nncodec"):
            row = found.get(method)
            if row is None:
                cells.append("-")
                continue
            points = 100 * (row["test_accuracy"] - found["kmeans"]["test_accuracy"])
            cells.append(f"{row['times_kmeans16_bound']:.2f} ({points:+.2f})")
        rows.append(cells)
    header = ["network", "bound of 16 values, bytes", "K-Means, 16 values", "`uniform`"]
    header += ["`entropy_constrained`", "NNCodec"]
    more = (
        " Files, as multiples of the bound; in brackets test accuracy against K-Means, in points."
    )
    return markdown(header, rows) + footnote(record, more)


def ablation(name: str) -> list[str]:
    """Return one row for each choice of branches, against all of them."""
    record = recorded(name)

    def percent(rows: list[dict[str, Any]]) -> list[float]:
        return [100 * row["accuracy"] for row in rows]

    groups = [list(group) for _, group in groupby(record["figures"], lambda row: row["branches"])]
    whole = statistics.mean(percent(groups[0]))
    rows = [
        [
            group[0]["branches"],
            f"{group[0]['parameters']:,}",
            spread(percent(group)),
            f"{statistics.mean(percent(group)) - whole:+.2f}",
        ]
        for group in groups
    ]
    header = ["branches", "parameters", "accuracy %", "against all five, points"]
    return markdown(header, rows) + footnote(record, f" {groups[0][0]['epochs']} epochs each.")


def features(name: str) -> list[str]:
    """Return how many pictures of 100x100 pixels a core does in a second."""
    record = recorded(name)
    speeds = record["figures"]["pictures_per_cpu_second"]
    rows = [[kind, f"{speed:,}"] for kind, speed in speeds.items()]
    return markdown(["feature", "pictures a CPU-second"], rows) + footnote(record)


TABLES: dict[str, Callable[[str], list[str]]] = {
    "pipeline_fashion_mnist": pipeline,
    "pipeline_digits": pipeline,
    "pipeline_rendered_fruits": pipeline,
    "structured_accuracy": structured_accuracy,
    "structured_latency": structured_latency,
    "structured_tracing": structured_tracing,
    "quantization_accuracy": quantization_accuracy,
    "quantization_sizes": quantization_sizes,
    "quantization_latency": quantization_latency,
    "execution": execution,
    "ablation": ablation,
    "features": features,
    "sizes": sizes,
    "quantizers": quantizers,
    "minilm": minilm,
    "core": core,
}


RECORDS = {"quantization_sizes": "quantization_accuracy"}
"""Of tables that are made of the record of another."""


def rendered(text: str) -> str:
    """Return the README with every table between its markers made anew."""
    for name, make in TABLES.items():
        pattern = rf"(<!-- table {name} -->\n).*?(<!-- end -->)"
        table = "\n".join(make(RECORDS.get(name, name))) + "\n"
        text, found = re.subn(pattern, lambda m, t=table: m[1] + t + m[2], text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{README}: expected one place for table {name}, found {found}")
    return text


def main() -> int:
    """Rewrite the README, or say whether it would change."""
    text = README.read_text()
    changed = rendered(text) != text
    if changed and "--check" not in sys.argv:
        README.write_text(rendered(text))
    return int(changed and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
