"""Pages of techniques have one form, so that a reader finds the same thing at the same place."""

import re

import pages
import pytest

TECHNIQUES = sorted((pages.DOCS / "techniques").glob("*.md"))
FORM = ["For", "Not for", "Formula", "Example", "Figure", "Cost", "Source"]


@pytest.mark.parametrize("path", TECHNIQUES, ids=lambda path: path.stem)
def test_pages_of_techniques_have_one_form(path):
    if path.stem == "index":
        return
    head = path.read_text().partition("\n## ")[0]
    assert re.findall(r"^\*\*([\w ]+)\.\*\*", head, re.MULTILINE) == FORM
    assert head.count("```python") == 1 and head.count("```text") == 1
    assert f"<!-- figure {path.stem} -->" in head
    assert "$" in head and "](https://" in head.partition("**Source.**")[2]
