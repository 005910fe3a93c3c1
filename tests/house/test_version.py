"""The version stands in one place; what must repeat it does."""

import re
from importlib.metadata import version
from pathlib import Path

import jaxcompress as jc

ROOT = Path(__file__).parents[2]


def test_who_repeats_the_version_agrees():
    assert version("jaxcompress") == jc.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, flags=re.MULTILINE) == [jc.__version__]
    released = re.findall(
        r"^## (\d\S*) - ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE
    )
    assert released[0] == jc.__version__
