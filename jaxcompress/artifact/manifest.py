"""The manifest of a file: JSON in one form only, checked before anything in it is used."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_digest
from jaxcompress.artifact._forms import check_entry, check_repeats, oldest_version
from jaxcompress.artifact.memory import default_max_bytes
from jaxcompress.artifact.outline import MOST_DEPTH, Outline, from_paths, paths
from jaxcompress.errors import ArtifactError

VERSION = 7
"""The newest version of the format; a file is written in the oldest one that has what it uses."""

WITH_PROGRAM = 7
"""The version that added a program, whose place is before the manifest."""

WITH_PARTS = 5
"""The version that added parts and zip64; the manifest is the last member since then."""

DIGEST_SIZES = (64, 0)
"""Length of the digest of the manifest; version 1 had none."""

MOST_BYTES = 1 << 24
_BY_PATHS = "paths"
"""Replaces the structure of nested dicts, which follows from the paths of the tensors."""

_BYTES_PER_VALUE, _ALWAYS_ALLOWED = 100, 1 << 26
"""Memory of a value in JSON (an empty list and its reference take 64 bytes, text and checks the
rest), and the amount that is always allowed."""


def checked_metadata(
    metadata: Mapping[str, Any] | None, *, name: str = "metadata"
) -> dict[str, Any]:
    """Return metadata as JSON keeps it.

    Args:
        metadata: None for none.
        name: of the argument, for errors.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        _check_depth(metadata or {})
        return json.loads(_dumps(dict(metadata or {})).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{name}: must be JSON, got {error}; use strings, finite numbers, lists and dicts."
        ) from None


def encode(
    structure: Outline,
    tensors: list[dict[str, Any]],
    metadata: dict[str, Any],
    *,
    parts: list[int] | None = None,
    program: Mapping[str, Any] | None = None,
) -> tuple[np.ndarray, bytes]:
    """Return the bytes of the manifest and their sha256 in hexadecimal.

    Args:
        structure: of the tree.
        tensors: the entries of its leaves.
        metadata: from `checked_metadata`.
        parts: how many tensors each part has; None for a file of a version without parts.
        program: what is said of the program; None for a file of data alone.

    Raises:
        ValueError: a key that is not Unicode, or far too many tensors.
    """
    manifest = {
        "format": "jaxcompress",
        "version": oldest_version(tensors),
        "metadata": metadata,
        "tree": _BY_PATHS if _is_by_paths(structure, tensors) else structure,
        "tensors": tensors,
    }
    if parts is not None:
        manifest |= {"version": max(manifest["version"], WITH_PARTS), "parts": parts}
    if program is not None:
        manifest |= {"version": WITH_PROGRAM, "program": program}
    try:
        data = _dumps(manifest).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[:40]!r}: keys must be Unicode; rename it.") from None
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"manifest: must be at most {MOST_BYTES:,} bytes, got {len(data):,} for "
            f"{len(tensors):,} tensors; save the tree in several files."
        )
    return np.frombuffer(data, np.uint8), hashlib.sha256(data).hexdigest().encode()


def decode(data: bytes, digest: bytes, max_bytes: int | None) -> dict[str, Any]:
    """Return the manifest, with the structure of its tree.

    Raises:
        ArtifactError: it is damaged, not in its one form, of a newer version, or takes more memory
            than `max_bytes`; None for the limit that always holds.
    """
    if digest and not hmac.compare_digest(hashlib.sha256(data).hexdigest().encode(), digest):
        raise ArtifactError("the sha256 of the manifest differs")
    values = sum(data.count(letter) for letter in (b",", b"[", b"{"))
    if values * _BYTES_PER_VALUE > max(max_bytes or default_max_bytes(), _ALWAYS_ALLOWED):
        raise ArtifactError("the manifest holds more values than max_bytes allows", found=values)
    try:
        manifest = json.loads(data)
        if _dumps(manifest).encode() != data:
            raise ValueError("it is not in its one form")
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the manifest is not JSON ({error})"[:200]) from None
    if not isinstance(manifest, dict) or manifest.get("format") != "jaxcompress":
        raise ArtifactError("the manifest has another format", expected="jaxcompress")
    version = manifest.get("version")
    if type(version) is not int or not 1 <= version <= VERSION or (version > 1) != bool(digest):
        raise ArtifactError(
            "version is not one that this reader knows; upgrade jaxcompress",
            expected=f"1 to {VERSION}",
            found=version,
        )
    fields = {"format", "version", "metadata", "tree", "tensors"}
    fields |= {"parts"} if version >= WITH_PARTS else set()
    fields |= {"program"} if version >= WITH_PROGRAM else set()
    if manifest.keys() != fields:
        raise ArtifactError("the manifest has other fields", found=sorted(manifest))
    _check_said("metadata", manifest["metadata"])
    if not isinstance(manifest["tensors"], list):
        raise ArtifactError("metadata must be an object and tensors a list")
    _check_tensors(manifest)
    _check_parts(manifest)
    if version >= WITH_PROGRAM:
        _check_program(manifest["program"])
    return manifest


def _check_depth(value: Any, depth: int = 0) -> None:
    """Refuse values that are nested too deep: readers and printers recurse."""
    if depth > MOST_DEPTH:
        raise ValueError(f"containers nested more than {MOST_DEPTH} deep")
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(item, depth + 1)


def _is_by_paths(structure: Outline, tensors: list[dict[str, Any]]) -> bool:
    try:
        return from_paths([entry["path"] for entry in tensors]) == structure
    except ValueError:
        return False


def _check_tensors(manifest: dict[str, Any]) -> None:
    for entry in manifest["tensors"]:
        check_entry(entry, manifest["version"])
    check_repeats(manifest["tensors"])
    found = [entry["path"] for entry in manifest["tensors"]]
    try:
        if manifest["tree"] == _BY_PATHS:
            manifest["tree"] = from_paths(found)
        expected = paths(manifest["tree"], most_letters=sum(map(len, found)))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the tree is not valid: {error}") from None
    if found != expected:
        raise ArtifactError(
            "the tree has other tensors than are listed", expected=expected, found=found
        )


def _check_parts(manifest: dict[str, Any]) -> None:
    """Refuse parts that are not those of the tensors, or are empty."""
    lengths, count = parts_of(manifest), len(manifest["tensors"])
    if not isinstance(lengths, list) or not all(type(n) is int for n in lengths):
        raise ArtifactError("parts must be a list of numbers", found=lengths)
    if sum(lengths) != count or (min(lengths, default=1) < 1 and "parts" in manifest):
        raise ArtifactError("parts must add up to the tensors", expected=count, found=lengths)


def _check_program(program: Any) -> None:
    """Refuse what does not even say which bytes the program has, or cannot be shown.

    `open_function` reads the rest.
    """
    if not isinstance(program, dict) or not is_digest(program.get("sha256")):
        raise ArtifactError("program must be an object with the sha256 of its bytes")
    _check_said("how it was made", program.get("made", {}))


def _check_said(what: str, told: Any) -> None:
    """Refuse what cannot be shown: no object, or nested too deep."""
    if not isinstance(told, dict):
        raise ArtifactError(f"{what} must be an object", found=type(told).__name__)
    try:
        _check_depth(told)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{what} is not valid: {error}") from None


def parts_of(manifest: dict[str, Any]) -> list[int]:
    """Return how many tensors each part of a file has: before there were parts, one has all."""
    return manifest.get("parts", [len(manifest["tensors"])])


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
