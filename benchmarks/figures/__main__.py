"""Draw the figures of docs from benchmarks/results, and write below each what it was drawn from.

python -m benchmarks.figures           # rewrite docs/figures/*.svg, and captions in docs
python -m benchmarks.figures --check   # exit 1 if a figure is older than its record

A figure holds the digest of what it was drawn from, so that the check draws nothing and depends on
no version of matplotlib. A caption stands between `<!-- figure NAME -->` and `<!-- end -->`.
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures.plots import PLOTS
from benchmarks.lib.code import ROOT
from benchmarks.lib.markdown import footnote
from benchmarks.lib.pages import DOCS
from benchmarks.lib.record import RESULTS

DRAWN = ROOT / "docs" / "figures"

_CAPTION = re.compile(r"<!-- figure (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def recorded(name: str) -> dict[str, Any]:
    """Return the record that a figure is drawn from."""
    return json.loads((RESULTS / f"{PLOTS[name].record}.json").read_text())


def described(record: dict[str, Any]) -> str:
    """Return what a figure says of its record: a digest of all its figures."""
    text = json.dumps(record["figures"], sort_keys=True, separators=(",", ":"))
    return f"sha256 of the figures: {hashlib.sha256(text.encode()).hexdigest()}"


def caption(name: str, page: Path, record: dict[str, Any]) -> str:
    """Return the figure as a page shows it, with what a reader needs to repeat it."""
    link = Path(os.path.relpath(DRAWN / f"{name}.svg", page.parent)).as_posix()
    made = footnote(record, " Drawn by `python -m benchmarks.figures`.")[-1]
    return (
        f"<!-- figure {name} -->\n![{PLOTS[name].words}]({link})\n\n"
        f"Record `benchmarks/results/{PLOTS[name].record}.json`, of {made}\n<!-- end -->"
    )


def captioned(page: Path, text: str) -> str:
    """Return a page with the captions of all its figures made anew.

    Raises:
        KeyError: it names a figure that does not exist.
    """

    def fresh(found: re.Match[str]) -> str:
        return caption(found[1], page, recorded(found[1]))

    return _CAPTION.sub(fresh, text)


def stale() -> list[str]:
    """Return the figures that are older than their records, and pages with such captions."""
    drawn = {name: DRAWN / f"{name}.svg" for name in PLOTS}
    found = [
        name
        for name, path in drawn.items()
        if not path.exists() or described(recorded(name)) not in path.read_text()
    ]
    pages = (path for path in DOCS if captioned(path, path.read_text()) != path.read_text())
    return found + [str(path.relative_to(ROOT)) for path in pages]


def draw(name: str) -> None:
    """Write a figure; equal figures make equal files."""
    import matplotlib
    from matplotlib.figure import Figure

    plot, record = PLOTS[name], recorded(name)
    with matplotlib.rc_context():
        matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}
        matplotlib.rcParams |= {"axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True}
        figure = Figure(plot.size, layout="constrained")
        plot.draw(figure, record["figures"])
        metadata = {"Date": None, "Creator": None, "Description": described(record)}
        figure.savefig(DRAWN / f"{name}.svg", metadata=metadata)


def main() -> int:
    """Draw all figures and write their captions, or name those that are out of date."""
    if "--check" in sys.argv:
        old = stale()
        print(*old, sep="\n", end="\n" if old else "")
        return int(bool(old))
    DRAWN.mkdir(exist_ok=True)
    for name in PLOTS:
        draw(name)
    for path in DOCS:
        path.write_text(captioned(path, path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
