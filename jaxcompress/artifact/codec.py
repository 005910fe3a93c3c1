"""A compressed tree as one `.npz` file, and back.

The file holds data only, no pickle and no class names: a manifest (JSON in a member of bytes)
and one member for each kind of stream, all tensors merged: docs/file-format.md.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxcompress.artifact._mesh import Shardings
from jaxcompress.artifact._open_file import open_file
from jaxcompress.artifact._together import written_together
from jaxcompress.artifact.coding import DEFAULT_LAYOUT, check_layout
from jaxcompress.artifact.encoding import encoded_leaves, encoded_tree, stored_leaves
from jaxcompress.artifact.outline import outline, paths
from jaxcompress.artifact.reader import read_manifest
from jaxcompress.artifact.writer import write
from jaxcompress.checks import check_same
from jaxcompress.placement import is_divided, like
from jaxcompress.trace.sizes import check_runs_alike
from jaxcompress.trees import NamedLeaves, PyTree, named_leaves

_OF_FILE = "file"
_SIZES = ("template", _OF_FILE)


def save(
    path: str | os.PathLike[str],
    tree: PyTree,
    *,
    layout: str = DEFAULT_LAYOUT,
    metadata: Mapping[str, Any] | None = None,
) -> int:
    """Write a tree to one `.npz` file, atomically; same input, same bytes.

    The bytes go to a temporary file in the same folder, are flushed to the disk and renamed. So
    `path` holds the previous file or the new one at any moment. The new file has the mode of the
    replaced one, and its owner and group where the system allows it. For a link, the file that it
    points to is replaced; other hard links to that file keep the previous one. Temporary files of
    killed writers are removed.

    Gathered to the host: where arrays are split over devices, one tensor at a time, its bytes; the
    streams of a part of the file, up to 4 million numbers and one tensor, are in memory too.

    If arrays are divided among processes, all of these must call this with one tree: process 0
    writes, the others take part in gathering and return when the file is there. Of other arrays
    each process that calls this writes a file.

    Args:
        path: file to write; if it exists it must be a regular file.
        tree: compressed leaves are packed, all others are stored exactly. Leaves of 256 bytes and
            more that are equal to the bit are stored once. Containers other than dicts, lists and
            tuples are loaded as dicts of their fields.
        layout: `entropy` is close to the entropy of the codes; `packed` is larger by a few percent,
            and faster where a network is small; ten lines of numpy and scipy read `csr`.
        metadata: any JSON value, for `inspect`; as in JSON, keys become strings and tuples lists.

    Returns:
        Size of the file in bytes.

    Raises:
        TypeError: a leaf that is not an array, a dtype or a key that cannot be stored.
        ValueError: metadata that is not JSON, an unknown layout, a leaf that breaks its rules, or a
            path of a pipe, a device or a folder.
        OSError: the folder cannot be written, by process 0 where arrays are divided.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> tree = {"kernel": np.eye(2, dtype=np.float32)}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/small.npz"
        ...     size_bytes = save(path, tree, metadata={"epoch": 3})
        ...     print(size_bytes == os.path.getsize(path), inspect(path)["metadata"])
        True {'epoch': 3}
    """
    if not any(map(is_divided, jax.tree.leaves(tree))):
        parts, structure = encoded_tree(tree, layout)
        return write(path, parts, structure, metadata=metadata)
    check_layout(layout)
    leaves = stored_leaves(tree)
    parts, structure = encoded_leaves(tree, layout, leaves)
    return written_together(path, lambda: write(path, parts, structure, metadata=metadata), leaves)


def load(
    path: str | os.PathLike[str], *, max_bytes: int | None = None, sharding: Shardings | None = None
) -> PyTree:
    """Read a file and return ordinary arrays: `dense(load_compressed(path))`.

    Args:
        path: file to read. Nothing in it is used before it has been checked, and nothing in it is
            ever executed. Its digests detect damage, but do not tell who wrote it.
        max_bytes: most bytes of memory that reading may take: the decompressed streams, the
            leaves, the dense tensors, and the work on the largest tensor, all together. `load`
            counts them from the manifest beforehand and refuses a file that needs more. Buffers and
            blocks take up to 128 MiB in addition. None for half of the free memory, at most 8 GiB.
        sharding: where each tensor goes as soon as it is read, so that the whole is never in the
            memory of the host: a `jax.sharding.Sharding` for all, or a function from path and shape
            to one, or a tree with one for each. `max_bytes` then limits the host alone. Numbers of
            64 bits that JAX would narrow stay arrays of numpy. None for the default device.

    Raises:
        ArtifactError: the file is damaged, hostile or not of this format, or needs more memory.
        TypeError: a sharding of another type.
        ValueError: a sharding that cannot split a tensor, or a tree without one for a tensor.
        MissingLibraryError: layout `entropy` of version 2 to 4, and constriction is missing.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size_bytes = save(f"{folder}/small.npz", {"kernel": np.eye(2, dtype=np.float32)})
        ...     load(f"{folder}/small.npz")["kernel"].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    with open_file(path, max_bytes=max_bytes) as file:
        return file.load(sharding=sharding)


def load_compressed(
    path: str | os.PathLike[str], *, coded: bool = False, max_bytes: int | None = None
) -> PyTree:
    """Read a file and return the tree with its compressed leaves.

    Args:
        path: file to read.
        coded: whether integers stay entropy-coded in memory, as `jc.leaves.coded` does: `execute`
            decodes them where they are used.
        max_bytes: as for `load`.

    Raises:
        ArtifactError: the file is damaged, hostile or not of this format, or needs more memory.
        MissingLibraryError: layout `entropy` of version 2 to 4, and constriction is missing.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from jaxcompress.leaves import Clustered
        >>> leaf = Clustered(codes=np.array([0, 2, 1], np.uint8), codebook=np.array([-1, 3], "f"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size_bytes = save(f"{folder}/small.npz", {"kernel": leaf})
        ...     load_compressed(f"{folder}/small.npz")["kernel"].codebook.tolist()
        [-1.0, 3.0]
    """
    with open_file(path, max_bytes=max_bytes) as file:
        return file.load_compressed(coded=coded)


def load_into(
    path: str | os.PathLike[str],
    template: PyTree,
    *,
    max_bytes: int | None = None,
    fits: Sequence[Any] | None = None,
    sizes: str = "template",
) -> PyTree:
    """Read a file into the structure of a template, which restores containers of any kind.

    Args:
        path: file to read.
        template: a tree of arrays, or the result of `jax.eval_shape` for one.
        max_bytes: as for `load`.
        fits: `(apply, *inputs)`, for a file of a network that was cut: its sizes may be smaller
            than those of the template, if `apply(tree, *inputs)`, traced with both, runs and gives
            results of the same shapes.
        sizes: "template": they must be those of the template, but for `fits`. "file": those of
            the file are taken, at most as large as the template's, and nothing is run.

    Returns:
        A tree like `template` with the arrays of the file, on the devices of its arrays. An array
        whose smaller axes cannot be split as the template's is replicated there.

    Raises:
        ArtifactError: as for `load`.
        TypeError: `fits` is not a sequence that begins with a function.
        ValueError: the file has other tensors than the template, or of another shape or dtype; all
            differences are listed. With `fits` or `sizes="file"`: of another rank, larger or empty;
            or `apply` does not run with them, or gives results of other shapes.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from typing import NamedTuple
        >>> class Params(NamedTuple):
        ...     kernel: Any
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size_bytes = save(f"{folder}/small.npz", Params(np.full(2, 3, "f")))
        ...     print(load(f"{folder}/small.npz"))
        ...     print(load_into(f"{folder}/small.npz", Params(np.zeros(2, "f"))))
        {'kernel': Array([3., 3.], dtype=float32)}
        Params(kernel=Array([3., 3.], dtype=float32))
    """
    if sizes not in _SIZES:
        raise ValueError(f"sizes: must be {' or '.join(_SIZES)}, got {sizes!r}; pass one of them.")
    if fits is not None and sizes == _OF_FILE:
        raise ValueError('sizes: must be left out with fits, got "file"; pass one of them.')
    named = named_leaves(template)
    tree = load(path, max_bytes=max_bytes)
    leaves, expected = _by_path(tree, jax.tree.leaves(tree)), _by_path(template, named.leaves)
    name, remedy = os.fspath(path), {}
    if _may_be_cut(leaves, expected):
        if fits is not None:
            return _cut(name, leaves, expected, named, fits)
        if sizes == _OF_FILE:
            return named.rebuild([like(leaves[path], leaf) for path, leaf in expected.items()])
        remedy["remedy"] = (
            "if the network was cut, pass fits=(apply, *inputs), which proves that it runs at "
            'these sizes, or sizes="file"'
        )
    check_same(name, leaves, "template", expected, **remedy)
    return named.rebuild([like(leaves[name], leaf) for name, leaf in expected.items()])


def _may_be_cut(leaves: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Return whether tensors differ in sizes only, and none is empty or larger than expected."""
    return leaves.keys() == expected.keys() and all(
        leaf.dtype == expected[path].dtype
        and len(leaf.shape) == len(expected[path].shape)
        and all(
            size == full or 0 < size < full
            for size, full in zip(leaf.shape, expected[path].shape, strict=True)
        )
        for path, leaf in leaves.items()
    )


def _cut(
    name: str,
    leaves: Mapping[str, Any],
    expected: Mapping[str, Any],
    named: NamedLeaves,
    fits: Sequence[Any],
) -> PyTree:
    if not isinstance(fits, Sequence) or not fits or not callable(fits[0]):
        raise TypeError(
            f"fits: must be (apply, *inputs), got {type(fits).__name__}; the inputs are those of "
            "one example call."
        )
    apply, *inputs = fits
    small = named.rebuild([leaves[path] for path in expected])
    check_runs_alike(apply, small, named.rebuild(named.leaves), *inputs, name=name)
    return named.rebuild([like(leaves[path], leaf) for path, leaf in expected.items()])


def _by_path(tree: PyTree, leaves: list[Any]) -> dict[str, Any]:
    """Return leaves by path; repeated paths are numbered from the second one on."""
    names = paths(outline(tree, lambda leaf: False))
    seen: Counter[str] = Counter()
    result = {}
    for name, leaf in zip(names, leaves, strict=True):
        seen[name] += 1
        result[name if seen[name] == 1 else f"{name} ({seen[name]})"] = leaf
    return result


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the manifest of a file: `version`, `metadata`, `tree` and `tensors`.

    Nothing but the manifest is read.

    Raises:
        ArtifactError: the file is damaged or not of this format.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size_bytes = save(f"{folder}/small.npz", {"kernel": np.eye(2, dtype=np.float32)})
        ...     manifest = inspect(f"{folder}/small.npz")
        >>> sorted(manifest), [tensor["path"] for tensor in manifest["tensors"]]
        (['format', 'metadata', 'tensors', 'tree', 'version'], ['kernel'])
    """
    return read_manifest(path)
