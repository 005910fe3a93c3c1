"""The public face: few flat names, a table of contents, and nothing that outsiders need beyond."""

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import jaxcompress as jc
from jaxcompress._moved import MOVED

ROOT = Path(__file__).parents[2]
SUBJECTS = sorted(name for name in jc.__all__ if isinstance(getattr(jc, name), types.ModuleType))
FLAT = sorted(set(jc.__all__) - set(SUBJECTS))
OUTSIDERS = sorted(
    path
    for place in ("nets", "pipelines", "benchmarks", "run.py", "README.md", "docs", ".ci")
    for path in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))
    if path.suffix in (".py", ".md") or (path.name == "run" and path.is_file())
)


def test_flat_names_are_few():
    assert len(FLAT) <= 53, FLAT
    assert len(set(FLAT) & {"l1_score", "per_block", "by_energy", "min_max"}) == 0


def test_values_of_arguments_are_not_flat():
    """A function that is only a value of another's argument has a surname."""
    for name in FLAT:
        for parameter in _parameters(getattr(jc, name)):
            default = parameter.default
            if isinstance(default, types.FunctionType):
                assert default.__name__ not in FLAT, f"{default.__name__}, of {name}"


@pytest.mark.parametrize("name", ["", *SUBJECTS])
def test_help_is_a_table_of_contents(name):
    """One line a name, of all names and of no others."""
    module = getattr(jc, name) if name else jc
    listed = re.findall(r"^ *(\w+)  +\S", inspect.getdoc(module) or "", re.MULTILINE)
    assert sorted(listed) == sorted(module.__all__)
    assert all(len(line) <= 100 for line in (module.__doc__ or "").splitlines())


@pytest.mark.parametrize("name", SUBJECTS)
def test_subjects_offer_what_they_name(name):
    module = getattr(jc, name)
    assert len(set(module.__all__)) == len(module.__all__)
    for each in module.__all__:
        assert not each.startswith("_") and hasattr(module, each)


def test_dir_lists_the_face_and_nothing_else():
    assert {name for name in dir(jc) if not name.startswith("_")} == set(jc.__all__)


def test_stub_and_face_agree():
    """The stub is what type checkers read and what is imported lazily."""
    named = ast.parse((ROOT / "jaxcompress" / "__init__.pyi").read_text()).body
    names = [
        alias.asname for node in named if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert sorted(names) == sorted(jc.__all__)


def test_moved_names_say_where_they_are():
    for name, place in MOVED.items():
        with pytest.raises(AttributeError, match=rf"^jc\.{name} is {re.escape(place)}$"):
            getattr(jc, name)
        found = jc
        for part in place.split(".")[1:]:
            found = getattr(found, part)


def test_unknown_names_are_plain_attribute_errors():
    with pytest.raises(AttributeError, match="nothing"):
        jc.nothing  # noqa: B018


def _public(dotted):
    """Return whether `jaxcompress.x` or `jaxcompress.x.y` is public."""
    first, *rest = dotted.split(".")
    if first in FLAT or first.startswith("__"):
        return True
    if first not in [*SUBJECTS, "cli"]:
        return False
    subject = importlib.import_module(f"jaxcompress.{first}")
    return not rest or rest[0] in subject.__all__ or rest[0].startswith("__")


def test_outsiders_use_public_names():
    """What nets, pipelines, benchmarks, README and docs import, and each `jc.` they write."""
    assert len(OUTSIDERS) > 100
    wrong = {str(path): names for path in OUTSIDERS if (names := _private(path.read_text()))}
    assert not wrong


def _private(text):
    named = set()
    text = re.sub(r"#.*", "", text)
    for module, names in re.findall(
        r"^\s*(?:>>> )?from jaxcompress(?!_)([\w.]*) import (\([^)]*\)|[^\n]+)", text, re.MULTILINE
    ):
        for name in re.findall(r"(?:^|[,(])\s*(\w+)", names):
            named.add(f"{module.lstrip('.')}.{name}".lstrip("."))
    named |= set(re.findall(r"(?<![\w./])(?:jc|jaxcompress)\.([A-Za-z_]\w*(?:\.\w+)?)", text))
    files = {"npz", "git"}  # of that name
    return {name for name in named if name.split(".")[0] not in files and not _public(name)}


def test_types_are_described_once():
    """A type has one line, in `typing` and in its subject."""
    lines = {}
    for name in SUBJECTS:
        for each, line in re.findall(r"^ *(\w+)  +(\S.*)$", getattr(jc, name).__doc__, re.M):
            assert lines.setdefault(each, line) == line, f"{each}, in {name}"


def _parameters(function):
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


@functools.cache
def _body(module):
    return ast.parse(inspect.getsource(module)).body


def _annotated(function):
    """Yield the names in the annotations of a function, as its source has them."""
    for node in _body(sys.modules[function.__module__]):
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            given = node.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg]
            annotations = [one.annotation for one in arguments if one is not None]
            for annotation in [*annotations, node.returns]:
                for part in ast.walk(annotation) if annotation is not None else ():
                    if isinstance(part, ast.Name):
                        yield part.id
                    elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield from re.findall(r"\w+", part.value)


def _functions():
    """Return all public functions, each once."""
    named = [(jc, FLAT), *((module := getattr(jc, name), module.__all__) for name in SUBJECTS)]
    found = (getattr(module, name) for module, names in named for name in names)
    return {each for each in found if isinstance(each, types.FunctionType)}


def _own(module):
    """Return the names that a module defines, or takes from another of the core."""
    own = set()
    for node in _body(module):
        if isinstance(node, ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Assign):
            own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("jaxcompress"):
            own |= {alias.asname or alias.name for alias in node.names}
    return own


def test_types_of_signatures_are_public():
    """Each type of ours in an annotation of a public function, a field's excepted."""
    modules = {sys.modules[function.__module__] for function in _functions()}
    own = {module.__name__: _own(module) for module in modules}
    for function in _functions():
        for name in set(_annotated(function)) & own[function.__module__]:
            value = getattr(sys.modules[function.__module__], name)
            assert name in jc.typing.__all__, f"{function.__name__}: {name}"
            assert getattr(jc.typing, name) is value


def test_raised_errors_are_public():
    """Each class of errors that docstrings of public functions name under Raises."""
    builtins = {"ValueError", "TypeError", "OSError", "ImportError", "MemoryError", "KeyError"}
    for function in _functions():
        raised = (inspect.getdoc(function) or "").partition("Raises:")[2]
        for name in re.findall(r"^ +(\w+Error): ", raised, re.MULTILINE):
            assert name in builtins | set(jc.errors.__all__) or name.endswith("FoundError"), name


def test_the_package_is_typed():
    assert (ROOT / "jaxcompress" / "py.typed").exists()


def test_importing_the_package_imports_no_part_of_it():
    program = (
        "import sys, jaxcompress;"
        "print(sorted(name for name in sys.modules if name.startswith('jaxcompress')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT
    )
    assert ast.literal_eval(done.stdout.decode()) == ["jaxcompress", "jaxcompress._moved"]
