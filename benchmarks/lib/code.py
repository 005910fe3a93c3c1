"""Which code a record measures: a digest of each file that changes with what it computes."""

import ast
import functools
import hashlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
_SAID = ("annotation", "returns", "type_comment", "kind")
"""Fields of syntax trees that compute nothing."""


@functools.cache
def digest(source: str) -> str:
    """Return a digest of Python code without comments, docstrings, annotations and line numbers."""
    text = "\n".join(_words(ast.parse(source)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _words(value: Any) -> Iterator[str]:
    """Yield the nodes and constants of a syntax tree. `ast.dump` differs among Python versions."""
    if isinstance(value, list):
        for each in value:
            yield from _words(each)
    elif not isinstance(value, ast.AST):
        yield repr(value)
    elif not _is_docstring(value):
        yield f"({type(value).__name__}"
        for field, inner in ast.iter_fields(value):
            if field not in _SAID and inner not in (None, []):
                yield f"{field}="
                yield from _words(inner)
        yield ")"


def _is_docstring(node: ast.AST) -> bool:
    """Return whether a node is a string that stands alone, as docstrings do."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def sources(places: Sequence[str], root: Path = ROOT) -> dict[str, str]:
    """Return the text of each Python file by its path.

    Args:
        places: files and folders, relative to the root.
        root: of the checkout.
    """
    found = set[Path]()
    for place in places:
        path = root / place
        found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted(found)
        if path.is_file()
    }


def digests(places: Sequence[str], root: Path = ROOT) -> dict[str, str]:
    """Return the digest of each Python file of `sources` by its path."""
    return {path: digest(text) for path, text in sources(places, root).items()}


def changed(code: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the files whose digests differ, those that are new or gone included."""
    return sorted(path for path in {*code, *now} if code.get(path) != now.get(path))


def commit(places: Sequence[str], root: Path = ROOT) -> tuple[str, bool]:
    """Return the last commit that changed the places, and whether they were edited since.

    Commits that change other files do not count, so the name stays valid if these are rebased. The
    name is empty without Git.
    """

    def git(*words: str) -> str:
        command = ["git", *words, "--", *places]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("log", "-1", "--format=%h"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return "", False
