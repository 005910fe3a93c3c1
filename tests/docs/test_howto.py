"""The how-to pages have the same parts."""

from pathlib import Path

import pytest

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PAGES = sorted(path for path in HOWTO.glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_says_what_to_check_and_how_it_goes_wrong(path):
    text = path.read_text()
    assert text.index("\n## What to check afterwards\n") < text.index("\n## How it goes wrong\n")
    assert "\nMore: " in text
