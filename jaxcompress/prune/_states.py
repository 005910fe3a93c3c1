"""Which parameter the leaves of an optimizer state belong to, and which of its axes they have."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax

from jaxcompress.prune._factored import by_size, factored, without
from jaxcompress.prune._owners import RESTART, Leaf, Leaves, Owner, Part, Shape, Unclear
from jaxcompress.trees import PyTree, named_leaves, path_text, some_of

_CONSTANTS = ("ns_coeffs",)
"""Fields that belong to no parameter: Muon's polynomial."""
_MIXED = re.compile(r"precond\w*|projectors?|projections?|kron\w*|statistics|GG|Q|QL|QR")
"""Fields whose entries mix all units (roots, bases): a part of them is not the state of a part of
the units, even where they have the parameter's shape."""


class States(Leaves):
    """The leaves of a tree, and what they become in a cut."""

    def parts(self, restart: PyTree | None = None) -> list[Part | None]:
        """Return what each new leaf is made of; None where it is taken from `restart`.

        Raises:
            ValueError: a leaf that cannot be cut, without `restart` or in no named tuple; a
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
            except Unclear as why:
                if fresh is None:
                    raise ValueError(f"{leaf.path}: {why}") from None
                homes.append(self._home(leaf, why))
            parts.append(part)
        anew = [any(leaf.keys[: len(home)] == home for home in homes) for leaf in self.leaves]
        for leaf, part, new in zip(self.leaves, parts, anew, strict=True):
            if fresh is not None and part is not None and not new:
                try:
                    self._check_size(leaf, part, fresh[leaf.number])
                except Unclear as why:  # a mirror cannot be mistaken
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

    def _check_size(self, leaf: Leaf, part: Part, there: Shape) -> None:
        kept = part.kept(self.kept_indices)
        old = self.leaves[part.source].shape
        here = tuple(len(kept[k]) if k in kept else size for k, size in enumerate(old))
        if there != here:
            raise Unclear(f"has shape {there} at a fresh start, and {here} when it is cut;")

    def _home(self, leaf: Leaf, why: Unclear) -> tuple[Any, ...]:
        """Return where the innermost state that holds a leaf lies."""
        tails = [len(owner.tail) for owner in self.owners(leaf.path)]
        end = len(leaf.path) - max(tails, default=0)
        for k in reversed(range(len(leaf.keys))):
            upto = path_text(leaf.keys[: k + 1])
            if isinstance(leaf.keys[k], jax.tree_util.GetAttrKey) and len(upto) <= end:
                return leaf.keys[:k]
        raise ValueError(
            f"{leaf.path}: lies in no state (a named tuple) that could start anew, and {why}"
        )

    def _part(self, leaf: Leaf, fresh: list[Shape] | None) -> Part:
        """Return what a leaf becomes.

        Raises:
            Unclear: it cannot be cut.
        """
        if self.shapes.get(leaf.path) == leaf.shape:
            return Part(leaf.number, leaf.path, tuple(range(len(leaf.shape))))
        owners = self.owners(leaf.path)
        if moments := [x for owner in owners if (x := factored(self, leaf, owner, fresh))]:
            return moments[0]
        found = [part for owner in owners for part in self._readings(leaf, owner)]
        same = {
            tuple((k, v.tobytes()) for k, v in p.kept(self.kept_indices).items()) for p in found
        }
        if len(same) == 1:
            self._check_mixed(leaf, owners, found[0])
            return found[0]
        if math.prod(leaf.shape) <= 1:
            return Part(leaf.number)
        if found:
            names = list(dict.fromkeys(part.path or "" for part in found))
            if len(names) > 1:
                raise Unclear(
                    f"may mirror any of {', '.join(names)}; shrink their trees one by one, or "
                    f"{RESTART}."
                )
            raise Unclear(
                f"may be of any axis of {names[0]}, {self.shapes[names[0]]}, got {leaf.shape}; "
                f"{RESTART}."
            )
        if owners:
            name = owners[0].path
            is_whole = not any(self.kept_indices.get(owner.path) for owner in owners)
            if is_whole and leaf.path not in self.shapes:
                return Part(leaf.number)
            raise Unclear(
                f"must have the shape of {name}, {self.shapes[name]}, got {leaf.shape}; pass a "
                f"tree that mirrors the parameters before the cut, or {RESTART}."
            )
        alike = fresh is not None and fresh[leaf.number] == leaf.shape  # depends on no size
        if alike or leaf.path.rpartition("/")[2] in _CONSTANTS:
            return Part(leaf.number)
        raise Unclear(
            "no parameter has a path that this ends in; pass a tree that mirrors the parameters "
            f"({some_of(list(self.shapes))}), leave this leaf out, or {RESTART}."
        )

    def _check_mixed(self, leaf: Leaf, owners: list[Owner], part: Part) -> None:
        before = leaf.path[: -max(len(owner.tail) for owner in owners)]
        field = before.rstrip("/").rpartition("/")[2]
        if _MIXED.fullmatch(field) and part.kept(self.kept_indices):
            raise Unclear(
                f"must have entries of its own for each unit, but {field} mixes them; {RESTART}."
            )

    def _readings(self, leaf: Leaf, owner: Owner) -> list[Part]:
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
            ways = [
                axes for k in every if shape == without(full, k) and (axes := without(every, k))
            ]
            self._check_order(owner.path, [without(self.small(owner.path), k) for k in every], ways)
        return [Part(leaf.number, owner.path, axes) for axes in ways]

    def _check_order(self, path: str, shapes: list[Shape], ways: Sequence[Sequence[Any]]) -> None:
        """Refuse means over axes that code which chooses axes by size would take for others.

        Where shapes differ the next optimizer step fails; where not, it is silently wrong.
        """
        full, small = self.shapes[path], self.small(path)
        if len(ways) == 1 and len(set(shapes)) < len(shapes) and by_size(full) != by_size(small):
            raise Unclear(
                f"is of one axis of {path}, {full}, and may be of another of the small one, "
                f"{small}; {RESTART}."
            )

    def _covers(self, leaf: Leaf, owner: Owner) -> bool:
        """Return whether a leaf is the k-th of a list with a vector for each axis, as SM3's."""
        base = leaf.path.removesuffix(f"/{owner.place}")
        full = self.shapes[owner.path]
        beside = [self.by_path.get(f"{base}/{k}") for k in range(len(full) + 1)]
        shapes = [x.shape if x else None for x in beside]
        return shapes == [*((size,) for size in full), None]
