"""How far off a fraction may be that was counted on a sample."""

import math

CONFIDENCE = 0.95
_Z = 1.959963984540054  # of the normal distribution, two-sided


def wilson(fraction: float, samples: int) -> tuple[float, float]:
    """Return the Wilson interval of a fraction, with a confidence of 95 %.

    `(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)`. It says what other test samples
    would change, not what another training would.

    Args:
        fraction: that was counted, in [0, 1].
        samples: how many were counted, at least 1.

    Returns:
        Its ends, in [0, 1].

    Source:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    Example:
        >>> [round(end, 4) for end in wilson(0.9, 100)]
        [0.8256, 0.9448]
    """
    z = _Z**2 / samples
    middle = (fraction + z / 2) / (1 + z)
    spread = math.sqrt(z * fraction * (1 - fraction) + z**2 / 4) / (1 + z)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def apart(first: float, second: float, samples: int) -> tuple[float, float, float]:
    """Return a difference of two fractions and its 95 % interval, for independent samples.

    Where both were counted on the same samples it is mostly too wide.

    Args:
        first: fraction, in [0, 1].
        second: that is taken from it.
        samples: of each.

    Returns:
        The difference and its ends.

    Source:
        R. G. Newcombe, Interval estimation for the difference between independent proportions,
        1998, method 10.

    Example:
        >>> [round(end, 4) for end in apart(0.7, 0.6, 100)]
        [0.1, -0.0319, 0.2272]
    """
    one, other = wilson(first, samples), wilson(second, samples)
    value = first - second
    low = math.hypot(first - one[0], other[1] - second)
    high = math.hypot(one[1] - first, second - other[0])
    return value, value - low, value + high


def paired(better: int, worse: int, samples: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two fractions, counted on the same samples.

    Args:
        better: samples that only the second one has right.
        worse: samples that only the first one has right.
        samples: all of them.

    Returns:
        Ends of the second fraction less the first.

    Source:
        Q. McNemar, Note on the sampling error of the difference between correlated proportions,
        1947.

    Example:
        >>> [round(end, 4) for end in paired(4, 10, 1000)]
        [-0.0133, 0.0013]
    """
    difference = (better - worse) / samples
    spread = _Z * math.sqrt(max(better + worse - difference**2 * samples, 0)) / samples
    return difference - spread, difference + spread
