"""Bits for each tensor under a budget of bytes."""

import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.quantization._sensitivity import Sensitivity

_MOST = 1 << 14  # sums that are kept


def mixed_bits(table: Sensitivity, *, budget_bytes: float) -> dict[str, int]:
    """Return the bits of each tensor with the least damage within a budget.

    Damages are assumed to add up. Tensor by tensor, the search keeps every pair of summed size and
    summed damage that no other pair beats in both, so the result is exact. Of more than 16 384
    pairs it keeps one in each of 16 384 equal parts of the spare budget, which is what the budget
    has beyond the smallest sizes. Each tensor then wastes at most one such part.

    Args:
        table: from `sensitivity`.
        budget_bytes: of all tensors in the table together.

    Returns:
        Bits by path, for `quantize`; of equal damages, those that take the fewest bytes.

    Raises:
        ValueError: a budget below the smallest size, which it names.
        TypeError: it is not a number.

    Example:
        >>> from jaxcompress.quantization import Price
        >>> a, b = {8: Price(0.1, 8), 4: Price(0.2, 4)}, {8: Price(0.1, 8), 4: Price(3.0, 4)}
        >>> mixed_bits(Sensitivity({"a": a, "b": b}), budget_bytes=12)
        {'a': 4, 'b': 8}

    Source: Yao et al. 2021 (HAWQ-V3, as an integer program), arXiv:2011.10680.
    """
    budget = int(check_positive("budget_bytes", budget_bytes, "pass the bytes of the weights"))
    all_prices = list(table.prices.values())
    smallest = [min(price.size_bytes for price in prices.values()) for prices in all_prices]
    spare = budget - sum(smallest)
    if spare < 0:
        raise ValueError(
            f"budget_bytes: must be at least {sum(smallest):,}, the smallest size of these "
            f"{len(smallest)} tensors, got {budget:,}; raise it, or measure fewer bits."
        )
    sizes, damages, survivors = np.zeros(1, np.int64), np.zeros(1), []
    for least, prices in zip(smallest, all_prices, strict=True):
        sizes = np.add.outer(sizes, [p.size_bytes - least for p in prices.values()]).ravel()
        damages = np.add.outer(damages, [p.damage for p in prices.values()]).ravel()
        kept = _worth_keeping(sizes, damages, spare)
        sizes, damages = sizes[kept], damages[kept]
        survivors.append(kept)
    chosen, place = {}, len(sizes) - 1  # the largest size has the least damage
    for (path, prices), kept in reversed(list(zip(table.prices.items(), survivors, strict=True))):
        place, option = divmod(int(kept[place]), len(prices))
        chosen[path] = list(prices)[option]
    return {path: chosen[path] for path in table.prices}


def _worth_keeping(sizes: np.ndarray, damages: np.ndarray, most: int) -> np.ndarray:
    """Return the places of the pairs that no other beats in both, by falling damage."""
    order = np.lexsort((damages, sizes))
    order = order[sizes[order] <= most]
    lowest = np.minimum.accumulate(damages[order])
    kept = order[np.append(True, lowest[1:] < lowest[:-1])]
    if len(kept) > _MOST:
        part = sizes[kept] * _MOST // (most + 1)
        kept = kept[np.append(part[1:] > part[:-1], True)]
    return kept
