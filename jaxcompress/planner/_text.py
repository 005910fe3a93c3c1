"""Records as JSON that a person can read and edit."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jaxcompress.artifact.atomic import atomic_file
from jaxcompress.text import shortened

VERSION = 1


def write(path: str | os.PathLike[str], kind: str, fields: Any) -> None:
    """Write a record as JSON, a line a field, a tensor or a choice of settings."""
    with atomic_file(Path(path)) as file:
        file.write(f"{_text(_headed(kind, fields))}\n".encode())


def as_json(kind: str, fields: Any) -> dict[str, Any]:
    """Return a record as `write` writes it: dicts, lists, and numbers of six digits."""
    return plain(_headed(kind, fields))


def _headed(kind: str, fields: Any) -> dict[str, Any]:
    return {"kind": kind, "version": VERSION} | fields._asdict()


def read_fields(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read the fields of a record.

    Raises:
        ValueError: it is none of this kind and version.
        OSError: it cannot be read.
    """
    return fields_of(path, kind, lambda: json.loads(Path(path).read_text(encoding="utf-8")))


def fields_of(
    path: str | os.PathLike[str], kind: str, read: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the fields of what is read from a file.

    Raises:
        ValueError: it is no record of this kind and version.
        OSError: it cannot be read.
    """
    try:
        told = dict(read())
        found = told.pop("kind"), told.pop("version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{type(error).__name__}: {shortened(str(error))}"
        raise ValueError(f"{path}: must be a {kind}, got {told}; write it anew.") from None
    if found != (kind, VERSION):
        raise ValueError(
            f"{path}: must be a {kind} of version {VERSION}, got "
            f"{shortened(f'{found[0]} of {found[1]}')}; write it anew."
        )
    return told


_WIDTH = 160


def _text(value: Any, indent: str = "") -> str:
    """Return JSON that a person can edit: what fits a line is on a line."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    short = json.dumps(plain(value), allow_nan=False)
    if len(short) + len(indent) <= _WIDTH or not isinstance(value, (dict, list, tuple)):
        return short
    inner = f"{indent} "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_text(part, inner)}" for key, part in value.items()]
        return _lines("{", parts, "}", indent)
    return _lines("[", [_text(part, inner) for part in value], "]", indent)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: named tuples are dicts, numbers have six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _lines(first: str, parts: Iterable[str], last: str, indent: str) -> str:
    return f"{first}\n{indent} " + f",\n{indent} ".join(parts) + f"\n{indent}{last}"
