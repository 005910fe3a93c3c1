"""A file that is read tensor by tensor."""

import bisect
import contextlib
import difflib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact._chosen import choice, chosen_leaves, places_of
from jaxcompress.artifact._last_part import LastPart
from jaxcompress.artifact._mesh import Shardings, placed, placements
from jaxcompress.artifact._needs import PartNeed, check_needs
from jaxcompress.artifact.memory import limit_of
from jaxcompress.artifact.outline import fill, fill_some
from jaxcompress.artifact.reader import Opened, StoredPart, leaves_of, open_parts, program_of
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.source import opened
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import coded as as_coded
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.trees import Array, PyTree, Scope, as_jax, check_scope, some_of


class ArtifactFile:
    """An open file, from `open_file`.

    `file[path]` is one tensor, `path in file` says whether there is one, `len(file)` is their
    number, and a loop goes over their paths.

    Attributes:
        paths: of its tensors, in the order of the file.
        manifest: as from `inspect`.
    """

    def __init__(self, name: str, found: Opened, max_bytes: int | None) -> None:
        self.paths: list[str] = [entry["path"] for entry in found.manifest["tensors"]]
        self.manifest = found.manifest
        self._numbers = {path: number for number, path in enumerate(self.paths)}
        self._repeated = len(self._numbers) < len(self.paths)
        self._name, self._max_bytes = name, max_bytes
        self._found: Opened | None = found
        self._places = places_of(self.manifest["tensors"])
        self._last, self._last_named = LastPart(), LastPart()

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __contains__(self, path: object) -> bool:
        return path in self._numbers

    def __getitem__(self, path: str) -> Array:
        """Return one tensor, an ordinary array.

        The tensors before it in its part of the file are read with it, and kept until another part
        is read. A tensor that is stored with another one is read there.

        Raises:
            KeyError: there is no such tensor, or there are several.
            ArtifactError: as for `load`.
            ValueError: the file is closed.
        """
        leaf = self._leaf(self._index(path))
        with reading(self._name):
            return as_jax(dense(leaf))

    def load(self, scope: Scope | None = None, *, sharding: Shardings | None = None) -> PyTree:
        """Return the tree of ordinary arrays, or of some.

        Args:
            scope: decides by path, shape and dtype which tensors are read. Keys of dicts without
                any of these are left out; in lists and tuples None takes their places. None for
                the whole tree.
            sharding: as for `jc.load`.

        Raises:
            ArtifactError: the file is damaged, or reading needs more memory than `max_bytes`.
            ValueError: the scope chooses nothing, the file is closed, or a sharding does not fit.
            TypeError: a scope that is no function, or a sharding of another type.
        """
        shapes = self._shapes()
        chosen = self._chosen(scope, shapes)
        if sharding is None:
            return self._filled(chosen, self._leaves(chosen, lambda leaf: as_jax(dense(leaf))))
        numbers = [number for number, pick in enumerate(chosen) if pick]
        places = placements(
            sharding, [self.paths[n] for n in numbers], [shapes[n] for n in numbers]
        )
        return self._filled(chosen, map(placed, self._leaves(chosen, dense, held=False), places))

    def load_compressed(self, scope: Scope | None = None, *, coded: bool = False) -> PyTree:
        """Return the tree with its compressed leaves, or some of it; as `load`.

        Leaves that are stored once are one object, ordinary arrays excepted.

        Args:
            scope: as for `load`.
            coded: as for `jaxcompress.load_compressed`.
        """
        chosen = self._chosen(scope, self._shapes())
        convert = _coded_as_jax if coded else _compressed_as_jax
        return self._filled(chosen, self._leaves(chosen, convert, as_dense=False))

    def check(self) -> None:
        """Read everything, and keep nothing.

        Raises:
            ArtifactError: as for `load`.
            ValueError: the file is closed.
        """
        stored = [place == number for number, place in enumerate(self._places)]
        for _ in self._leaves(stored, lambda leaf: None, held=False):
            pass
        found = self._opened()
        if found.program is not None:
            with reading(self._name):
                program_of(found, limit_of(self._max_bytes))

    def close(self) -> None:
        """Free what is kept of the file; `open_file` closes it at the end of its block."""
        self._found = None
        self._forget()

    def _shapes(self) -> list[jax.ShapeDtypeStruct]:
        return [
            jax.ShapeDtypeStruct(tuple(entry["shape"]), np.dtype(entry["dtype"]))
            for entry in self.manifest["tensors"]
        ]

    def _chosen(self, scope: Scope | None, shapes: Sequence[Any]) -> list[bool]:
        if scope is None:
            return [True] * len(shapes)
        check_scope(scope)
        chosen = [bool(scope(path, leaf)) for path, leaf in zip(self.paths, shapes, strict=True)]
        if not any(chosen):
            raise ValueError(
                f"scope: no tensor is chosen out of {len(self.paths)} ({some_of(self.paths)}); "
                "choose by path and shape among these."
            )
        return chosen

    def _filled(self, chosen: list[bool], leaves: Iterator[Any]) -> PyTree:
        """Return the tree with the chosen leaves."""
        found = list(leaves)
        if all(chosen):
            return fill(self.manifest["tree"], found)
        numbers = itertools.compress(itertools.count(), chosen)
        return fill_some(self.manifest["tree"], dict(zip(numbers, found, strict=False)))

    def _leaves(
        self,
        chosen: list[bool],
        convert: Callable[[Any], Any],
        *,
        held: bool = True,
        as_dense: bool = True,
    ) -> Iterator[Any]:
        """Yield the chosen leaves, converted.

        Args:
            chosen: for each tensor.
            convert: from leaves of numpy arrays.
            held: whether all are in memory together in the end.
            as_dense: whether `convert` makes compressed leaves dense.
        """
        found = self._opened()
        self._forget()
        picked = choice(found.parts, self._places, chosen)
        entries = self.manifest["tensors"]
        options = {"held": held, "as_dense": as_dense}
        self._check([picked.need(part, entries, **options) for part in found.parts])
        with reading(self._name):
            yield from chosen_leaves(found, picked, convert)

    def _leaf(self, index: int) -> Any:
        found, place = self._opened(), self._places[index]
        part = found.parts[bisect.bisect_right(found.parts, place, key=lambda p: p.first) - 1]
        # A part with tensors that others are the same as, and the one being read, stay both.
        if place != index and self._last.number == part.number:
            self._last, self._last_named = self._last_named, self._last
        last, other = self._last, self._last_named
        if place != index or other.number == part.number:
            last, other = other, last

        def check(needs: Sequence[PartNeed]) -> None:
            try:
                self._check([other.need, *needs])
            except ArtifactError:
                other.forget()
                self._check(needs)

        return last.leaf(place, part, self._coming, check)

    def _coming(self, part: StoredPart) -> Iterator[Any]:
        with reading(self._name):
            yield from leaves_of(part, self._opened().reader(part))

    def _forget(self) -> None:
        self._last.forget()
        self._last_named.forget()

    def _check(self, needs: Sequence[PartNeed]) -> None:
        with reading(self._name):
            check_needs(needs, limit_of(self._max_bytes))

    def _index(self, path: str) -> int:
        if path in self._numbers:
            count = self.paths.count(path) if self._repeated else 1
            if count == 1:
                return self._numbers[path]
            raise KeyError(
                f"{path}: must be the path of one tensor of {self._name}, got {count}; load the "
                "tree instead."
            )
        near = difflib.get_close_matches(str(path), self.paths, n=5, cutoff=0.4)
        raise KeyError(
            f"{path}: must be the path of a tensor of {self._name}; the nearest of "
            f"{len(self.paths)} are {', '.join(near or self.paths[:5])}."
        )

    def _opened(self) -> Opened:
        if self._found is None:
            raise ValueError(f"{self._name}: is closed; read from it inside of its `with` block.")
        return self._found


@contextlib.contextmanager
def open_file(
    path: str | os.PathLike[str], *, max_bytes: int | None = None
) -> Iterator[ArtifactFile]:
    """Open a file to read single tensors, without the rest.

    Only the manifest is read at first. A tensor is read with the tensors before it in its part of
    the file, which are at most some millions of numbers; the part that was read last is kept.

    Args:
        path: file to read. As for `load`, nothing in it is used before it has been checked.
        max_bytes: most bytes of memory that one call may take, as for `load`: for `file[path]` it
            counts one part of the file, for `load` the tensors that are read. None for half of the
            free memory, at most 8 GiB.

    Returns:
        A context manager for the `ArtifactFile`: `paths`, `manifest`, `file[path]`, `load(scope)`
        and `load_compressed(scope)`.

    Raises:
        ArtifactError: the file is damaged, hostile or not of this format, or needs more memory.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> from jaxcompress.artifact import save
        >>> tree = {"block": [{"kernel": np.eye(2, dtype="f")}, {"kernel": np.ones(2, "f")}]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size_bytes = save(f"{folder}/small.npz", tree)
        ...     with open_file(f"{folder}/small.npz") as file:
        ...         print(file.paths, file["block/0/kernel"].tolist())
        ...         print(file.load(lambda path, leaf: leaf.shape == (2,)))
        ['block/0/kernel', 'block/1/kernel'] [[1.0, 0.0], [0.0, 1.0]]
        {'block': [None, {'kernel': Array([1., 1.], dtype=float32)}]}
    """
    with opened(path) as source:
        with reading(path):
            found = open_parts(source, max_bytes)
        file = ArtifactFile(os.fspath(path), found, max_bytes)
        try:
            yield file
        finally:
            file.close()


def _coded_as_jax(leaf: Any) -> Any:
    """Return a leaf of JAX arrays, its integers coded where that makes it smaller."""
    if is_compressed(leaf) and leaf.size:
        leaf = as_coded(leaf, scope=lambda path, leaf: True)
    return _compressed_as_jax(leaf)


def _compressed_as_jax(leaf: Any) -> Any:
    """Return a leaf of JAX arrays, or of numpy arrays if JAX would narrow its dtype."""
    if is_compressed(leaf) and isinstance(as_jax(np.empty(0, leaf.dtype)), np.ndarray):
        return leaf
    return jax.tree.map(as_jax, leaf)
