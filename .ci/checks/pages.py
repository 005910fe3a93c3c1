"""The examples of README and docs: which need a checkout, which extras, and what runs them.

A block of code says what it needs in the paragraph right before it. "From a checkout" there means
that it needs more than the wheel; "extra `NAME`" names what of the wheel's extras it needs. The
blocks of a page of docs/ are one program, each block of the README is one of its own.
"""

import ast
import contextlib
import io
import re
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
]

_FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_RUNNABLE = ("python", "sh", "")  # a fence without a language is of commands
_MAY_DIFFER = (["diff"], ["verify"])  # commands whose status is 1 where files differ
_DECIMAL = re.compile(r"(\d+\.\d+(?:e[+-]\d+)?)")
_IMPORTED_AS = {"orbax_checkpoint": "orbax", "scikit_learn": "sklearn"}


class Block(NamedTuple):
    """A block of code of a page.

    Attributes:
        where: name of the page and number of the line.
        language: `python`, `sh` or nothing, which is `sh` too.
        code: what it holds.
        shown: what the page says that it prints, or None.
        before: the paragraph right before it.
    """

    where: str
    language: str
    code: str
    shown: str | None
    before: str


class Program(NamedTuple):
    """Blocks that share their names, none of which needs a checkout.

    Attributes:
        name: of the page, and for the README of the line.
        blocks: in order.
        extras: that they need, sorted.
    """

    name: str
    blocks: tuple[Block, ...]
    extras: tuple[str, ...]


def blocks_of(name: str, text: str) -> list[Block]:
    """Return the blocks of a page that can be run; what they print is part of them."""
    found: list[Block] = []
    end = 0
    for fence in _FENCED.finditer(text):
        language, code = fence.groups()
        between, end = text[end : fence.start()].strip(), fence.end()
        if language in _RUNNABLE:
            line = text.count("\n", 0, fence.start()) + 1
            paragraph = between.rpartition("\n\n")[2]
            found.append(Block(f"{name}:{line}", language, code, None, paragraph))
        elif language == "text" and not between and found:
            found[-1] = found[-1]._replace(shown=code)
    return found


def name_of(page: Path) -> str:
    """Return the name of a page: its path below docs/, or README.md."""
    return page.relative_to(DOCS if DOCS in page.parents else ROOT).as_posix()


def from_checkout(block: Block) -> bool:
    """Whether the page says that a block needs a checkout: the rule for tests and `.ci/wheel`."""
    return "from a checkout" in " ".join(block.before.lower().split())


def extras_of(block: Block) -> set[str]:
    """Return the extras that the page says a block needs."""
    return set(re.findall(r"extra\s+`(\w+)`", block.before))


def programs(name: str, text: str) -> list[Program]:
    """Return what a page promises of the wheel and the extras that it names."""
    blocks = [block for block in blocks_of(name, text) if not from_checkout(block)]
    parts = [[block] for block in blocks] if name == "README.md" else [blocks] if blocks else []
    return [
        Program(
            part[0].where if name == "README.md" else name,
            tuple(part),
            tuple(sorted(set().union(*map(extras_of, part)))),
        )
        for part in parts
    ]


def all_programs() -> list[Program]:
    """Return the programs of all pages, those first that need the fewest extras."""
    found = [program for page in PAGES for program in programs(name_of(page), page.read_text())]
    return sorted(found, key=lambda program: (len(program.extras), program.extras))


def strangers(program: Program) -> list[str]:
    """Return what a program uses that neither the wheel nor the extras it names bring."""
    brought = _libraries(program.extras) | set(sys.stdlib_module_names) | {"jaxcompress"}
    found = []
    for block in program.blocks:
        for word in _words(block):
            if word not in (brought if block.language == "python" else {"jaxcompress"}):
                found.append(f"{block.where}: {word}")
    return found


def commands_of(block: Block) -> list[str]:
    """Return the commands of a block of `sh`, a line each."""
    lines = (line.partition("#")[0].strip() for line in block.code.splitlines())
    return [line for line in lines if line]


def agree(printed: str, shown: str) -> bool:
    """Whether texts are equal, but for one in the last digit that a decimal number shows.

    Sums of another CPU are in another order, and training carries that on: 0.0349 and 0.0351 are
    shown as 0.03 and 0.04. Whole numbers, as bytes and counts, are equal.
    """
    ours, theirs = _DECIMAL.split(printed), _DECIMAL.split(shown)
    if ours[::2] != theirs[::2]:
        return False
    numbers = [(Decimal(a), Decimal(b)) for a, b in zip(ours[1::2], theirs[1::2], strict=True)]
    exponents = [(a.as_tuple().exponent, b.as_tuple().exponent) for a, b in numbers]
    return all(
        a == b or abs(a - b) <= Decimal(1).scaleb(max(places))
        for (a, b), places in zip(numbers, exponents, strict=True)
    )


def run(blocks: tuple[Block, ...]) -> None:
    """Run blocks one after the other in this process and folder; Python blocks share their names.

    Raises:
        AssertionError: a block prints something else than the page shows, or a command fails.
    """
    names: dict[str, Any] = {}
    for block in blocks:
        if block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.code, block.where, "exec"), names)
            if block.shown is not None and not agree(printed.getvalue(), block.shown):
                raise AssertionError(f"{block.where}: printed\n{printed.getvalue()}")
            continue
        for command in commands_of(block):
            status = subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL).returncode
            may_differ = command.split()[1:2] in _MAY_DIFFER
            if status not in ((0, 1) if may_differ else (0,)):
                raise AssertionError(f"{block.where}: {command}: status {status}")


def _words(block: Block) -> list[str]:
    """Return the libraries that a block imports, or the programs that its commands call."""
    if block.language != "python":
        parts = [part for line in commands_of(block) for part in re.split(r"&&|\|\||[|;]", line)]
        return [part.split()[0] for part in parts]
    found = []
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return [name.partition(".")[0] for name in found]


def _libraries(extras: tuple[str, ...]) -> set[str]:
    """Return the names of the libraries that pyproject.toml asks for, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    names = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in wanted}
    return {_IMPORTED_AS.get(name, name) for name in names}
