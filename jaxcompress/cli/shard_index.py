"""Folders of safetensors or of PyTorch: which files in them are the checkpoint.

A large checkpoint is cut into shards. An index beside them, `model.safetensors.index.json`, says
which shard holds which tensor. The index is foreign text: its names are those of files beside it,
and what it says must be what the headers of the shards say.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from jaxcompress.artifact.manifest import MOST_BYTES
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli import screen
from jaxcompress.cli.shards import strict_json
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.text import shortened
from jaxcompress.trees import plain_bytes


class Shard(Protocol):
    """A file of a checkpoint, of which it is known what it holds.

    Attributes:
        path: of the file.
        specs: shape and dtype of each tensor by name.
    """

    @property
    def path(self) -> Path: ...  # noqa: D102

    @property
    def specs(self) -> dict[str, Any]: ...  # noqa: D102


T = TypeVar("T", bound=Shard)


class ShardFormat(NamedTuple, Generic[T]):
    """A format of shards.

    Attributes:
        name: of a whole checkpoint in one file, as the Hugging Face hub has it.
        suffix: of its files.
        read: reads what a file holds.
        in_crowds: whether other files of this suffix usually lie beside it.
    """

    name: str
    suffix: str
    read: Callable[[Path], T]
    in_crowds: bool = False

    @property
    def index_suffix(self) -> str:
        """Suffix of an index."""
        return f"{self.suffix}.index.json"

    @property
    def usual(self) -> str:
        """Name of the index of a checkpoint."""
        return f"{self.name}.index.json"


def holds(folder: Path, form: ShardFormat[Any]) -> bool:
    """Return whether a folder has a file of a format, or an index, by their names."""
    return bool(_names(folder, form.suffix) or _names(folder, form.index_suffix))


def folder_shards(folder: Path, form: ShardFormat[T]) -> list[T]:
    """Return the files of a folder: those of its index, or the only one.

    Raises:
        Refused: it is not clear which file is meant, or shards are missing.
        ArtifactError: index or shards are damaged, or contradict each other.
    """
    files, indexes = _names(folder, form.suffix), _names(folder, form.index_suffix)
    usual = form.usual
    index = usual if usual in indexes else _only(folder, indexes, form) if indexes else None
    if index is None:
        if form.in_crowds and form.name in files:
            files = [form.name]
        return [form.read(folder / _only(folder, files, form))]
    shards = index_shards(folder / index, form)
    others = sorted({*files, *indexes} - {index, *(shard.path.name for shard in shards)})
    whole = index.removesuffix(".index.json")
    if whole in others:
        raise Refused(
            f"{folder}: a folder must hold one checkpoint, got {whole} and the shards of {index}; "
            "name one of the two files."
        )
    if others and not form.in_crowds:
        screen.note(f"{folder}: left out, since {index} does not name them: {_listed(others)}")
    return shards


def index_shards(index: Path, form: ShardFormat[T]) -> list[T]:
    """Return the shards that an index names, in the order of their names.

    Raises:
        Refused: shards are missing.
        ArtifactError: index or shards are damaged, or contradict each other.
    """
    placed, metadata = _read(index, form.suffix)
    names = sorted(set(placed.values()))
    missing = [name for name in names if not os.path.lexists(index.parent / name)]
    if missing:
        raise Refused(
            f"{index}: all shards must lie beside it, missing {_listed(missing)}; fetch them again."
        )
    for name in names:
        _check_inside(index.parent, name)
    shards = [form.read(index.parent / name) for name in names]
    _check_placed(index, placed, shards)
    size = sum(plain_bytes(spec) for shard in shards for spec in shard.specs.values())
    declared = metadata.get("total_size", size)
    if declared != size:  # of tied weights some writers count each
        screen.note(
            f"{index}: metadata: total_size says {shortened(repr(declared))}, but the tensors take "
            f"{size:,} bytes; the headers of the shards are believed"
        )
    return shards


def _read(index: Path, suffix: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the shard of each tensor by name, and the metadata."""
    with reading(index), open_regular(index) as file:
        data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ArtifactError("the index is too long", expected=f"<= {MOST_BYTES} bytes")
        content = strict_json(data)
        placed = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(placed, dict):
            raise ArtifactError("an index must hold an object weight_map")
        metadata = content.get("metadata", {})
        if not isinstance(metadata, dict):
            raise ArtifactError("metadata must be an object", found=metadata)
        for name, shard in placed.items():
            if not isinstance(shard, str) or not _is_plain(shard, suffix):
                raise ArtifactError(
                    f"a shard must be the name of a {suffix} beside the index",
                    tensor=name,
                    found=shard,
                )
    return placed, metadata


def _is_plain(name: str, suffix: str) -> bool:
    """Return whether a name is one of a file in the folder itself, on any system."""
    return name.endswith(suffix) and name.isprintable() and not set(name) & set("/\\:")


def _check_placed(index: Path, placed: dict[str, str], shards: Sequence[Shard]) -> None:
    """Refuse an index that says other than the headers."""
    found: dict[str, list[str]] = {}
    for shard in shards:
        for name in shard.specs:
            found.setdefault(name, []).append(shard.path.name)
    for name in sorted({*placed, *found}):
        if found.get(name) != [placed.get(name)]:
            raise ArtifactError(
                "a tensor must be in the one shard that the index names",
                file=str(index),
                tensor=name,
                expected=placed.get(name, "no shard"),
                found=" and ".join(found.get(name, ["no shard"])),
            )


def _check_inside(folder: Path, name: str) -> None:
    """Refuse a link that leads out of the folder; the cache of the Hugging Face hub has its own."""
    home = Path(os.path.realpath(folder))
    allowed = [home, home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [home]
    found = Path(os.path.realpath(folder / name))
    if found.parent not in allowed:
        raise Refused(
            f"{folder / name}: a file of a folder must lie in it, got a link to {found}; name the "
            "file itself, or copy it into the folder."
        )


def _names(folder: Path, suffix: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(suffix))


def _only(folder: Path, names: Sequence[str], form: ShardFormat[Any]) -> str:
    if len(names) != 1:
        raise Refused(
            f"{folder}: a folder must hold {form.usual} or one file, got {_listed(names)}; name "
            "one of them."
        )
    return names[0]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(shortened, names[:3])) + more
