"""What the leaves of an optimizer state are of: which parameter, and which of its axes."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxcompress.prune.groups import UnitGroups
from jaxcompress.trees import PyTree, named_leaves, some_of

Stays: TypeAlias = Mapping[str, Mapping[int, np.ndarray]]
"""The indices that stay, by path and axis, of all axes that lose any."""

Shape: TypeAlias = tuple[int, ...]

_RESTART = "pass restart=tx.init(small_params) to start its state anew"
_CONSTANTS = ("ns_coeffs",)
"""Fields that are of no parameter: Muon's polynomial."""
_MIXED = re.compile(r"precond\w*|projectors?|projections?|kron\w*|statistics|GG|Q|QL|QR")
"""Fields whose entries mix all units (roots, bases): a part of them is not that of a part of the
units, even where the shape is the parameter's."""


class Part(NamedTuple):
    """What a new leaf is made of.

    Attributes:
        source: number of the leaf that it is cut from.
        path: the parameter that the leaf belongs to, None where it is of none and stays.
        axes: for each axis of the leaf that of the parameter, None for one that was reduced to 1.
    """

    source: int
    path: str | None = None
    axes: tuple[int | None, ...] = ()

    def kept(self, stays: Stays) -> dict[int, np.ndarray]:
        """Return the indices that stay, by axis of the leaf."""
        own = stays.get(self.path or "", {})
        return {
            k: own[axis] for k, axis in enumerate(self.axes) if axis is not None and axis in own
        }


class _Unclear(Exception):
    """Why a leaf cannot be cut."""


class _Leaf(NamedTuple):
    number: int
    keys: tuple[Any, ...]
    path: str
    shape: Shape


class _Owner(NamedTuple):
    """A parameter that the end of a path may mean, and the index that follows in the path."""

    path: str
    tail: str
    place: int | None


class States:
    """The leaves of a tree, read as what belongs to the parameters of `groups`."""

    def __init__(self, tree: PyTree, groups: UnitGroups, stays: Stays) -> None:
        """Note paths and shapes."""
        self.shapes, self.stays = groups.shapes, stays
        named = named_leaves(tree)
        keys = [keys for keys, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
        shapes = [tuple(leaf.shape) for leaf in named.leaves]
        self.leaves = list(map(_Leaf, range(len(keys)), keys, named.paths, shapes))
        self.structure = named.treedef
        self.by_path = {leaf.path: leaf for leaf in self.leaves}
        self.tails: dict[str, list[str]] = {}
        for path in self.shapes:
            for tail in dict.fromkeys((path, path.partition("/")[2])):
                if tail:
                    self.tails.setdefault(tail, []).append(path)

    def parts(self, restart: PyTree | None = None) -> list[Part | None]:
        """Return what each new leaf is made of; None where it is taken from `restart`.

        Raises:
            ValueError: a leaf that cannot be cut, without `restart` or in no state of its own; a
                `restart` of another structure or other sizes.
        """
        fresh = None if restart is None else self._fresh_shapes(restart)
        parts: list[Part | None] = []
        homes: list[tuple[Any, ...]] = []
        for leaf in self.leaves:
            part = None
            try:
                part = self._part(leaf, fresh)
                if fresh is not None and not self._is_mirror(part):
                    self._check_size(leaf, part, fresh[leaf.number])
            except _Unclear as why:
                if fresh is None:
                    raise ValueError(f"{leaf.path}: {why}") from None
                homes.append(self._home(leaf, why))
            parts.append(part)
        anew = [any(leaf.keys[: len(home)] == home for home in homes) for leaf in self.leaves]
        for leaf, part, new in zip(self.leaves, parts, anew, strict=True):
            if fresh is not None and part is not None and not new:
                try:
                    self._check_size(leaf, part, fresh[leaf.number])
                except _Unclear as why:  # a mirror cannot be mistaken
                    raise ValueError(
                        f"restart: must be the state of the small parameters, but {leaf.path} "
                        f"{why} pass tx.init(small_params)."
                    ) from None
        return [None if new else part for part, new in zip(parts, anew, strict=True)]

    def _fresh_shapes(self, restart: PyTree) -> list[Shape]:
        named = named_leaves(restart)
        if named.treedef != self.structure:
            other = sorted(set(named.paths) ^ set(self.by_path))
            raise ValueError(
                "restart: must be the state of the same optimizer, got another structure "
                f"({some_of(other) or 'other containers'}); pass tx.init(small_params)."
            )
        return [tuple(leaf.shape) for leaf in named.leaves]

    def _is_mirror(self, part: Part) -> bool:
        return bool(part.path) and self.leaves[part.source].shape == self.shapes[part.path]

    def _check_size(self, leaf: _Leaf, part: Part, there: Shape) -> None:
        kept = part.kept(self.stays)
        old = self.leaves[part.source].shape
        here = tuple(len(kept[k]) if k in kept else size for k, size in enumerate(old))
        if there != here:
            raise _Unclear(f"has shape {there} at a fresh start, and {here} when it is cut;")

    def _home(self, leaf: _Leaf, why: _Unclear) -> tuple[Any, ...]:
        """Return where the innermost state that holds a leaf lies."""
        tails = [len(owner.tail) for owner in self._owners(leaf.path)]
        end = len(leaf.path) - max(tails, default=0)
        for k in reversed(range(len(leaf.keys))):
            upto = jax.tree_util.keystr(leaf.keys[: k + 1], simple=True, separator="/")
            if isinstance(leaf.keys[k], jax.tree_util.GetAttrKey) and len(upto) <= end:
                return leaf.keys[:k]
        raise ValueError(
            f"{leaf.path}: lies in no state (a named tuple) that could start anew, and {why}"
        )

    def _owners(self, path: str) -> list[_Owner]:
        """Return what the longest known end of a path may mean, with an index after it and without.

        Code that keeps a list for each parameter writes an index after its path.
        """
        keys = path.split("/")
        result = []
        for end in (len(keys), len(keys) - 1):
            index = None if end == len(keys) else keys[end]
            if index is None or index.isdigit():
                tails = ("/".join(keys[k:end]) for k in range(end))
                tail = next((tail for tail in tails if tail in self.tails), "")
                whole = tail if index is None else f"{tail}/{index}"
                number = None if index is None else int(index)
                result += [_Owner(name, whole, number) for name in self.tails.get(tail, ())]
        return result

    def _part(self, leaf: _Leaf, fresh: list[Shape] | None) -> Part:
        """Return what a leaf becomes.

        Raises:
            _Unclear: it cannot be cut.
        """
        if self.shapes.get(leaf.path) == leaf.shape:
            return Part(leaf.number, leaf.path, tuple(range(len(leaf.shape))))
        owners = self._owners(leaf.path)
        if factored := [x for owner in owners if (x := self._factored(leaf, owner, fresh))]:
            return factored[0]
        found = [part for owner in owners for part in self._readings(leaf, owner)]
        same = {tuple((k, v.tobytes()) for k, v in p.kept(self.stays).items()) for p in found}
        if len(same) == 1:
            self._check_mixed(leaf, owners, found[0])
            return found[0]
        if math.prod(leaf.shape) <= 1:
            return Part(leaf.number)
        if found:
            names = list(dict.fromkeys(part.path or "" for part in found))
            if len(names) > 1:
                raise _Unclear(
                    f"may mirror any of {', '.join(names)}; shrink their trees one by one, or "
                    f"{_RESTART}."
                )
            raise _Unclear(
                f"may be of any axis of {names[0]}, {self.shapes[names[0]]}, got {leaf.shape}; "
                f"{_RESTART}."
            )
        if owners:
            name = owners[0].path
            stays_whole = not any(self.stays.get(owner.path) for owner in owners)
            if stays_whole and leaf.path not in self.shapes:
                return Part(leaf.number)
            raise _Unclear(
                f"must have the shape of {name}, {self.shapes[name]}, got {leaf.shape}; pass a "
                f"tree that mirrors the parameters before the cut, or {_RESTART}."
            )
        alike = fresh is not None and fresh[leaf.number] == leaf.shape  # depends on no size
        if alike or leaf.path.rpartition("/")[2] in _CONSTANTS:
            return Part(leaf.number)
        raise _Unclear(
            "no parameter has a path that this ends in; pass a tree that mirrors the parameters "
            f"({some_of(list(self.shapes))}), leave this leaf out, or {_RESTART}."
        )

    def _check_mixed(self, leaf: _Leaf, owners: list[_Owner], part: Part) -> None:
        before = leaf.path[: -max(len(owner.tail) for owner in owners)]
        field = before.rstrip("/").rpartition("/")[2]
        if _MIXED.fullmatch(field) and part.kept(self.stays):
            raise _Unclear(
                f"must have entries of its own for each unit, but {field} mixes them; {_RESTART}."
            )

    def _readings(self, leaf: _Leaf, owner: _Owner) -> list[Part]:
        """Return which axes of a parameter the axes of a leaf may be."""
        full, shape = self.shapes[owner.path], leaf.shape
        every = tuple(range(len(full)))
        ways: list[tuple[int | None, ...]] = []
        if owner.place is not None:
            ways = [(owner.place,)] if self._covers(leaf, owner) else []
        elif shape == full:
            ways = [every]
        elif math.prod(shape) > 1 and len(shape) == len(full):
            if all(size in (1, whole) for size, whole in zip(shape, full, strict=True)):
                ways = [tuple(k if shape[k] == full[k] else None for k in every)]
        elif math.prod(shape) > 1:
            without = [(*every[:k], *every[k + 1 :]) for k in every]
            ways = [axes for axes in without if shape == tuple(full[k] for k in axes)]
        return [Part(leaf.number, owner.path, axes) for axes in ways]

    def _covers(self, leaf: _Leaf, owner: _Owner) -> bool:
        """Return whether a leaf is the k-th of a list with a vector for each axis, as SM3's."""
        base = leaf.path.removesuffix(f"/{owner.place}")
        full = self.shapes[owner.path]
        beside = [self.by_path.get(f"{base}/{k}") for k in range(len(full) + 1)]
        shapes = [x.shape if x else None for x in beside]
        return shapes == [*((size,) for size in full), None]

    def _factored(self, leaf: _Leaf, owner: _Owner, fresh: list[Shape] | None) -> Part | None:
        """Return what a factor of Adafactor's second moments becomes, None where it is no factor.

        The moments are means over the two largest axes in turn, the largest in `v_row`. An axis
        that was the largest may not be any more after the cut: then the factors change places.
        """
        head, tail = leaf.path[: -len(owner.tail)], owner.tail
        field = head.rstrip("/").rpartition("/")[2]
        if field not in ("v_row", "v_col") or owner.place is not None:
            return None
        root = head.rstrip("/").removesuffix(field)
        moments = self._moments(root, owner)
        if moments is None:
            return None
        full, small = self.shapes[owner.path], self._small(owner.path)
        means = dict(zip(_largest(full), moments, strict=True))  # by the axis that they are over
        over = _largest(small)
        if fresh is not None:
            there = fresh[self.by_path[f"{root}v_row/{tail}"].number]
            known = there == _without(small, over[0])
        else:
            known = small == full or _second(small) >= self._least_factored(root)
        if not known:
            raise _Unclear(
                f"may not be factored at the size of the small {owner.path}, {small}; {_RESTART}."
            )
        if set(over) != set(means):
            raise _Unclear(
                f"is a mean over an axis that is not among the two largest of the small "
                f"{owner.path}, {small}, any more; {_RESTART}."
            )
        axis = over[0] if field == "v_row" else over[1]
        return Part(means[axis].number, owner.path, _without(tuple(range(len(full))), axis))

    def _moments(self, root: str, owner: _Owner) -> tuple[_Leaf, _Leaf] | None:
        """Return both factors of a parameter's second moments, None where they are not factored."""
        full = self.shapes[owner.path]
        beside = [
            self.by_path.get(f"{root}{name}/{owner.tail}") for name in ("v_row", "v_col", "v")
        ]
        row, col, whole = beside
        if row is None or col is None or whole is None or len(full) < 2 or whole.shape != (1,):
            return None
        first, second = _largest(full)
        fits = row.shape == _without(full, first) and col.shape == _without(full, second)
        return (row, col) if fits else None

    def _least_factored(self, root: str) -> int:
        """Return the least second largest size that is known to be factored."""
        sizes = []
        for leaf in self.leaves:
            if leaf.path.startswith(f"{root}v/"):
                sizes += [
                    _second(self.shapes[owner.path])
                    for owner in self._owners(leaf.path)
                    if owner.place is None and self._moments(root, owner)
                ]
        return min(sizes)

    def _small(self, path: str) -> Shape:
        own = self.stays.get(path, {})
        return tuple(len(own[k]) if k in own else size for k, size in enumerate(self.shapes[path]))


def _without(values: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*values[:axis], *values[axis + 1 :])


def _largest(shape: Shape) -> tuple[int, int]:
    """Return the largest axis and the second largest, ties as Optax sorts them."""
    order = np.argsort(shape)
    return int(order[-1]), int(order[-2])


def _second(shape: Shape) -> int:
    return sorted(shape)[-2]
