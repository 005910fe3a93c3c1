"""Folders that servers load: weights in words, all else dense, and a `config.json` that says so."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact import ArtifactFile
from jaxcompress.artifact.atomic import write_atomically
from jaxcompress.artifact.manifest import MOST_BYTES
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli import screen
from jaxcompress.cli.formats.compressed_tensors import Packed, as_packed, configuration
from jaxcompress.cli.formats.safetensors_folder import write_shards
from jaxcompress.cli.shards import strict_json
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.trees import some_of

_ENTRY = "quantization_config"


def read_config(path: Path) -> dict[str, Any]:
    """Return the `config.json` of a network that is not quantized yet.

    Raises:
        Refused: it is quantized.
        ArtifactError: it is no JSON object.
    """
    with reading(path), open_regular(path) as file:
        content = strict_json(file.read(MOST_BYTES))
        if not isinstance(content, dict):
            raise ArtifactError("must be a JSON object")
    if _ENTRY in content:
        raise Refused(f"{path}: must be of dense weights, got {_ENTRY}; remove that entry.")
    return content


def write_packed(
    folder: Path,
    model: Path,
    file: ArtifactFile,
    config: Mapping[str, Any],
    metadata: Mapping[str, str],
    most_bytes: int,
) -> int:
    """Write tensors in shards, those on grids in words; returns the size of all in bytes.

    Args:
        folder: that is there.
        model: the file, for messages.
        file: from which tensors come.
        config: entries of `config.json` beside that of the quantization.
        metadata: strings that each file carries along.
        most_bytes: of the tensors of a file.

    Raises:
        Refused: no tensor can be in words, or two tensors have one name.
    """
    entries = {entry["path"]: entry for entry in file.manifest["tensors"]}
    plans = {path: as_packed(entry) for path, entry in entries.items()}
    found = {path: plan for path, plan in plans.items() if isinstance(plan, Packed)}
    others = {path: why for path, why in plans.items() if isinstance(why, str)}
    _check(model, entries, others, some=bool(found))
    specs: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for path, plan in plans.items():
        own = plan.specs() if isinstance(plan, Packed) else {path: _spec(entries[path])}
        if taken := sorted(own.keys() & specs.keys()):
            raise Refused(f"{model}: {taken[0]}: a name must mean one tensor; rename {path}.")
        specs |= own
        owners.update((name, path) for name in own)
    leaves = _Leaves(file)

    def load(name: str) -> np.ndarray:
        path = owners[name]
        leaf, plan = leaves.of(path), plans[path]
        return plan.tensors(leaf)[name] if isinstance(plan, Packed) else np.asarray(dense(leaf))

    size = write_shards(folder, specs, load, {"format": "pt"} | dict(metadata), most_bytes)
    shapes = {path: entries[path]["shape"] for path in others}
    text = json.dumps(dict(config) | {_ENTRY: configuration(found, shapes)}, indent=2).encode()
    write_atomically(folder / "config.json", text)
    return size + len(text)


def _check(
    model: Path, entries: Mapping[str, Any], others: Mapping[str, str], *, some: bool
) -> None:
    """Name weights that stay dense although they are matrices, and refuse if all do."""
    if not some:
        path, why = next(iter(others.items()), ("no tensor", "the file is empty"))
        raise Refused(
            f"{model}: needs weights [out, in] of linear layers on grids, got none ({path}: "
            f"{why}); pack with --bits 4 or 8, scales along the first axis."
        )
    by_reason: dict[str, list[str]] = {}
    for path, why in others.items():
        if len(entries[path]["shape"]) > 1:
            by_reason.setdefault(why, []).append(path)
    for why, paths in by_reason.items():
        screen.note(f"{model}: written dense, {why}: {some_of(paths)}")


def _spec(entry: Mapping[str, Any]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(tuple(entry["shape"]), np.dtype(entry["dtype"]))


class _Leaves:
    """The leaves of a file, those of one part in memory at a time."""

    def __init__(self, file: ArtifactFile) -> None:
        self._file = file
        counts = file.manifest.get("parts", [len(file.paths)])
        ends = np.cumsum(counts).tolist()
        self._parts = [
            file.paths[end - count : end] for end, count in zip(ends, counts, strict=True)
        ]
        self._held: dict[str, Any] = {}

    def of(self, path: str) -> Any:
        """Return a leaf by its path."""
        if path not in self._held:
            self._held = {}
            part = set(next(part for part in self._parts if path in part))
            tree = self._file.load_compressed(lambda name, leaf: name in part)
            named = jax.tree_util.tree_leaves(tree, is_leaf=is_compressed)
            names = [name for name in self._file.paths if name in part]
            self._held = dict(zip(names, named, strict=True))
        return self._held[path]
