"""Draw the figures of `benchmarks.minilm`, size against mean cosine, into docs/minilm.svg.

python -m benchmarks.minilm_plot
"""

import sys
from pathlib import Path

import matplotlib
from matplotlib import pyplot

from benchmarks.markdown import recorded

FIGURE = Path(__file__).parent.parent / "docs" / "minilm.svg"
KINDS = {
    "measured steps": "steps as fine as needed, fitted rounding",
    "fitted": "INT4 and mixed bits, fitted rounding",
    "pack": "jaxcompress pack, without data",
    "INT8": "INT8, also of fewer blocks, heads, ranks",
    "": "others",
}
"""What the legend says of ways whose names have these words in them, the first that fits."""


def main() -> int:
    """Draw the figure."""
    # Words stay words, and equal figures make equal files.
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "minilm", "font.size": 9}
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    rows = recorded("minilm")["figures"]
    left = [row for row in rows if row["ratio"] > 2]
    for words, label in KINDS.items():
        mine = [row for row in left if words in row["name"]]
        left = [row for row in left if row not in mine]
        mine.sort(key=lambda row: row["ratio"])
        if mine:
            ratios, cosines = zip(
                *((row["ratio"], row["cosine_mean"]) for row in mine), strict=True
            )
            line = "-" if words == "measured steps" else ""
            axes.plot(ratios, cosines, marker="o", linestyle=line, label=label)
    for ratio, cosine in ((4, 0.99), (8, 0.97)):
        axes.plot(ratio, cosine, marker="+", markersize=12, color="black")
    axes.set(xlabel="times smaller than float32", ylabel="mean cosine of embeddings")
    axes.set_ylim(0.9, 1.002)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FIGURE, metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
