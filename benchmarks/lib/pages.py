"""The pages of docs, where tables and figures stand; the built site is none of them."""

from benchmarks.lib.code import ROOT

DOCS = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
