"""The arithmetic of unit ids: which entries are removed together.

Along an axis of `n` entries a value carries an integer array `[layers, n]`. An id >= 0 names a
node; an entry is removed if the node of any of its layers is removed. Most axes have one layer.
Two arise where two axes with units are merged, `[heads, width] -> [heads * width]`: an entry is
removed with its head or with its place in the head. A negative id means that the entry is never
removed:

- `UNIFORM`: the value is constant along the axis, broadcast from one number, so it follows any cut
  when the code runs again at the smaller size;
- anything below: fixed, for a reason that `Ledger.reasons` keeps.

Ties are edges between nodes. They are collected during the walk and solved once, at the end.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Axis = np.ndarray
"""`[layers, n]` ids."""

UNIFORM = -1


class Hint(NamedTuple):
    """Nodes of parameters that should become products of several nodes.

    Attributes:
        nodes: `[n]` that were tied too coarsely in this walk, which had too few layers.
        labels: `[layers, n]`, how to part them in the next walk.
    """

    nodes: np.ndarray
    labels: np.ndarray


class Solution(NamedTuple):
    """Connected components of all ties.

    Attributes:
        component: `[nodes]`, the component of each node.
        components: number of components.
        frozen: reasons, and the components that are frozen for them.
        reduced: components over which a sum, a maximum or the like is taken.
    """

    component: np.ndarray
    components: int
    frozen: list[tuple[str, np.ndarray]]
    reduced: np.ndarray


class Ledger:
    """Creates nodes and records what a walk finds about them."""

    def __init__(self) -> None:
        self.nodes = 0
        self.reasons: list[str] = []
        self.hints: list[Hint] = []
        self.whole = np.zeros(0, bool)  # nodes of parameters that a hint may part
        self._asked: set[int] = set()
        self._edges: list[np.ndarray] = []
        self._frozen: list[tuple[np.ndarray, int]] = []
        self._reduced: list[np.ndarray] = []

    def fresh(self, count: int) -> np.ndarray:
        """Return new nodes, `[count]`."""
        self.nodes += count
        return np.arange(self.nodes - count, self.nodes)

    def code(self, reason: str) -> int:
        """Return the negative id that means fixed for this reason."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return -2 - self.reasons.index(reason)

    def fixed(self, size: int, reason: str) -> Axis:
        """Return an axis that never shrinks."""
        return np.full((1, size), self.code(reason))

    def freeze(self, ids: np.ndarray, reason: str) -> None:
        """Freeze the nodes among `ids`."""
        self._freeze(ids, self.code(reason))

    def _freeze(self, ids: np.ndarray, code: int) -> None:
        nodes = ids[ids >= 0]
        if nodes.size:
            self._frozen.append((np.unique(nodes), code))

    def mark_reduced(self, axis: Axis) -> None:
        """Note that a reduction runs along the axis: cutting it changes the function."""
        if has_units(axis):
            self._reduced.append(np.unique(axis[axis >= 0]))

    def tie(self, one: Axis, other: Axis) -> Axis:
        """Tie entries of the same index; return the ids of the result of both.

        Layers that part the axis alike are tied one to one. A layer without a partner is frozen:
        then an entry is removed on one side exactly when it is removed on the other.
        """
        if one is other:
            return one
        if len(one) == len(other) == 1:
            layer = one[0]
            tied = self._tie_layers(layer, other[0])
            return one if tied is layer else tied[None]  # the same array, so that it is read once
        if not (has_units(one) and has_units(other)):
            plain, layered = (one, other) if has_units(other) else (other, one)
            fixed = plain[0] < UNIFORM
            for code in np.unique(plain[0][fixed]):
                self._freeze(layered[:, plain[0] == code], int(code))
            return layered
        return self._tie_layered(one, other)

    def _tie_layered(self, one: Axis, other: Axis) -> Axis:
        partitions = [_partition(layer) for layer in other]
        free = list(range(len(other)))
        ties, alone = [], []
        for layer in one:
            mine = _partition(layer)
            partner = next((k for k in free if np.array_equal(mine, partitions[k])), None)
            if partner is None:
                alone.append(layer)
            else:
                free.remove(partner)
                ties.append(self._tie_layers(layer, other[partner]))
        rest = [other[k] for k in free]
        if alone and rest:
            for single, several, whole in ((alone, rest, other), (rest, alone, one)):
                if len(single) == 1 and not ties:
                    labels = np.stack([_partition(layer) for layer in several])
                    if self.hint(single[0], labels):
                        return whole  # as it will be in the next walk
            ties.append(self._tie_layers(alone.pop(0), rest.pop(0)))
        for layer in (*alone, *rest):
            self.freeze(layer, "merged axes")
        return np.stack(ties)

    def _tie_layers(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        differs = a != b
        if not differs.any():
            return a
        units_a, units_b = a >= 0, b >= 0
        both = differs & units_a & units_b
        if both.any():
            self._edges.append(np.stack([a[both], b[both]]))
        for mine, theirs, units in ((a, b, units_a), (b, a, units_b)):
            held = units & (theirs < UNIFORM)
            if held.any():
                for code in np.unique(theirs[held]):
                    self._freeze(mine[held & (theirs == code)], int(code))
        if units_a.all():
            return a
        return np.where(units_a, a, np.where(units_b, b, np.minimum(a, b)))

    def tie_rows(self, block: np.ndarray) -> np.ndarray:
        """Tie the entries of each row of `[a, b]` ids; return `[a]` ids of the rows."""
        row = block.max(axis=1)
        for column in block.T:
            self._tie_layers(row, column)
        return row

    def hint(self, layer: np.ndarray, labels: np.ndarray) -> bool:
        """Ask that the nodes of `layer` be parted by `labels` in the next walk.

        Returns:
            Whether they will be parted, by these labels or by earlier ones.
        """
        if not (layer >= 0).all() or len(np.unique(layer)) != layer.size:
            return False
        if layer.max() >= len(self.whole):
            return False
        if self.whole[layer].all():
            self.hints.append(Hint(layer, labels))
            self.whole[layer] = False
            self._asked.update(layer.tolist())
            return True
        return self._asked.issuperset(layer.tolist())

    def solve(self) -> Solution:
        """Return the connected components of all ties."""
        edges = np.concatenate(self._edges, axis=1) if self._edges else np.zeros((2, 0), int)
        graph = coo_array((np.ones(edges.shape[1], bool), edges), shape=(self.nodes, self.nodes))
        count, component = connected_components(graph, directed=False)
        by_code: dict[int, list[np.ndarray]] = {}
        for nodes, code in self._frozen:
            by_code.setdefault(code, []).append(nodes)
        frozen = [
            (self.reasons[-2 - code], np.unique(component[np.concatenate(nodes)]))
            for code, nodes in by_code.items()
        ]
        reduced = np.concatenate([np.zeros(0, int), *self._reduced])
        return Solution(component, count, frozen, np.unique(component[reduced]))


def uniform(size: int) -> Axis:
    """Return an axis that follows any cut."""
    return np.full((1, size), UNIFORM)


def has_units(axis: Axis) -> bool:
    """Return whether any entry of the axis may be removed."""
    return bool((axis >= 0).any())


def trim(axis: Axis) -> Axis:
    """Return the axis without layers that have no units."""
    used = (axis >= 0).any(axis=1)
    return axis[used] if used.any() else axis[:1]


def merge(ledger: Ledger, axes: Sequence[Axis]) -> Axis:
    """Return the ids of axes that are merged into one, the last varying fastest."""
    sizes = [axis.shape[1] for axis in axes]
    total = int(np.prod(sizes))
    if not any(map(has_units, axes)):
        return np.full((1, total), min(int(axis.min()) for axis in axes))
    layers = []
    for place, axis in enumerate(axes):
        if has_units(axis):
            own = [layer for layer in axis if (layer >= 0).any()]
        elif axis.shape[1] > 1 and (axis == UNIFORM).all():
            own = [ledger.fresh(axis.shape[1])]  # so that it can be cut separately
        else:
            continue
        shape = [-1 if k == place else 1 for k in range(len(axes))]
        layers += [np.broadcast_to(layer.reshape(shape), sizes).ravel() for layer in own]
    return np.stack(layers)


def split(ledger: Ledger, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """Return the ids of the axes of `sizes` into which one axis is split.

    A layer that varies along only one of them belongs to that axis. Nodes that are all different
    are parted into one layer for each axis in the next walk. In this walk, and where that is not
    possible, entries with the same index of the first axis are removed together.
    """
    parts: list[list[np.ndarray]] = [[] for _ in sizes]
    rest = UNIFORM if (axis == UNIFORM).all() else ledger.code("reshape")
    for layer in axis:
        block = layer.reshape(tuple(sizes))
        if (layer < 0).all():
            rest = min(rest, int(layer.min()))
            continue
        varying = [k for k in range(len(sizes)) if (block != block.take([0], k)).any()]
        inner = block[tuple(slice(None) if k in varying else 0 for k in range(len(sizes)))]
        if len(varying) > 1:
            indices = np.indices(inner.shape).reshape(inner.ndim, -1)
            if ledger.hint(inner.ravel(), indices):
                for k in varying:
                    parts[k].append(ledger.fresh(sizes[k]))  # as it will be in the next walk
                continue
            inner = ledger.tie_rows(inner.reshape(len(inner), -1))
        parts[varying[0] if varying else 0].append(
            inner if varying else np.full(sizes[0], int(inner))
        )
    return [
        np.stack(layers) if layers else np.full((1, size), rest)
        for layers, size in zip(parts, sizes, strict=True)
    ]


def _partition(layer: np.ndarray) -> np.ndarray:
    """Return `[n]` labels in order of appearance: equal for layers that part an axis alike."""
    _, first, inverse = np.unique(layer, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
