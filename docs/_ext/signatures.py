"""Signatures of the API reference: as the source has them, so that types keep their names."""

import ast
import inspect
import textwrap
from typing import Any

from sphinx.application import Sphinx


def shown_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Return arguments and result of a function, a method or a class."""
    if what not in ("function", "method", "class"):
        return None
    node = _definition(obj)
    if isinstance(node, ast.ClassDef):
        return (_constructor(node), "") if signature else None
    if node is None:
        return None
    arguments = node.args
    if what == "method" and arguments.args and arguments.args[0].arg in ("self", "cls"):
        del arguments.args[0]
    return f"({ast.unparse(arguments)})", ast.unparse(node.returns) if node.returns else ""


def _definition(obj: Any) -> ast.FunctionDef | ast.ClassDef | None:
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(obj)))
    except (TypeError, OSError):
        return None
    node = ast.parse(source).body[0]
    return node if isinstance(node, ast.FunctionDef | ast.ClassDef) else None


def _constructor(node: ast.ClassDef) -> str:
    """Return the arguments of a class: those of `__init__`, or its fields."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            del item.args.args[0]
            return f"({ast.unparse(item.args)})"
    fields = [
        f"{ast.unparse(item.target)}: {ast.unparse(item.annotation)}{_default(item.value)}"
        for item in node.body
        if isinstance(item, ast.AnnAssign)
    ]
    keywords = any("kw_only" in ast.unparse(each) for each in node.decorator_list)
    return f"({', '.join(['*'] * keywords + fields)})" if fields else ""


def _default(value: ast.expr | None) -> str:
    return "" if value is None or isinstance(value, ast.Call) else f" = {ast.unparse(value)}"


def skipped(app: Sphinx, what: str, name: str, obj: Any, *_: Any) -> bool | None:
    """Skip fields of named tuples: `Attributes` describes them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the signatures."""
    app.connect("autodoc-process-signature", shown_signature)
    app.connect("autodoc-skip-member", skipped)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
