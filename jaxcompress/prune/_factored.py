"""Second moments in two factors, as Adafactor keeps them, and what they become in a cut."""

import numpy as np

from jaxcompress.prune._owners import RESTART, Leaf, Leaves, Owner, Part, Shape, Unclear


def factored(leaves: Leaves, leaf: Leaf, owner: Owner, fresh: list[Shape] | None) -> Part | None:
    """Return what a factor of Adafactor's second moments becomes, None where it is no factor.

    `v_row` is the mean over the largest axis, `v_col` that over the second largest. After a cut
    another axis may be the largest: then the factors change places.
    """
    head, tail = leaf.path[: -len(owner.tail)], owner.tail
    field = head.rstrip("/").rpartition("/")[2]
    if field not in ("v_row", "v_col") or owner.place is not None:
        return None
    root = head.rstrip("/").removesuffix(field)
    moments = _moments(leaves, root, owner)
    if moments is None:
        return None
    full, small = leaves.shapes[owner.path], leaves.small(owner.path)
    means = dict(zip(_largest(full), moments, strict=True))  # by the axis that they are over
    over = _largest(small)
    if fresh is not None:
        there = fresh[leaves.by_path[f"{root}v_row/{tail}"].number]
        known = there == without(small, over[0])
    else:
        known = small == full or _second(small) >= _least_factored(leaves, root)
    if not known:
        raise Unclear(
            f"may not be factored at the size of the small {owner.path}, {small}; {RESTART}."
        )
    if set(over) != set(means):
        raise Unclear(
            f"is a mean over an axis that is not among the two largest of the small "
            f"{owner.path}, {small}, any more; {RESTART}."
        )
    axis = over[0] if field == "v_row" else over[1]
    return Part(means[axis].number, owner.path, without(tuple(range(len(full))), axis))


def _moments(leaves: Leaves, root: str, owner: Owner) -> tuple[Leaf, Leaf] | None:
    """Return both factors of a parameter's second moments, None where they are not factored."""
    full = leaves.shapes[owner.path]
    beside = [leaves.by_path.get(f"{root}{name}/{owner.tail}") for name in ("v_row", "v_col", "v")]
    row, col, whole = beside
    if row is None or col is None or whole is None or len(full) < 2 or whole.shape != (1,):
        return None
    first, second = _largest(full)
    fits = row.shape == without(full, first) and col.shape == without(full, second)
    return (row, col) if fits else None


def _least_factored(leaves: Leaves, root: str) -> int:
    """Return the least second largest size that is known to be factored."""
    sizes = []
    for leaf in leaves.leaves:
        if leaf.path.startswith(f"{root}v/"):
            sizes += [
                _second(leaves.shapes[owner.path])
                for owner in leaves.owners(leaf.path)
                if owner.place is None and _moments(leaves, root, owner)
            ]
    return min(sizes)


def without(values: tuple[int, ...], place: int) -> tuple[int, ...]:
    """Return all values but one."""
    return (*values[:place], *values[place + 1 :])


def by_size(shape: Shape) -> list[int]:
    """Return the axes, the smallest first, ties as Optax sorts them."""
    return np.argsort(shape).tolist()


def _largest(shape: Shape) -> tuple[int, int]:
    """Return the largest axis and the second largest."""
    *_, second, first = by_size(shape)
    return first, second


def _second(shape: Shape) -> int:
    return sorted(shape)[-2]
