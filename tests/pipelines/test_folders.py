"""The folders of the pipeline: each imports from those below only, and no two files in a circle."""

import ast
from pathlib import Path

from pipelines.stages.table import FAMILIES

PIPELINES = Path(__file__).parents[2] / "pipelines"

# Lowest first; the first row that a module starts with is its own.
ROWS = ("errors", "options.settings", "options.option", "features", "data", "models", "search")
ROWS += ("stages", "options", "run")
MODULES = {
    ".".join(path.relative_to(PIPELINES).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PIPELINES.rglob("*.py")
    if path.parent != PIPELINES or path.stem != "__init__"
}


def row(module):
    return next(number for number, name in enumerate(ROWS) if f"{module}.".startswith(f"{name}."))


def imported(path):
    """Return the modules of the pipeline that a file imports, at any place."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipelines"):
            folder = (node.module or "").removeprefix("pipelines").lstrip(".")
            for alias in node.names:
                full = f"{folder}.{alias.name}".lstrip(".")
                found.add(full if full in MODULES else folder)
    return found


def test_folders_import_from_those_below():
    for module, path in MODULES.items():
        for other in imported(path):
            assert row(other) <= row(module), f"{module} imports {other}"


def test_no_two_files_import_each_other():
    reads = {module: imported(path) - {module} for module, path in MODULES.items()}
    while reads:
        free = {module for module, others in reads.items() if not others & set(reads)}
        assert free, f"a circle among {sorted(reads)}"
        reads = {module: others for module, others in reads.items() if module not in free}


def test_a_folder_says_how_to_read_it():
    """A family of recipes needs no line there: it is a row of the table."""
    families = {family.__name__.rpartition(".")[2] for family in FAMILIES}
    for folder in ("options", "models", "search", "stages", "run"):
        text = (PIPELINES / folder / "__init__.py").read_text()
        files = {path.stem for path in (PIPELINES / folder).glob("*.py")} - {"__init__"} - families
        missing = {name for name in files if name not in text.replace(",", " ").split()}
        assert not missing, f"{folder}: {missing}"


def test_files_are_short():
    for path in MODULES.values():
        assert len(path.read_text().splitlines()) <= 300, path
