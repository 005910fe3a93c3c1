"""The pages say what is true: their code runs, prints what they show, and needs what they name."""

from collections import Counter

import pages
import pytest

TEXTS = {pages.name_of(path): path.read_text() for path in pages.PAGES}
PYTHON = [name for name, text in TEXTS.items() if "```python" in text and name != "README.md"]
QUICK = {
    "cli.md",
    "file-format.md",
    "onnx.md",
    "howto/checkpoint.md",
    "howto/ship.md",
    "techniques/packing.md",
    "techniques/pruning.md",
    "techniques/sharing.md",
}
FROM_CHECKOUT = {
    "README.md": 3,
    "pipeline.md": 5,
    "howto/lottery.md": 1,
    "howto/own_loop.md": 1,  # Equinox
    "howto/search.md": 1,
    "learn/index.md": 1,
    "results/flagship.md": 1,
    "results/index.md": 1,
    "results/checkpoints.md": 1,
    "results/gpt.md": 1,
    "results/minilm.md": 1,
    "techniques/blocks.md": 2,
    "techniques/distillation.md": 1,
    "works_with.md": 1,
}


def run_by(name):
    """The suite runs quick pages; `.ci/wheel` all others, but for what needs a checkout."""
    if name in QUICK:
        return []
    blocks = pages.blocks_of(name, TEXTS[name])
    checkout = any(pages.from_checkout(b) for b in blocks if b.language == "python")
    return [pytest.mark.slow if checkout else pytest.mark.wheel]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=run_by(name)) for name in PYTHON])
def test_the_examples_print_what_the_page_shows(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = pages.blocks_of(name, TEXTS[name])
    examples = [block for block in blocks if block.language == "python"]
    assert len(examples) == TEXTS[name].count("```python")
    assert all(block.shown is not None for block in examples)
    pages.run(tuple(examples))


def test_quick_pages_exist():
    assert set(PYTHON) >= QUICK


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_not_from_a_checkout_needs_the_wheel_alone(name):
    """And the extras that the page names; `.ci/wheel` runs it there."""
    for program in pages.programs(name, TEXTS[name]):
        assert not pages.strangers(program)


def test_few_examples_need_a_checkout():
    marked = [
        block.where.partition(":")[0]
        for name, text in TEXTS.items()
        for block in pages.blocks_of(name, text)
        if pages.from_checkout(block)
    ]
    assert Counter(marked) == FROM_CHECKOUT


PAGE = """# A page

Needs the extra `flax`.

```python
import jax
from flax import nnx
print(1)
```

```text
1
```

As is known, from a
checkout:

```sh
python run.py  # a comment
```

An aside from a checkout.

The extra `onnx`:

```sh
# only a comment
jaxcompress pack a
```

```text
not of the block before the words
```

Words.

```text
nor this
```

```python
from nets.vit import ViT
```
"""


def test_a_page_by_hand():
    first, second, third, fourth = blocks = pages.blocks_of("page.md", PAGE)
    assert [block.where for block in blocks] == [f"page.md:{n}" for n in (5, 18, 26, 41)]
    assert [block.language for block in blocks] == ["python", "sh", "sh", "python"]
    assert [pages.from_checkout(block) for block in blocks] == [False, True, False, False]
    assert [pages.extras_of(block) for block in blocks] == [{"flax"}, set(), {"onnx"}, set()]
    assert first.shown == "1\n" and second.shown is None and fourth.before == ""
    assert pages.commands_of(second) == ["python run.py"]
    assert pages.commands_of(third) == ["jaxcompress pack a"]
    (program,) = pages.programs("page.md", PAGE)
    assert program == ("page.md", (first, third, fourth), ("flax", "onnx"))
    assert pages.strangers(program) == ["page.md:41: nets"]
    assert [p.extras for p in pages.programs("README.md", PAGE)] == [("flax",), ("onnx",), ()]


@pytest.mark.parametrize(
    ("language", "code", "found"),
    [
        ("sh", "jaxcompress inspect a && python run.py", ["python"]),
        ("sh", "pip install -e .", ["pip"]),
        ("", "python -m benchmarks.core", ["python"]),
        ("python", "import numpy, scipy.sparse, benchmarks.core", ["benchmarks"]),
        ("python", "def f():\n    from pipelines import data", ["pipelines"]),
        ("python", "from flax import nnx", ["flax"]),
        ("python", "import json, jax, optax\nfrom jaxcompress import nnx", []),
    ],
)
def test_what_the_wheel_does_not_bring_is_found(language, code, found):
    block = pages.Block("a:1", language, code, None, "")
    assert pages.strangers(pages.Program("a", (block,), ())) == [f"a:1: {word}" for word in found]


def test_what_is_no_code_is_passed_over():
    page = "```{toctree}\n:glob:\n```\n\nWords.\n\n```sh\njaxcompress inspect a\n```\n"
    assert [block.code for block in pages.blocks_of("a", page)] == ["jaxcompress inspect a\n"]


def test_blocks_share_names_and_must_print_what_is_shown():
    first = pages.Block("a:1", "python", "x = 2", None, "")
    pages.run((first, pages.Block("a:2", "python", "print(x)", "2\n", "")))
    with pytest.raises(AssertionError, match="a:2: printed\n2"):
        pages.run((first, pages.Block("a:2", "python", "print(x)", "3\n", "")))


@pytest.mark.parametrize(
    ("printed", "shown", "equal"),
    [
        ("0.04\n", "0.03\n", True),
        ("0.05\n", "0.03\n", False),
        ("a 1.00, b 9.99e-04\n", "a 0.99, b 1.00e-03\n", True),
        ("3.2e-05", "3.0e-05", False),
        ("1.00", "1.0", True),
        ("1.30", "1.1", False),
        ("24,307 bytes, 1.5", "24,308 bytes, 1.5", False),
        ("2", "3", False),
        ("0.5  kB", "0.5 kB", False),
        ("0.5", "half", False),
        ("0.5 0.5", "0.5", False),
    ],
)
def test_decimals_may_differ_in_their_last_digit(printed, shown, equal):
    assert pages.agree(printed, shown) == equal


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("true", None),
        ("true\nfalse", 1),
        ("jaxcompress diff 1\njaxcompress verify 1  # they differ", None),
        ("jaxcompress diff 2", 2),
        ("jaxcompress pack 1", 1),
    ],
)
def test_commands_must_succeed_or_find_a_difference(code, status, tmp_path, monkeypatch):
    command = tmp_path / "jaxcompress"
    command.write_text("#!/bin/sh\nexit $2\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    block = pages.Block("a:1", "sh", code, None, "")
    if status is None:
        return pages.run((block,))
    with pytest.raises(AssertionError, match=f"a:1: {code.splitlines()[-1]}: status {status}$"):
        pages.run((block,))
