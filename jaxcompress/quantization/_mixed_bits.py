"""Which bits each tensor gets under a budget of bytes."""

import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.quantization._sensitivity import Sensitivity

_MOST = 1 << 14  # sums that are followed


def mixed_bits(table: Sensitivity, *, budget_bytes: float) -> dict[str, int]:
    """Return bits for each tensor that damage least within a budget, taking damages to add up.

    Tensor by tensor all sums of size and damage are kept that no other beats in both: the result
    is exact. Where these are more than 16 384, only the last is kept in each of so many equal parts
    of what the budget leaves beyond the smallest size; a part a tensor is lost of it at most.

    Args:
        table: from `sensitivity`.
        budget_bytes: of all tensors in the table together.

    Returns:
        Bits by path, for `quantize`; of equal damages those of the fewest bytes.

    Raises:
        ValueError: a budget below the smallest size, which it names.
        TypeError: it is no number.

    Example:
        >>> from jaxcompress.quantization._sensitivity import Price
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
    sizes, damages, steps = np.zeros(1, np.int64), np.zeros(1), []
    for least, prices in zip(smallest, all_prices, strict=True):
        sizes = np.add.outer(sizes, [p.size_bytes - least for p in prices.values()]).ravel()
        damages = np.add.outer(damages, [p.damage for p in prices.values()]).ravel()
        kept = _worth_keeping(sizes, damages, spare)
        sizes, damages = sizes[kept], damages[kept]
        steps.append(kept)
    chosen, place = {}, len(sizes) - 1  # the largest size has the least damage
    for (path, prices), kept in reversed(list(zip(table.prices.items(), steps, strict=True))):
        place, option = divmod(int(kept[place]), len(prices))
        chosen[path] = list(prices)[option]
    return {path: chosen[path] for path in table.prices}


def _worth_keeping(sizes: np.ndarray, damages: np.ndarray, most: int) -> np.ndarray:
    """Return the places of those that no other beats in both, by falling damage."""
    order = np.lexsort((damages, sizes))
    order = order[sizes[order] <= most]
    lowest = np.minimum.accumulate(damages[order])
    kept = order[np.append(True, lowest[1:] < lowest[:-1])]
    if len(kept) > _MOST:
        part = sizes[kept] * _MOST // (most + 1)
        kept = kept[np.append(part[1:] > part[:-1], True)]
    return kept
