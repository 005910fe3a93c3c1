"""Run the notebooks of docs/learn, and write what they print and draw into the checkout.

python -m benchmarks.notebooks           # all of them
python -m benchmarks.notebooks prune     # docs/learn/prune.md, docs/figures/learn/prune*.svg
python -m benchmarks.notebooks --check   # exit 1 if a figure is older than its page

A figure holds the digest of the code of its page, so that the check runs nothing. That the pages
still run, and print what they show, is for `.ci/wheel`, as for all pages of docs. The line between
`<!-- run NAME -->` and `<!-- end -->` says when and where a page was run.
"""

import contextlib
import datetime
import hashlib
import io
import os
import re
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.lib.code import ROOT, commit
from benchmarks.lib.record import hardware

sys.path.append(str(ROOT / ".ci" / "checks"))  # what pages are made of, for tests and the gate

import pages  # noqa: E402

LEARN = ROOT / "docs" / "learn"
DRAWN = ROOT / "docs" / "figures" / "learn"
NAMES = sorted(page.stem for page in LEARN.glob("*.md") if page.stem != "index")

_PICTURE = re.compile(r"!\[[^\]]*\]\(\.\./figures/learn/([\w-]+\.svg)\)")
_METADATA = re.compile(r" <metadata>.*?</metadata>\n", re.DOTALL)
_RUN = re.compile(r"<!-- run -->\n.*?<!-- end -->", re.DOTALL)


def code_of(name: str) -> list[pages.Block]:
    """Return the blocks of Python of a page."""
    found = pages.blocks_of(f"learn/{name}.md", (LEARN / f"{name}.md").read_text())
    return [block for block in found if block.language == "python"]


def pictures_of(name: str) -> list[str]:
    """Return the names of the figures that a page shows."""
    return _PICTURE.findall((LEARN / f"{name}.md").read_text())


def described(name: str) -> str:
    """Return what a figure says of its page: a digest of the code."""
    code = "\n".join(block.code for block in code_of(name))
    return f"sha256 of the code: {hashlib.sha256(code.encode()).hexdigest()}"


def stale() -> list[str]:
    """Return the figures that are older than their pages, and those that no page shows."""
    shown = {picture: name for name in NAMES for picture in pictures_of(name)}
    drawn = {path.name: path.read_text() for path in DRAWN.glob("*.svg")}
    old = [p for p, name in shown.items() if described(name) not in drawn.get(p, "")]
    return [f"docs/figures/learn/{each}" for each in sorted({*old, *(set(drawn) - set(shown))})]


def printed_by(blocks: list[pages.Block]) -> list[str]:
    """Run blocks one after the other, and return what each prints."""
    names: dict[str, Any] = {}
    found = []
    for block in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block.code, block.where, "exec"), names)
        found.append(out.getvalue())
    return found


def rewritten(text: str, blocks: list[pages.Block], printed: list[str], made: str) -> str:
    """Return a page with what its blocks have printed, and when."""
    for block, output in zip(blocks, printed, strict=True):
        code = f"```python\n{block.code}```\n"
        before, found, after = text.partition(code)
        if block.shown is not None:
            after = after.partition("```text\n")[2].removeprefix(block.shown).removeprefix("```\n")
        shown = f"\n```text\n{output}```\n" if output else ""
        text = before + found + shown + after
    return _RUN.sub(f"<!-- run -->\n{made}\n<!-- end -->", text)


def draw(name: str) -> float:
    """Run a page, write its outputs and figures, and return the seconds of processors."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}
    matplotlib.rcParams |= {"axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True}
    blocks, start, home = code_of(name), time.process_time(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            printed = printed_by(blocks)
            for picture in pictures_of(name):
                metadata = f" <metadata>{described(name)}</metadata>\n"
                text = _METADATA.sub(metadata, Path(picture).read_text(), count=1)
                (DRAWN / picture).write_text(re.sub(r" +$", "", text, flags=re.MULTILINE))
        finally:
            os.chdir(home)
    page = LEARN / f"{name}.md"
    page.write_text(rewritten(page.read_text(), blocks, printed, _made(name)))
    return time.process_time() - start


def _made(name: str) -> str:
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions = ", ".join(f"{package} {version(package)}" for package in ("jax", "numpy"))
    at = commit(("jaxcompress",))[0]
    return f"`python -m benchmarks.notebooks {name}`, {day} at {at}: {hardware()}; {versions}."


def main(arguments: list[str]) -> int:
    """Run the pages that are named, or all; or name the figures that are out of date."""
    if arguments == ["--check"]:
        old = stale()
        print(*old, sep="\n", end="\n" if old else "")
        return int(bool(old))
    DRAWN.mkdir(parents=True, exist_ok=True)
    for name in arguments or NAMES:
        print(f"{name}: {draw(name):.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
