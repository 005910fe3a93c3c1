"""The weights that a command takes, and what files of them say beside them."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.cli.outputs import check_output
from jaxcompress.cli.sources import open_source
from jaxcompress.oneshot.rules import Rule, check_patterns, path_matches
from jaxcompress.oneshot.sources import Selection, Source


class Weights(NamedTuple):
    """Weights that are taken.

    Attributes:
        source: of them.
        metadata: of a file of them, beside what was asked for.
        selected: what was asked for here.
    """

    source: Source
    metadata: dict[str, Any]
    selected: dict[str, Any]


def weights_of(
    model: Path,
    outputs: dict[Path, bool],
    select: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Weights:
    """Return the weights of a model.

    Args:
        model: file or folder.
        outputs: files to be written, and whether the user named them.
        select: patterns of paths to take; none for all.
        drop: patterns of paths to leave out.

    Raises:
        Refused: an output that would destroy something, a model that is none.
        ValueError: a pattern that matches nothing, or nothing is left.
    """
    for output, named in outputs.items():
        check_output(output, model, named=named)
    source = open_source(model)
    for file in getattr(source, "files", ()):
        for output in outputs:
            check_output(output, file, named=True)
    strings = getattr(source, "metadata", None)
    metadata = {"safetensors": strings} if strings else {}
    metadata |= getattr(source, "kept", {})
    selected = {"select": list(select)} if select else {}
    selected |= {"drop": list(drop)} if drop else {}
    if selected:
        check_patterns(source.paths, [Rule(pattern, None) for pattern in (*select, *drop)])
        source = Selection(source, functools.partial(_is_wanted, tuple(select), tuple(drop)))
    return Weights(source, metadata, selected)


def _is_wanted(select: tuple[str, ...], drop: tuple[str, ...], path: str) -> bool:
    return (not select or any(path_matches(pattern, path) for pattern in select)) and not any(
        path_matches(pattern, path) for pattern in drop
    )


def beside(model: Path, suffix: str) -> Path:
    """Return a name for what is made of a model: with another suffix, beside it.

    That of a folder lies beside it, that of an index beside the shards.
    """
    if model.is_dir():
        stem = model.resolve() if model.name in ("", "..") else model
    else:
        stem = model.with_name(model.name.removesuffix(".index.json")).with_suffix("")
    return stem.with_name(f"{stem.name}{suffix}")
