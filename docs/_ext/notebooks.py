"""The pages of docs/learn as notebooks: an `.ipynb` beside each, and a link to it.

A block of Python is a cell, the text that follows is its output, everything else is Markdown.
Pictures are in the file, and links lead to the pages of the site beside it.
"""

import base64
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # tests make notebooks without Sphinx
    from sphinx.application import Sphinx

sys.path.append(str(Path(__file__).resolve().parents[2] / ".ci" / "checks"))

import pages  # noqa: E402  # what tests and the gate take the blocks of a page to be

FOLDER = "learn/"
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+\.svg)\)")
_PAGE = re.compile(r"(\]\([^):\s]+)\.md(?=[#)])")
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_LINK = (
    "\n<a class='notebook' href='{name}.ipynb' download='{name}.ipynb'>Download as a notebook</a>\n"
)


def is_notebook(docname: str) -> bool:
    """Return whether a page is one."""
    return docname.startswith(FOLDER) and docname != f"{FOLDER}index"


def notebook(name: str, text: str, folder: Path) -> dict[str, Any]:
    """Return a page as a notebook of nbformat 4.5.

    Args:
        name: of the page, for messages.
        text: of the page.
        folder: from which the paths of pictures are.
    """
    cells: list[dict[str, Any]] = []
    count = 0

    def words(part: str) -> None:
        source = _PAGE.sub(r"\1.html", _COMMENT.sub("", part)).strip("\n")
        if not source:
            return
        pictures: dict[str, dict[str, str]] = {}
        for _, path in _PICTURE.findall(source):
            data = base64.b64encode((folder / path).read_bytes()).decode()
            pictures[Path(path).name] = {"image/svg+xml": data}
        source = _PICTURE.sub(lambda m: f"![{m[1]}](attachment:{Path(m[2]).name})", source)
        cell = {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(keepends=True)}
        cells.append(cell | ({"attachments": pictures} if pictures else {}))

    for block in pages.blocks_of(name, text):
        if block.language != "python":
            continue
        before, _, text = text.partition(f"```python\n{block.code}```\n")
        words(before)
        outputs = []
        if block.shown is not None:
            text = text.partition(f"```text\n{block.shown}```\n")[2]
            lines = block.shown.splitlines(keepends=True)
            outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
        count += 1
        code = block.code.rstrip("\n").splitlines(keepends=True)
        cell = {"cell_type": "code", "metadata": {}, "source": code}
        cells.append(cell | {"execution_count": count, "outputs": outputs})
    words(text)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def link(app: "Sphinx", docname: str, source: list[str]) -> None:
    """Put the link below the title of a page."""
    if is_notebook(docname) and app.builder.format == "html":
        title, _, rest = source[0].partition("\n")
        source[0] = title + "\n" + _LINK.format(name=docname.removeprefix(FOLDER)) + rest


def write(app: "Sphinx", error: Exception | None) -> None:
    """Write the notebooks into the site."""
    if error is not None or app.builder.format != "html":
        return
    for docname in filter(is_notebook, app.env.found_docs):
        page = Path(app.env.doc2path(docname))
        made = notebook(docname, page.read_text(), page.parent)
        path = Path(app.outdir, f"{docname}.ipynb")
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def setup(app: "Sphinx") -> dict[str, bool]:
    """Link when a page is read, write when all are built."""
    app.connect("source-read", link)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
