"""Weights as Flax and orbax keep them; needs the extra `flax`, which is imported on first use.

Both formats are read whole: memory holds the network and one compressed tensor.
"""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import check_regular, open_regular
from jaxcompress.cli.formats.orbax_folders import tree_folder
from jaxcompress.cli.msgpack_values import check_msgpack
from jaxcompress.cli.refusals import check_memory, check_names, check_storable
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.extras import library
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.trees import PyTree, path_text, plain_bytes


def msgpack_source(path: Path) -> TreeSource:
    """Return the tree that `flax.serialization.msgpack_serialize` wrote.

    Raises:
        MissingLibraryError: Flax is missing.
        ValueError: leaves cannot be stored.
        ArtifactError: the file is damaged.
    """
    restore = _flax(path).msgpack_restore
    size = check_regular(path)
    check_memory(path, None, 2 * size)  # the file, and its arrays
    with reading(path), open_regular(path) as file:
        data = file.read(size)
        check_msgpack(data)
    try:
        tree = restore(data)
    except Exception as error:  # msgpack raises many kinds of errors on damaged bytes
        raise ArtifactError(
            "not a whole Flax msgpack file", file=str(path), found=str(error)
        ) from None
    return _arrays(path, tree)


def msgpack_bytes(path: Path, tree: PyTree) -> bytes:
    """Return the tree as Flax serializes it; lists and tuples become dicts of their indices.

    Raises:
        MissingLibraryError: Flax is missing.
        ValueError: keys collide.
    """
    serialization = _flax(path)
    arrays = jax.tree.map(np.asarray, tree)
    return serialization.msgpack_serialize(serialization.to_state_dict(arrays), in_place=True)


def orbax_source(path: Path) -> TreeSource:
    """Return the tree of an orbax checkpoint: the folder of a tree, of a step, or of many steps.

    Raises:
        MissingLibraryError: orbax is missing.
        Refused: it is not clear which tree is meant.
        ValueError: leaves cannot be stored.
        ArtifactError: the checkpoint is damaged.
    """
    ocp = library("orbax.checkpoint", str(path), extra="flax")
    logging.getLogger("absl").setLevel(logging.ERROR)
    folder = tree_folder(path)
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            metadata = checkpointer.metadata(folder).item_metadata.tree
            leaves = [leaf for leaf in jax.tree.leaves(metadata) if hasattr(leaf, "shape")]
            check_memory(path, None, sum(map(plain_bytes, leaves)))
            plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata)
            tree = checkpointer.restore(folder, restore_args=plain)
    except Refused:
        raise
    except Exception as error:  # orbax too raises many kinds of errors
        raise ArtifactError(
            "not a whole orbax checkpoint", file=str(path), found=str(error)
        ) from None
    return _arrays(path, tree)


def _flax(path: Path) -> Any:
    return library("flax.serialization", str(path), extra="flax")


def _arrays(path: Path, tree: PyTree) -> TreeSource:
    """Return a source of the tree; numbers become arrays, text and the like raise by name."""
    flat, treedef = jax.tree_util.tree_flatten_with_path(tree)
    names = [path_text(keys) for keys, _ in flat]
    check_names(path, names, [jax.tree_util.keystr(keys) for keys, _ in flat])
    for name, (_, leaf) in zip(names, flat, strict=True):
        if not isinstance(leaf, np.ndarray | np.generic | int | float | complex):
            raise Refused(
                f"{path}: {name}: leaves must be arrays or numbers, got {type(leaf).__name__}; "
                "leave it out of the checkpoint."
            )
    arrays = [np.asarray(leaf) for _, leaf in flat]
    check_storable(path, zip(names, arrays, strict=True))
    return TreeSource(jax.tree.unflatten(treedef, arrays))
