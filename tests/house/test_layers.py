"""The layering, read off the syntax: who imports whom, what is private, what is shadowed."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "jaxcompress"

# Lowest first. A module may import from the rows above its own, and inside its own folder:
# techniques of a row are blind to each other.
LAYERS = [
    ("kinds", "text"),
    ("trees", "compiled", "errors"),
    ("placement",),
    ("bounds", "checks", "extras", "prequantized", "states"),
    ("packing",),
    ("leaves", "trace"),
    ("products", "sharing", "metrics"),
    ("costs", "execution", "lowrank"),
    ("units",),
    ("prune", "rewrite"),
    ("quantization", "optim"),
    ("artifact",),
    ("onnx", "oneshot", "distill"),
    ("programs", "report"),
    ("planner",),
    ("cli", "nnx", "scopes"),
    ("modules",),
    ("typing",),
]
ROW = {name: row for row, names in enumerate(LAYERS) for name in names}
FACE = {"__init__", "_moved"}
SOURCES = sorted(CORE.rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCES
}
CHECKPOINTS = CORE / "cli" / "checkpoints.py"  # reads them, with the extra `flax`


@functools.cache
def imports(path):
    """Return module and name of each import, the name "" where a whole module is imported."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [(node.module or "", alias.name) for alias in node.names]
    return found


def target(module, name):
    """Return the module that an import is of, where it is one of the core."""
    full = f"{module}.{name}"
    return full if full in MODULES else module


def noun(path):
    return path.relative_to(CORE).parts[0].removesuffix(".py")


@functools.cache
def face(module):
    """Return what a module says is public, None if it says nothing."""
    for node in ast.parse(MODULES[module].read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def test_core_imports_upwards_only():
    for path in SOURCES:
        _check_upwards(path)


def _check_upwards(path):
    here = noun(path)
    for module, name in imports(path):
        top, *rest = target(module, name).split(".")
        assert top not in ("nets", "pipelines", "run"), f"{path} imports {module}"
        if path != CHECKPOINTS:
            assert top not in ("flax", "orbax", "msgpack"), f"{path} imports {module}"
        if here != "cli":
            assert top not in ("click", "rich", "safetensors"), f"{path} imports {module}"
        if top == "jaxcompress" and rest and here not in FACE and rest[0] != here:
            assert ROW[rest[0]] < ROW[here], f"{path}: {here} imports {rest[0]}"


def test_techniques_are_blind_to_each_other():
    techniques = {"prune", "sharing", "quantization", "lowrank", "distill"}
    for path in SOURCES:
        if noun(path) in techniques:
            for pair in imports(path):
                there = f"{target(*pair)}..".split(".")[1]
                assert there not in techniques - {noun(path)}, f"{path} imports {pair}"


def test_folders_keep_what_is_private():
    """Another folder's files with an underscore, and names that its face does not list."""
    for path in SOURCES:
        _check_private(path)


def _check_private(path):
    for module, name in imports(path):
        top, *rest = target(module, name).split(".")
        if top != "jaxcompress" or not rest or noun(path) in {rest[0], *FACE}:
            continue
        assert not any(part.startswith("_") for part in rest), f"{path} imports {module}.{name}"
        if MODULES[module].name == "__init__.py" and target(module, name) == module:
            public = face(module)
            assert public is not None and name in public, f"{path} imports {module}.{name}"


def test_nothing_imports_in_a_circle():
    """Neither modules at any place, nor what they import when a function runs."""
    reads = {
        module: {target(*pair) for pair in imports(path)} & set(MODULES) - {module}
        for module, path in MODULES.items()
    }
    done = set()
    while reads:
        free = {module for module, others in reads.items() if not others & set(reads)}
        assert free, f"a circle among {sorted(reads)}"
        done |= free
        reads = {module: others for module, others in reads.items() if module not in free}


def test_no_module_is_hidden_by_a_name_of_its_folder():
    for path in CORE.rglob("__init__.py"):
        beside = {other.stem for other in path.parent.iterdir()}
        names = {name for module, name in imports(path) if target(module, name) == module}
        assert not names & beside, path


def test_each_folder_says_how_to_read_it():
    """Its face has `__all__`, or its modules are its face; its docstring names each file."""
    for path in CORE.rglob("__init__.py"):
        if path.parent == CORE:
            continue
        module = ".".join(path.parent.relative_to(ROOT).parts)
        assert face(module) is not None or noun(path) in ("trace", "products"), path
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        for other in path.parent.iterdir():
            family = f"_{other.stem.strip('_').partition('_')[0]}*"  # such as `_rules*`
            if other.suffix == ".py" and other != path:
                assert f"`{other.stem}`" in doc or f"`{family}`" in doc, f"{path}: {other.name}"


def test_private_names_have_no_reader_elsewhere():
    """A file that only its own folder imports says so by its underscore."""
    readers = {module: set() for module in MODULES}
    for path in SOURCES:
        for pair in imports(path):
            if (module := target(*pair)) in readers:
                readers[module].add(noun(path))
    for module, path in MODULES.items():
        parts = module.split(".")[1:]
        if len(parts) != 2 or parts[0] in ("cli", "packing") or path.name == "__init__.py":
            continue  # cli is a program; packing offers its modules
        others = readers[module] - {parts[0]}
        assert bool(others) != parts[1].startswith("_"), f"{module}: read by {sorted(others)}"


def test_nets_know_nothing_of_compression():
    for path in (ROOT / "nets").rglob("*.py"):
        for module, _ in imports(path):
            top, *rest = module.split(".")
            assert top not in ("pipelines", "run"), f"{path}: {module}"
            assert top != "jaxcompress" or rest[:1] == ["nnx"], f"{path}: {module}"


def test_data_needs_neither_jax_nor_the_core():
    for path in (ROOT / "pipelines" / "data").glob("*.py"):
        for module, _ in imports(path):
            others = ("jax", "flax", "jaxcompress", "nets")
            assert module.split(".")[0] not in others, f"{path}: {module}"


def test_every_module_of_the_core_has_a_layer():
    assert {noun(path) for path in SOURCES} - FACE == set(ROW)


def test_importing_the_core_brings_nothing_heavy():
    program = (
        "import sys, jax, optax; before = set(sys.modules); import jaxcompress, jaxcompress.nnx;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "heavy = {'flax', 'orbax', 'sklearn', 'cv2', 'rich', 'tensorflow', 'matplotlib'};"
        "heavy |= {'click', 'safetensors'};"
        "assert not new & heavy, new & heavy;"
        "jaxcompress.kmeans, jaxcompress.save, jaxcompress.shrink, jaxcompress.typing;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "assert not new & heavy, new & heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_no_file_is_longer_than_300_lines():
    for folder in ("jaxcompress", "nets", "pipelines", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 300, path
