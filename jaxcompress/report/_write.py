"""The page, the record and the model card, as files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcompress.artifact import check_target, write_atomically
from jaxcompress.report._card import card
from jaxcompress.report._html import page
from jaxcompress.report._json import read_json
from jaxcompress.text import ascii_json


def write(path: str | os.PathLike[str], record: Mapping[str, Any]) -> list[Path]:
    """Write the page, and beside it the record and the model card.

    Args:
        path: of the page, such as `report.html`; the others are `report.json` and
            `model_card.md`, or begin with the name of the page if that is another one.
        record: of `of_run`, `of_files`, `of_result` or `of_plan`.

    Returns:
        The files that were written.

    Raises:
        ValueError: a path that does not end in `.html`, that is no regular file, or beside which
            the name of the record is taken by another file.
        OSError: a file cannot be written.

    Example:
        >>> import tempfile
        >>> from jaxcompress.report import of_plan
        >>> write("report.txt", {})
        Traceback (most recent call last):
            ...
        ValueError: report.txt: must end in .html, got .txt; name it so.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"{path}: must end in .html, got {path.suffix or 'nothing'}; name it so.")
    name = "model_card.md" if path.stem == "report" else f"{path.stem}.model_card.md"
    texts = {path: page(record), path.with_suffix(".json"): ascii_json(record, indent=1) + "\n"}
    if record["kind"] != "plan":
        texts[path.with_name(name)] = card(record)
    for each in texts:
        check_target(each)
    _check_replaced(path.with_suffix(".json"))
    for each, text in texts.items():
        write_atomically(each, text.encode())
    return [*texts]


_OF_RECORDS = {"schema_version", "kind", "title", "layers", "skipped", "warnings"}
"""Fields of the record of any version, and of no other file."""


def _check_replaced(path: Path) -> None:
    """Refuse to replace JSON that is no record: a plan, or the results of a run.

    Raises:
        ValueError: it is something else.
    """
    if not path.exists():
        return
    try:
        found = read_json(path)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not _OF_RECORDS <= found.keys():
        raise ValueError(
            f"{path}: must be a report to be replaced, got another file; name the page otherwise."
        )
