"""Groups of units, and a table of them for users."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxcompress.text import as_html

_MOST_PARTS = 8
_MOST_REASONS = 3
_HEAD = (
    "group",
    "units",
    "parameters a unit",
    "FLOPs a unit",
    "goes with a unit: path:axis x indices",
)


class Slice(NamedTuple):
    """Where a group's units lie along one axis of one leaf.

    Attributes:
        path: of the leaf.
        axis: of the leaf.
        indices: `[units, m]`, the `m` indices of each unit, ascending.
    """

    path: str
    axis: int
    indices: np.ndarray


def places(slices: Sequence[Slice]) -> frozenset[tuple[str, int, bytes]]:
    """Return where the units of a group lie, in any order of the slices: its identity."""
    return frozenset((s.path, s.axis, np.asarray(s.indices, np.int64).tobytes()) for s in slices)


@dataclass(frozen=True, kw_only=True)
class UnitGroup:
    """Units that look alike: each has the same number of indices in the same axes.

    Attributes:
        name: the layer whose output they are.
        size: number of units.
        slices: the slices that are removed with a unit, by leaf and axis.
        changes_function: a norm, a softmax or a sum runs over the units themselves, so that
            cutting some differs from silencing them.
        parameters: entries of all leaves that belong to one unit.
        flops: operations of one call that are removed with one unit: for each leaf its operations
            times the fraction of its entries that the unit has; entries on two axes count once.
            Operations without parameters (activations, the scores of attention) are not counted.
        untried: the error of code that checks its own sizes, raised without some of the units: then
            the group was found by tracing alone, and the code must be built anew. Empty if the
            code follows.
    """

    name: str
    size: int
    slices: tuple[Slice, ...]
    changes_function: bool
    parameters: int
    flops: int = 0
    untried: str = ""


class FrozenAxis(NamedTuple):
    """Units that cannot be removed.

    Attributes:
        path: of the leaf.
        axis: of the leaf.
        entries: number of frozen entries along the axis.
        reasons: an input, an output, a constant, the name of a primitive.
    """

    path: str
    axis: int
    entries: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UnitGroups:
    """All groups of a function; `print` shows them as a table.

    Attributes:
        groups: in the order in which the function uses them.
        frozen: axes with units that cannot be removed, and why.
        unknown: primitives without a rule, and the paths that each froze.
        shapes: of every leaf, by path.
        parted: whether an axis may have units of two kinds, such as heads and places in them.
        note: a warning for users, or empty.
    """

    groups: tuple[UnitGroup, ...]
    frozen: tuple[FrozenAxis, ...]
    unknown: dict[str, tuple[str, ...]]
    shapes: dict[str, tuple[int, ...]]
    parted: bool = True
    note: str = ""

    def __iter__(self) -> Iterator[UnitGroup]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, name: str) -> UnitGroup:
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(self._unknown(name))

    def check_name(self, name: str) -> None:
        """Refuse a name that no group has.

        Raises:
            ValueError: naming the groups.
        """
        if name not in self.names:
            raise ValueError(self._unknown(name))

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse parameters of other paths or shapes than those that the groups were found for.

        Raises:
            ValueError: naming the first leaf that differs.
        """
        for path in {**self.shapes, **shapes}:
            wanted, got = self.shapes.get(path), shapes.get(path)
            if wanted is None:
                raise ValueError(
                    f"{path}: must be among the parameters that groups were found for "
                    f"({', '.join(list(self.shapes)[:3])}, ...), and is not; find the groups again."
                )
            if wanted != got:
                raise ValueError(
                    f"{path}: must have the shape that groups were found for, {wanted}, "
                    f"{'and is missing' if got is None else f'got {got}'}; find the groups again."
                )

    def _unknown(self, name: str) -> str:
        return f"{name}: no group of that name; groups: {', '.join(self.names)}."

    @property
    def names(self) -> list[str]:
        """Names of the groups."""
        return [group.name for group in self.groups]

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        rows: list[tuple[str, str, str, str, str]] = [_HEAD]
        for group in self.groups:
            parts = [
                f"{s.path}:{s.axis}" + (f" x{s.indices.shape[1]}" if s.indices.shape[1] > 1 else "")
                for s in group.slices
            ]
            mark = "  [cutting changes the function]" if group.changes_function else ""
            mark += "  [sizes not tried: rebuild the module]" if group.untried else ""
            counts = (str(group.size), f"{group.parameters:,}", f"{group.flops:,}")
            rows.append((group.name, *counts, _few(parts) + mark))
        rows += [("", "", "", "", "")] if self.frozen else []
        rows += [
            ("stays", "", "", "", f"{_few(axes)}  [{why}]")
            for why, axes in self._by_reason().items()
        ]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        lines = [
            f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
            for a, b, c, d, e in rows
        ]
        lines += [
            f"no rule for {name}: it froze {_few(paths) or 'no parameter'}"
            for name, paths in self.unknown.items()
        ]
        lines += [] if self.groups else [f"Nothing can be cut: {self._remedy()}"]
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def check_some(self) -> None:
        """Refuse an empty collection of groups.

        Raises:
            ValueError: with the reasons that freeze the units, and a remedy.
        """
        if self.groups:
            return
        by_reason = self._by_reason()
        # Reasons that users can change come first.
        why = sorted(by_reason, key=lambda why: why.startswith(("an input", "an output", "unused")))
        kept = [f"{_few(by_reason[w])} [{w}]" for w in why[:_MOST_REASONS]]
        more = f" and {len(why) - len(kept)} more reasons" if len(why) > len(kept) else ""
        raise ValueError(
            "groups: must hold a group to choose units of, got none, as these stay: "
            f"{'; '.join(kept) or 'no parameter has units'}{more}; {self._remedy()}"
        )

    def _by_reason(self) -> dict[str, list[str]]:
        result: dict[str, list[str]] = {}
        for axis in self.frozen:
            result.setdefault("; ".join(axis.reasons), []).append(f"{axis.path}:{axis.axis}")
        return result

    def _remedy(self) -> str:
        if any("code does not follow" in why for why in self._by_reason()):
            return (
                "take sizes from shapes where the code has them written down, or pass rebuild to "
                "unit_groups, which gives the function for other sizes."
            )
        return "the reasons say what keeps each axis."


def _few(parts: Sequence[str]) -> str:
    if len(parts) > _MOST_PARTS:
        parts = [*parts[: _MOST_PARTS - 1], f"and {len(parts) - _MOST_PARTS + 1} more"]
    return ", ".join(parts)
