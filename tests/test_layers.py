"""The layering, read off the syntax: each layer imports only from those above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Lowest first. A module may import from the rows above its own, and inside its own folder.
LAYERS = [
    ("kinds",),
    ("trees", "compiled", "text"),
    ("checks", "errors", "placement", "states"),
    ("extras",),
    ("leaves", "trace"),
    ("products", "packing", "sharing", "metrics"),
    ("costs", "execution", "lowrank"),
    ("units",),
    ("prune", "rewrite"),
    ("quantization", "optim"),
    ("artifact",),
    ("onnx", "oneshot", "distill"),
    ("cli",),
]
ROW = {name: row for row, names in enumerate(LAYERS) for name in names}
SOURCES = sorted((ROOT / "jaxcompress").rglob("*.py"))
CHECKPOINTS = ROOT / "jaxcompress" / "cli" / "checkpoints.py"  # reads them, with the extra `run`


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def noun(path):
    return path.relative_to(ROOT / "jaxcompress").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_upwards_only(path):
    here = noun(path)
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in ("nets", "pipelines", "run"), f"{path} imports {name}"
        if path != CHECKPOINTS:
            assert top not in ("flax", "orbax", "msgpack"), f"{path} imports {name}"
        if here != "cli":
            assert top not in ("click", "rich", "safetensors"), f"{path} imports {name}"
        if top != "jaxcompress" or here == "__init__" or not rest:
            continue
        there = rest.split(".")[0]
        if there in (here, "__init__"):
            continue
        assert ROW[there] < ROW[here], f"{path}: {here} imports {there}"


@pytest.mark.parametrize("path", sorted((ROOT / "nets").rglob("*.py")), ids=lambda p: p.name)
def test_nets_know_nothing_of_compression(path):
    for name in imports(path):
        assert name.split(".")[0] not in ("jaxcompress", "pipelines", "run"), f"{path}: {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines" / "data").glob("*.py")))
def test_data_needs_neither_jax_nor_the_core(path):
    for name in imports(path):
        assert name.split(".")[0] not in ("jax", "flax", "jaxcompress", "nets"), f"{path}: {name}"


def test_every_module_of_the_core_has_a_layer():
    assert {noun(path) for path in SOURCES} - {"__init__"} == set(ROW)


def test_importing_the_core_brings_nothing_heavy():
    program = (
        "import sys, jax, optax; before = set(sys.modules); import jaxcompress;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "heavy = {'flax', 'orbax', 'sklearn', 'cv2', 'rich', 'tensorflow', 'matplotlib'};"
        "heavy |= {'click', 'safetensors'};"
        "assert not new & heavy, new & heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_no_file_is_longer_than_300_lines():
    for folder in ("jaxcompress", "nets", "pipelines"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 300, path
