"""The pages say what is true: their code runs and prints what they show."""

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "groups.md").read_text()


def test_the_examples_print_what_the_page_shows(capsys):
    names = {}
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(examples) == PAGE.count("```python") == 2
    for code, shown in examples:
        exec(code, names)
        assert capsys.readouterr().out == shown
