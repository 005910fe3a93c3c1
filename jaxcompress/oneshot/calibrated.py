"""Compression without training, with data: levels by a calibration, for a damage or a size."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.artifact.repeats import Repeat
from jaxcompress.bounds import check_positive
from jaxcompress.oneshot.outcomes import Outcome
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.stream import Pruning
from jaxcompress.oneshot.target import CLOSE, MARGIN, ROUNDS
from jaxcompress.quantization import WeightCalibration, fit_levels
from jaxcompress.trees import some_of

Leaves = tuple[list[tuple[str, Any]], list[Outcome]]
"""Path and leaf of all tensors, and what became of each."""

_LEAST, _MOST = -40.0, 20.0  # binary logarithms of damages that are tried, over the usual one
_SAME = 0.02  # of logarithms


class Calibrated(NamedTuple):
    """Weights to be fitted.

    Attributes:
        pruning: which weights are kept, and where they come from.
        treatments: of the tensors that the calibration does not know.
        calibration: of the others.
    """

    pruning: Pruning
    treatments: Treatments
    calibration: WeightCalibration

    def leaves(self, damage: float) -> Leaves:
        """Return all leaves at a damage."""
        numbers = {path: index for index, path in enumerate(self.pruning.source.paths)}
        tensors = {path: self.pruning.pruned(numbers[path]) for path in self.calibration.probes}
        fitted = fit_levels(tensors, self.calibration, damage=damage)
        found, outcomes = [], []
        for index, path in enumerate(self.pruning.source.paths):
            leaf, outcome = self.pruning.treat(index, self.treatments, fitted.get(path))
            found.append((path, leaf))
            outcomes.append(outcome)
        return found, outcomes

    def usual(self) -> float:
        """Return the damage of all probes together: about two bits a weight."""
        return sum(probe.damage for probe in self.calibration.probes.values()) or 1.0

    def doubling(self) -> float:
        """Return by how many bytes files become smaller with twice the damage."""
        return sum(probe.weights for probe in self.calibration.probes.values()) / 16


def calibrated(
    pruning: Pruning, treatments: Treatments, calibration: WeightCalibration
) -> Calibrated:
    """Return the weights that a calibration is about.

    Raises:
        ValueError: it is about other weights, or about none that are compressed.
    """
    known = pruning.source.paths
    if missing := [path for path in calibration.probes if path not in known]:
        raise ValueError(
            f"calibration: must be of these weights, got that of {some_of(missing)}; calibrate the "
            "tree that is compressed."
        )
    # Equal tensors too: each has inputs and a damage of its own, so levels of its own.
    pairs = zip(pruning.source.paths, pruning.kept, strict=True)
    paths = [path for path, why in pairs if why is None]
    fitting = [path for path in paths if path in calibration.probes and treatments.aims(path)]
    if not fitting:
        raise ValueError(
            f"calibration: must be of tensors that are compressed, got {some_of(paths) or 'none'} "
            "without a probe or with rules of their own; widen its scope."
        )
    fitted = {index for index, path in enumerate(known) if path in fitting}
    others = {n: first for n, first in pruning.repeats.items() if not fitted & {n, first}}
    return Calibrated(replace(pruning, repeats=others), treatments, calibration.of(fitting))


def in_full(leaves: Sequence[tuple[str, Any]]) -> list[Any]:
    """Return leaves by place, the first of equal ones in place of what stands for it."""
    return [leaves[leaf.tensor][1] if isinstance(leaf, Repeat) else leaf for _, leaf in leaves]


def check_calibration(
    calibration: WeightCalibration | None,
    damage: float | None,
    target_bytes: int | None,
    others: Mapping[str, Any],
) -> None:
    """Refuse arguments that do not go together.

    Args:
        calibration: of `compress`.
        damage: of `compress`.
        target_bytes: of `compress`.
        others: arguments that say how fine steps are.

    Raises:
        ValueError: arguments that do not go together, a damage that is not above 0.
    """
    if calibration is None:
        if damage is not None:
            raise ValueError(
                "damage: needs a calibration, as measured damage tells the step sizes; pass "
                "calibration=quantization.calibrate_weights(...)."
            )
        return
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"{name}: does not go with a calibration, which chooses step sizes by damage; "
                "leave one of the two out."
            )
    if (damage is None) == (target_bytes is None):
        raise ValueError(
            "damage: a calibration needs a damage or target_bytes, got "
            f"{'neither' if damage is None else 'both'}; pass one."
        )
    if damage is not None:
        check_positive("damage", damage, "pass that of all tensors together, as was measured")


def within(
    found: Calibrated, target_bytes: int, write_to: Callable[[Path, Sequence[tuple[str, Any]]], int]
) -> Leaves:
    """Return the leaves of the largest file that fits, by secants of its size over the damage.

    Args:
        found: the weights.
        target_bytes: largest size of the file.
        write_to: makes a file of leaves, and returns its bytes.

    Raises:
        ValueError: no file fits; the message names the smallest size.
    """
    best: Leaves = [], []
    best_size, goal = 0, MARGIN * target_bytes
    low, high = _LEAST, _MOST  # files are too large at the one, and fit at the other
    tried: list[tuple[float, int]] = []
    power, usual = 0.0, found.usual()
    for _ in range(ROUNDS):
        leaves = found.leaves(usual * 2.0**power)
        with tempfile.TemporaryDirectory() as folder:
            size = write_to(Path(folder, "attempt.npz"), leaves[0])
        tried.append((power, size))
        if best_size < size <= target_bytes:
            best, best_size = leaves, size
        if CLOSE * target_bytes <= size <= target_bytes:
            break
        low, high = (low, power) if size <= target_bytes else (power, high)
        has_end = len(tried) > 1 and tried[-2][1] == size  # neither finer nor coarser steps
        if has_end or high - low < _SAME:
            break
        power = _next(tried, goal, found.doubling())
        if not low < power < high:
            power = (max(low, power - 4) + min(high, power + 4)) / 2
            power = power if low < power < high else (low + high) / 2
    if not best_size:
        raise ValueError(
            f"target_bytes: a file of at most {target_bytes:,} bytes cannot be made, the smallest "
            f"has {min(size for _, size in tried):,}; raise it, remove more weights, or take more "
            "tensors into the scope of the calibration."
        )
    return best


def _next(tried: list[tuple[float, int]], goal: float, doubling: float) -> float:
    """Return the damage at which the line through the two sizes nearest to the goal meets it."""
    (power, size), *others = sorted(tried, key=lambda one: abs(one[1] - goal))
    slope = -doubling
    if others and others[0][1] != size:
        slope = min((others[0][1] - size) / (others[0][0] - power), -doubling / 16)
    return power + (goal - size) / slope
