"""The pages say what is true: their code runs and prints what they show."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = {
    "groups.md": 5,
    "lowrank.md": 5,
    "quantization.md": 5,
    "distillation.md": 3,
    "transformers.md": 5,
    "pruning.md": 1,
    "onnx.md": 1,
    "works_with.md": 0,
    "sparse.md": 1,
}
SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("lowrank.md", "quantization.md", "transformers.md")
]


@pytest.mark.parametrize(
    "name", ["groups.md", "distillation.md", "onnx.md", "pruning.md", "sparse.md", *SLOW]
)
def test_the_examples_print_what_the_page_shows(name, capsys):
    page, names = (DOCS / name).read_text(), {}
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, flags=re.DOTALL)
    assert len(examples) == page.count("```python") == EXAMPLES[name]
    for code, shown in examples:
        exec(code, names)
        assert capsys.readouterr().out == shown


def test_every_page_is_tested():
    assert {path.name for path in DOCS.glob("*.md")} == set(EXAMPLES)
