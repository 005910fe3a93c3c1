"""Reading compressed files for the command: tensors by name, with their sizes."""

from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.artifact import reader
from jaxcompress.artifact.tensors import Tensor, tensors_of, told_tensors
from jaxcompress.cli.refusals import check_names
from jaxcompress.trees import PyTree


class Artifact(NamedTuple):
    """A file that has been read and checked.

    Attributes:
        tree: as `load_compressed` gives it, of numpy arrays.
        tensors: by path, in the order of the file.
        metadata: of the file.
        file_bytes: its size.
        program: what the manifest says of its program; None of data alone.
    """

    tree: PyTree
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    file_bytes: int
    program: dict[str, Any] | None = None


def read(path: Path, max_bytes: int | None = None) -> Artifact:
    """Read a whole file.

    Args:
        path: file to read.
        max_bytes: largest size of its tensors together.

    Raises:
        ArtifactError: it is damaged.
        ValueError: two tensors have one path.
        OSError: it cannot be read.
    """
    contents = reader.read(path, max_bytes=max_bytes)
    tensors = _by_path(path, tensors_of(contents))
    manifest = contents.manifest
    program = manifest.get("program")
    return Artifact(contents.tree, tensors, manifest["metadata"], contents.file_bytes, program)


def read_manifest(path: Path) -> Artifact:
    """Read nothing but the manifest: tensors without their leaves.

    Raises:
        ArtifactError: it is damaged.
        ValueError: two tensors have one path.
        OSError: it cannot be read.
    """
    return described(path, reader.read_manifest(path))


def described(path: Path, manifest: dict[str, Any]) -> Artifact:
    """Return what a manifest says: tensors without their leaves.

    Raises:
        ValueError: two tensors have one path.
    """
    tensors = _by_path(path, told_tensors(manifest))
    size, program = path.stat().st_size, manifest.get("program")
    return Artifact(None, tensors, manifest["metadata"], size, program)


def _by_path(path: Path, tensors: list[Tensor]) -> dict[str, Tensor]:
    check_names(path, [tensor.path for tensor in tensors])
    return {tensor.path: tensor for tensor in tensors}
