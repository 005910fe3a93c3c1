"""The pages say what is true: their code runs and prints what they show."""

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "groups.md").read_text()


def test_the_worked_example_prints_what_the_page_shows(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == shown
