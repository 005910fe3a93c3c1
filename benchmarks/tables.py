"""Generate the tables of README and docs from benchmarks/results; nobody types a figure.

python -m benchmarks.tables           # rewrite README.md and docs/*.md
python -m benchmarks.tables --check   # exit 1 if any would change
"""

import statistics
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.distillation_tables import distillation
from benchmarks.lowrank_tables import low_rank_layers, low_rank_svd
from benchmarks.markdown import footnote, markdown, recorded, spread
from benchmarks.quantization_tables import (
    execution,
    quantization_accuracy,
    quantization_latency,
    quantization_sizes,
)
from benchmarks.second_order_tables import second_order
from benchmarks.sparse_tables import sparse
from benchmarks.structured_tables import (
    structured_accuracy,
    structured_latency,
    structured_tracing,
)
from benchmarks.vit_tables import vit_accuracy, vit_latency
from benchmarks.works_with_tables import works_with

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def pipeline(name: str) -> list[str]:
    """Return one row for each sparsity and quantizer: accuracy, control, bytes."""
    record = recorded(name)

    def setting(run: dict[str, Any]) -> tuple[float, str]:
        fineness = f"step size {run['step']}" if run["step"] else f"k = {run['clusters']}"
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
            row["name"].replace("--step ", "--step-size ").replace("steps,", "step sizes,"),
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
        f"embeddings do not need; {first['sentences']} sentences. Writing is the whole command of "
        "`pack`, and `save` alone of the others."
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
    rows.append(["`import jaxcompress`", "after `import jax, optax`", f"+{added:.3f} s"])
    used = figures["import"]["first_use_seconds"]
    rows.append(["the same, and masks, sharing and a file used", "the same", f"+{used:.2f} s"])
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
    "distillation": distillation,
    "low_rank_layers": low_rank_layers,
    "low_rank_svd": low_rank_svd,
    "vit_accuracy": vit_accuracy,
    "vit_latency": vit_latency,
    "second_order": second_order,
    "sparse": sparse,
    "works_with": works_with,
}


RECORDS = {
    "quantization_sizes": "quantization_accuracy",
    "low_rank_layers": "lowrank",
    "low_rank_svd": "lowrank",
}
"""Of tables that are made of the record of another."""


def rendered(pages: dict[Path, str]) -> dict[Path, str]:
    """Return the pages with every table between its markers made anew; each stands on one page."""
    for name, make in TABLES.items():
        marker = f"<!-- table {name} -->\n"
        places = [path for path, text in pages.items() for _ in range(text.count(marker))]
        if len(places) != 1:
            raise ValueError(f"expected one place for table {name}, found {places}")
        table = "\n".join(make(RECORDS.get(name, name))) + "\n"
        before, _, rest = pages[places[0]].partition(marker)
        after = rest[rest.index("<!-- end -->") :]
        pages = pages | {places[0]: before + marker + table + after}
    return pages


def main() -> int:
    """Rewrite the pages, or say whether one would change."""
    pages = {path: path.read_text() for path in PAGES}
    changed = {path: text for path, text in rendered(pages).items() if text != pages[path]}
    if "--check" in sys.argv:
        return int(bool(changed))
    for path, text in changed.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
