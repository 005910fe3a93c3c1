"""The notebooks have the same parts, show figures of their own code, and become notebooks."""

import json
import re
import sys

import pages
import pytest

from benchmarks import notebooks as runner

sys.path.append(str(pages.DOCS / "_ext"))

import notebooks  # noqa: E402

TEXTS = {name: (runner.LEARN / f"{name}.md").read_text() for name in runner.NAMES}
INDEX = (runner.LEARN / "index.md").read_text()


def test_there_are_six():
    assert set(TEXTS) == {"prune", "cut", "int8", "distil", "budget", "checkpoint"}


@pytest.mark.parametrize("name", TEXTS)
def test_pages_have_the_same_parts(name):
    text = TEXTS[name]
    first = text.split("\n\n")[1]
    assert first.startswith("**You have** ") and "**You get** " in first
    assert "[a notebook](index.md#open-them-as-notebooks)" in text
    parts = ["<!-- run -->", "\n## What to check\n", "\n## How it goes wrong\n", "More: "]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert f"`python -m benchmarks.notebooks {name}`, 20" in text


@pytest.mark.parametrize("name", TEXTS)
def test_figures_have_words_and_are_in_the_gallery(name):
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", TEXTS[name])
    assert pictures and all(len(words) > 60 for words, _ in pictures)
    assert f"](../figures/learn/{name}.svg)]({name}.md)" in INDEX


def test_no_figure_is_older_than_its_page():
    assert runner.stale() == [], "run python -m benchmarks.notebooks NAME"


def test_a_figure_of_other_code_is_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "LEARN", tmp_path)
    monkeypatch.setattr(runner, "DRAWN", tmp_path)
    monkeypatch.setattr(runner, "NAMES", ["a"])
    page = tmp_path / "a.md"
    page.write_text("```python\nprint(1)\n```\n\n![words](../figures/learn/a.svg)\n")
    assert runner.stale() == ["docs/figures/learn/a.svg"]
    (tmp_path / "a.svg").write_text(runner.described("a"))
    assert runner.stale() == []
    page.write_text(page.read_text().replace("1", "2"))
    assert runner.stale() == ["docs/figures/learn/a.svg"]
    (tmp_path / "b.svg").write_text("nobody shows it")
    assert runner.stale() == ["docs/figures/learn/a.svg", "docs/figures/learn/b.svg"]


PAGE = """# A page

```python
x = 1
print(x)
```

```text
old
```

Words, and a [link](other.md).

```python
print(x + 1)
```

![words](a.svg)

<!-- run -->
old
<!-- end -->

```sh
jaxcompress inspect a
```
"""


def test_outputs_are_written_anew():
    blocks = [b for b in pages.blocks_of("a", PAGE) if b.language == "python"]
    printed = runner.printed_by(blocks)
    assert printed == ["1\n", "2\n"]
    text = runner.rewritten(PAGE, blocks, printed, "new")
    assert [b.shown for b in pages.blocks_of("a", text)] == ["1\n", "2\n", None]
    assert "<!-- run -->\nnew\n<!-- end -->" in text and "old" not in text
    assert runner.rewritten(text, pages.blocks_of("a", text)[:2], printed, "new") == text


def test_a_page_becomes_a_notebook(tmp_path):
    (tmp_path / "a.svg").write_text("<svg/>")
    made = notebooks.notebook("a", PAGE, tmp_path)
    kinds = [cell["cell_type"] for cell in made["cells"]]
    assert kinds == ["markdown", "code", "markdown", "code", "markdown"]
    title, first, words, second, last = made["cells"]
    assert title["source"] == ["# A page"] and first["source"] == ["x = 1\n", "print(x)"]
    assert first["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["old\n"]}]
    assert second["outputs"] == [] and words["source"] == ["Words, and a [link](other.html)."]
    text = "".join(last["source"])
    assert text.startswith("![words](attachment:a.svg)") and "<!--" not in text
    assert last["attachments"] == {"a.svg": {"image/svg+xml": "PHN2Zy8+"}}
    assert "jaxcompress inspect a" in text


@pytest.mark.parametrize("name", TEXTS)
def test_the_cells_are_the_code_of_the_page(name):
    made = json.loads(json.dumps(notebooks.notebook(name, TEXTS[name], runner.LEARN)))
    cells = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    blocks = runner.code_of(name)
    assert ["".join(cell["source"]) + "\n" for cell in cells] == [block.code for block in blocks]
    assert ["".join(cell["outputs"][0]["text"]) for cell in cells] == [b.shown for b in blocks]
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
