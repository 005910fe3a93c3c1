"""The files of stages: how they are written and read."""

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from jaxcompress.artifact import open_regular, write_atomically
from jaxcompress.scopes import named_leaves, nested
from pipelines.errors import FolderError
from pipelines.options.settings import Settings
from pipelines.stages.stage import Run, Stage, Trainer, Work, no_epochs

BASELINE, COMPRESSED = "baseline.npz", "compressed.npz"


def write_plain(job: Trainer, path: Path, work: Work) -> int:
    """Write every array unchanged, uncompressed, under its path; return the size in bytes."""
    del job
    named = named_leaves(work.tree)
    arrays = dict(zip(named.paths, map(np.asarray, named.leaves), strict=True))
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())
    return path.stat().st_size


def read_plain(path: Path) -> Work:
    """Read a file of `write_plain`.

    Raises:
        FolderError: the file is missing or damaged.
    """
    if not path.exists():
        raise FolderError(f"{path}: is missing; pass --resume to write it again.")
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            tree = nested((name, jnp.asarray(archive[name])) for name in archive.files)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise FolderError(
            f"{path}: is damaged ({error}); pass --resume to write it again."
        ) from None
    return Work(tree.get("params", {}), tree.get("stats", {}))


def size_of(job: Trainer, path: Path, work: Work) -> int:
    """Return the size in bytes of a file that the stage has written."""
    del job, work
    return path.stat().st_size


def write_compressed(job: Trainer, path: Path, work: Work) -> int:
    """Write shared leaves as codes, rounded ones as integers, pruned ones as sparse values.

    The classifier is in the metadata: the file alone is enough to classify pictures.
    Returns the size in bytes.
    """
    metadata = job.classifier.as_metadata()
    return jc.save(path, _stored(work), layout=job.plan.layout, metadata=metadata)


def compressed_size(job: Trainer, work: Work) -> int:
    """Return the bytes that `write_compressed` would write."""
    metadata = job.classifier.as_metadata()
    return jc.size_bytes(_stored(work), layout=job.plan.layout, metadata=metadata)


def _stored(work: Work) -> dict[str, Any]:
    """Return parameters as they are stored, and statistics where there are any."""
    tree = work.tree
    if work.coded is not None:
        tree = work.coded
    elif work.shared is not None:
        tree = tree | {"params": work.shared}
    elif work.quantized is not None:
        tree = tree | {"params": work.quantized}
    elif work.mask is not None:
        tree = tree | {"params": jc.leaves.sparse(work.params)}
    return {name: part for name, part in tree.items() if part or name == "params"}


def packed(
    name: str,
    run: Run,
    extra_epochs: Callable[[Settings], int] = no_epochs,
    *,
    student: int | None = None,
) -> Stage:
    """Return a stage that writes a compressed file of the name of the stage."""
    return Stage(name, run, write_compressed, file_of(name), extra_epochs, student=student)


def file_of(name: str) -> str:
    """Return the file of a stage by its name, in the run's folder."""
    return f"stages/{name.replace(' + ', '_').replace(' ', '_').replace('/', '_of_')}.npz"
