"""The API reference: the directive `namespace`, and the check that each public name has one home.

A name that several namespaces offer is described once: with its subject, else with the flat names,
else in `typing`. The others link to it.
"""

import ast
import functools
import importlib
import inspect
import re
import textwrap
import types
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from docutils.utils import unescape
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger
from sphinx.util.nodes import make_refnode

import jaxcompress as jc

ROOT = "jaxcompress"
SUBJECTS = sorted(n for n in jc.__all__ if isinstance(getattr(jc, n), types.ModuleType))
FLAT = sorted(set(jc.__all__) - set(SUBJECTS))
_NAME = re.compile(r"[A-Za-z_][\w.]*(\(\))?")
_LINE = re.compile(r"^ *(\w+)  +(\S.*)$", re.MULTILINE)

logger = getLogger(__name__)


class Assigned(NamedTuple):
    """A public name that is neither a function nor a class.

    Attributes:
        value: as the source has it.
        doc: the text below it.
    """

    value: str
    doc: str


def public_names(namespace: str) -> list[str]:
    """Return the names of a namespace, the flat ones for an empty string."""
    return list(getattr(jc, namespace).__all__) if namespace else FLAT


@functools.cache
def homes() -> dict[str, str]:
    """Return by public name the namespace that describes it."""
    found: dict[str, str] = {}
    for namespace in [*(s for s in SUBJECTS if s != "typing"), "", "typing"]:
        for name in public_names(namespace):
            found.setdefault(name, namespace)
    return found


def dotted(namespace: str, name: str = "") -> str:
    """Return the full name."""
    return ".".join(part for part in (ROOT, namespace, name) if part)


def parts_of(module: types.ModuleType) -> list[str]:
    """Return the functions and classes that a module without `__all__` defines."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def assigned(module: str, name: str) -> Assigned:
    """Return how a name is assigned, in the module that does so."""
    body = ast.parse(Path(str(importlib.import_module(module).__file__)).read_text()).body
    for place, node in enumerate(body):
        if isinstance(node, ast.ImportFrom) and name in [a.asname or a.name for a in node.names]:
            return assigned(str(node.module), name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if name in [target.id for target in targets if isinstance(target, ast.Name)]:
            value = getattr(node, "value", None)
            shown = "" if value is None else ast.unparse(value)
            return Assigned(shown, "".join(map(_text, body[place + 1 : place + 2])))
    raise LookupError(f"{module}: {name}")


def _text(node: ast.stmt) -> str:
    """Return the text that a statement is, or nothing."""
    match node:
        case ast.Expr(ast.Constant(str(text))):
            return inspect.cleandoc(text)
    return ""


class Namespace(SphinxDirective):
    """Describe a namespace: what it is for, a table of its names, and those that are at home."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the page."""
        full = self.arguments[0]
        namespace = full.partition(".")[2]
        module = importlib.import_module(full)
        lines = [f".. py:module:: {full}", "", *_introduction(module), ""]
        for heading, rows in _tables(module):
            lines += [f".. rubric:: {heading}", ""] if heading else []
            lines += [".. list-table::", "   :class: names", ""]
            for name, text in rows:
                lines += [f"   * - {_link(namespace, name)}", f"     - {text}"]
            lines.append("")
        for name in _described(namespace, module):
            lines += _entry(full, module, name)
        here = nodes.container(classes=["namespace"])
        self.state.nested_parse(StringList(lines, full), self.content_offset, here)
        return here.children


def _introduction(module: types.ModuleType) -> list[str]:
    """Return the prose of a docstring, without what it says of the files of the folder."""
    prose = _LINE.sub("", inspect.getdoc(module) or "")
    prose = re.sub(r"^\S[^.:\n]*\n(?=\s*\Z|\s*\n\s*\n)", "", prose, flags=re.MULTILINE)
    return re.sub(r"From the bottom up.*?(\n\n|\Z)", "", prose, flags=re.DOTALL).splitlines()


def _tables(module: types.ModuleType) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the tables of a docstring: heading, and rows of a name and what it is."""
    tables: list[tuple[str, list[tuple[str, str]]]] = []
    heading = ""
    for line in (inspect.getdoc(module) or "").splitlines():
        row = _LINE.fullmatch(line)
        if row is None:
            heading = line if line.strip() else heading
            continue
        if not tables or tables[-1][0] != heading:
            tables.append((heading, []))
        tables[-1][1].append((row[1], row[2]))
    return tables if len(tables) > 1 else [("", rows) for _, rows in tables]


def _link(namespace: str, name: str) -> str:
    if not namespace and name in SUBJECTS or namespace == "packing":
        return f":py:mod:`{name} <{dotted(namespace, name)}>`"
    return f":py:obj:`{name} <{dotted(homes()[name], name)}>`"


def _described(namespace: str, module: types.ModuleType) -> list[str]:
    return [
        name
        for _, rows in _tables(module)
        for name, _ in rows
        if (namespace or name not in SUBJECTS) and homes().get(name) == namespace
    ]


def _entry(full: str, module: types.ModuleType, name: str) -> list[str]:
    """Return the directives that describe a name."""
    value = getattr(module, name)
    if isinstance(value, types.ModuleType):
        lines = [f".. rubric:: {name}", "", f".. py:module:: {full}.{name}", ""]
        lines += [*(inspect.getdoc(value) or "").splitlines(), ""]
        for part in parts_of(value):
            lines += _entry(f"{full}.{name}", value, part)
        return [*lines, f".. py:currentmodule:: {full}", ""]
    if isinstance(value, types.FunctionType):
        return [f".. autofunction:: {full}.{name}", ""]
    if isinstance(value, type) and value.__module__.startswith(ROOT):
        return [f".. autoclass:: {full}.{name}", ""]
    given = assigned(full, name)
    if not given.doc:
        logger.warning("%s.%s: must have a text below it", full, name)
    text = ["", *textwrap.indent(given.doc, "   ").splitlines(), ""]
    if name.isupper():
        return [f".. py:data:: {name}", *text]
    return [f".. py:type:: {name}", f"   :canonical: {given.value}", *text]


class Code(PyXRefRole):
    """Code in a docstring: a name may be a link, everything else is written as it is."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the nodes of the code."""
        if _NAME.fullmatch(self.text):
            self.name = "py:obj"
            return super().run()
        text = unescape(self.text, restore_backslashes=True)
        return [nodes.literal(self.rawtext, text)], []


def resolve(app: Sphinx, env: Any, node: Any, text: nodes.Element) -> nodes.Element | None:
    """Link code that names something public, with or without `jc.` and a subject."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removesuffix("()")
    first, _, name = target.removeprefix("jc.").removeprefix(f"{ROOT}.").rpartition(".")
    clear = target != name or name in FLAT or "_" in name or name[:1].isupper()
    home = homes().get(name)
    if home is None or first and first not in SUBJECTS or not clear:
        return None
    domain = env.domains.python_domain
    full = dotted(home, name)
    if full not in domain.objects:
        return None
    place = domain.objects[full].docname
    return make_refnode(app.builder, node["refdoc"], place, full, [text], full)


def check(app: Sphinx, env: Any) -> None:
    """Warn of each public name that is on no page, or on two; `-W` makes it an error."""
    domain = env.domains.python_domain
    for namespace in ("", *SUBJECTS):
        if dotted(namespace) not in domain.modules:
            logger.warning("%s: has no page", dotted(namespace))
    for name in homes():
        places = [n for n in ("", *SUBJECTS) if name in public_names(n)]
        here = [dotted(n, name) for n in places]
        pages = [full for full in here if full in domain.objects or full in domain.modules]
        if len(pages) != 1:
            logger.warning("%s: must be on one page, is on %s", here[0], pages or "none")
        if len({id(getattr(getattr(jc, n) if n else jc, name)) for n in places}) != 1:
            logger.warning("%s: must mean one thing, is in %s", name, here)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the checks."""
    app.add_directive("namespace", Namespace)
    app.add_role("name", Code())
    app.connect("missing-reference", resolve)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
