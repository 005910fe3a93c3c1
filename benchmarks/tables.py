"""Generate the tables of README and docs from records and from options; nobody types a figure.

python -m benchmarks.tables           # rewrite README.md, docs and benchmarks/README.md
python -m benchmarks.tables --check   # exit 1 if any would change
python -m benchmarks.tables --stale   # name records older than the code they measure; exit 1 if any

A table stands on exactly one page, between `<!-- table NAME -->` and `<!-- end -->`.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.ablation import table as ablation
from benchmarks.checkpoints import table as checkpoints
from benchmarks.coded import table as coded
from benchmarks.coders import table as coders
from benchmarks.core import table as core
from benchmarks.distillation import table as distillation
from benchmarks.execution import table as execution
from benchmarks.features import table as features
from benchmarks.flagship import table as flagship
from benchmarks.gpt import table as gpt
from benchmarks.large import table as large
from benchmarks.lib.catalogue import catalogue, stale
from benchmarks.lib.code import ROOT
from benchmarks.lib.pages import DOCS
from benchmarks.lib.record import Record
from benchmarks.lottery import table as lottery
from benchmarks.lowrank import table as lowrank
from benchmarks.minilm import table as minilm
from benchmarks.pipeline import table as pipeline
from benchmarks.planner import table as planner
from benchmarks.quantization import table as quantization
from benchmarks.quantizers import table as quantizers
from benchmarks.rate import table as rate
from benchmarks.recommend import table as recommend
from benchmarks.scaling import table as scaling
from benchmarks.search import table as search
from benchmarks.second_order import table as second_order
from benchmarks.ship import table as ship
from benchmarks.sizes import table as sizes
from benchmarks.sparse import table as sparse
from benchmarks.structured import table as structured
from benchmarks.trellis import table as trellis
from benchmarks.vit import table as vit
from benchmarks.works_with import table as works_with
from pipelines.options.page import TABLES as OF_OPTIONS

PAGES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    *DOCS,
)

RECORDS: tuple[Record, ...] = (
    *core.RECORDS,
    *pipeline.RECORDS,
    *planner.RECORDS,
    *recommend.RECORDS,
    rate.RECORD,
    *scaling.RECORDS,
    *search.RECORDS,
    *flagship.RECORDS,
    *sizes.RECORDS,
    *coders.RECORDS,
    *large.RECORDS,
    *checkpoints.RECORDS,
    *quantizers.RECORDS,
    *trellis.RECORDS,
    *second_order.RECORDS,
    *lottery.RECORDS,
    *structured.RECORDS,
    *quantization.RECORDS,
    *execution.RECORDS,
    *coded.RECORDS,
    *ship.RECORDS,
    *sparse.RECORDS,
    *lowrank.RECORDS,
    *distillation.RECORDS,
    *vit.RECORDS,
    *minilm.RECORDS,
    *gpt.RECORDS,
    *features.RECORDS,
    *ablation.RECORDS,
    *works_with.RECORDS,
)

Tables = dict[str, Callable[[], list[str]]]


def tables(pages: dict[Path, str]) -> Tables:
    """Return by name what makes the lines of each table."""
    of_records: Tables = {
        name: partial(make, record.read())
        for record in RECORDS
        for name, make in record.tables.items()
    }
    return of_records | OF_OPTIONS | {"benchmarks": partial(catalogue, RECORDS, pages)}


def rendered(pages: dict[Path, str]) -> dict[Path, str]:
    """Return the pages with every table between its markers made anew."""
    for name, make in tables(pages).items():
        marker = f"<!-- table {name} -->\n"
        places = [path for path, text in pages.items() for _ in range(text.count(marker))]
        if len(places) != 1:
            raise ValueError(f"expected one place for table {name}, found {places}")
        before, _, rest = pages[places[0]].partition(marker)
        after = rest[rest.index("<!-- end -->") :]
        table = "\n".join(make()) + "\n"
        pages = pages | {places[0]: before + marker + table + after}
    return pages


def main() -> int:
    """Rewrite the pages, or say whether one would change, or which records are stale."""
    if "--stale" in sys.argv:
        lines = stale(RECORDS)
        print("\n".join(lines) or "no record is older than the code it measures")
        return int(bool(lines))
    pages = {path: path.read_text() for path in PAGES}
    changed = {path: text for path, text in rendered(pages).items() if text != pages[path]}
    if "--check" in sys.argv:
        return int(bool(changed))
    for path, text in changed.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
