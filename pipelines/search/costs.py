"""Bytes and speed of the members of a family; speeds are measured once and kept in a file."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxcompress as jc
from jaxcompress.artifact import write_atomically
from jaxcompress.costs import threads
from pipelines.errors import FolderError
from pipelines.models.classifier import Classifier
from pipelines.models.table import Inputs

BATCHES = (1, 64)  # for which speedups count
_ROUNDS = {1: 60, 64: 12}
_HOPELESS = 1.5
"""A member is not measured if it has more than so many times the operations that the speed asked
for leaves of those of the whole network."""


class Speed(NamedTuple):
    """How fast a network is, measured in turn with the whole one.

    Attributes:
        speedups: times faster than the whole network, by batch size.
        milliseconds: of a call of the largest batch: those of the whole network, measured once,
            divided by the speedup.
    """

    speedups: dict[str, float]
    milliseconds: float


def read_kept(path: Path, like: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file of a stopped search holds, nothing if there is none.

    Args:
        path: of the file.
        like: fields that it must hold with these values.

    Raises:
        FolderError: it is damaged, or of another machine or search.
    """
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError("holds no object")
    except (OSError, ValueError) as error:
        raise FolderError(f"{path}: is damaged ({error}); remove it and pass --resume.") from None
    for name, value in like.items():
        if found.get(name) != value:
            raise FolderError(
                f"{path}: {name} must be {value!r}, got {found.get(name)!r:.60}; go on where it "
                "was made, or start again with another --out."
            )
    return found


def write_kept(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON, atomically."""
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def key_of(sizes: Mapping[str, Any]) -> str:
    """Return the name of a configuration in files.

    Example:
        >>> key_of({"widths": [8, 16], "blocks": 1})
        '{"blocks": 1, "widths": [8, 16]}'
    """
    return json.dumps(sizes, sort_keys=True)


class Costs:
    """Bytes and speed of the members of the family of a classifier.

    Args:
        whole: the classifier of the whole network.
        sample: inputs, at least as many as the largest batch.
        layout: of the files.
        path: of the file of speeds; None to keep them in memory only.

    Raises:
        FolderError: the file is damaged, or of another machine.
    """

    def __init__(
        self, whole: Classifier, sample: Inputs, *, layout: str, path: Path | None = None
    ) -> None:
        self.whole = whole
        self._sample, self._layout, self._path = sample, layout, path
        self._apply, self._tree = _callable(whole)
        self._bytes: dict[str, int] = {}
        self._operations: dict[str, int] = {}
        self._machine = {
            "device": jax.devices()[0].device_kind,
            "threads": threads(),
            "jax": jax.__version__,
        }
        kept = read_kept(path, self._machine) if path else {}
        self._milliseconds: float | None = kept.get("milliseconds")
        self._speedups: dict[str, dict[str, float]] = kept.get("speedups", {})
        self.whole_bytes = self.size_bytes({})

    def shapes(self, sizes: Mapping[str, Any]) -> list[tuple[int, ...]]:
        """Return the shapes of the arrays of a network: a width may be without effect on them."""
        return [leaf.shape for leaf in jax.tree.leaves(self._member(sizes).blank())]

    def size_bytes(self, sizes: Mapping[str, Any]) -> int:
        """Return the bytes of the file of a network with random weights."""
        key = key_of(sizes)
        if key not in self._bytes:
            member = self._member(sizes)
            tree = {name: part for name, part in _callable(member)[1].items() if part}
            self._bytes[key] = jc.size_bytes(
                tree, layout=self._layout, metadata=member.as_metadata()
            )
        return self._bytes[key]

    def operations(self, sizes: Mapping[str, Any]) -> int:
        """Return the floating-point operations for one picture."""
        key = key_of(sizes)
        if key not in self._operations:
            apply, tree = _callable(self._member(sizes))
            picture = jax.tree.map(lambda rows: rows[:1], self._sample)
            self._operations[key] = jc.flops(apply, tree, picture).total
        return self._operations[key]

    def is_hopeless(self, sizes: Mapping[str, Any], speedup: float) -> bool:
        """Return whether a network has too many operations to be so fast."""
        return self.operations(sizes) * speedup > _HOPELESS * self.operations({})

    def speed(self, sizes: Mapping[str, Any]) -> Speed:
        """Return the speed of a network, measured unless it is known."""
        key = key_of(sizes)
        if key not in self._speedups:
            self._speedups[key] = self._measured(sizes)
            if self._path:
                kept = {"milliseconds": self._milliseconds, "speedups": self._speedups}
                write_kept(self._path, self._machine | kept)
        assert self._milliseconds is not None
        speedups = self._speedups[key]
        return Speed(speedups, self._milliseconds / speedups[str(max(BATCHES))])

    def _measured(self, sizes: Mapping[str, Any]) -> dict[str, float]:
        variants = {
            "whole": (self._apply, self._tree),
            "small": _callable(self._member(sizes)),
        }
        found: dict[str, float] = {}
        for batch_size in BATCHES:
            whole, small = jc.compare_latency(
                variants, self._sample, batches=batch_size, rounds=_ROUNDS[batch_size]
            ).timings
            found[str(batch_size)] = small.speedup
            if self._milliseconds is None and batch_size == max(BATCHES):
                self._milliseconds = whole.median
        return found

    def _member(self, sizes: Mapping[str, Any]) -> Classifier:
        return dataclasses.replace(self.whole, sizes=dict(sizes))


class Budget(NamedTuple):
    """What a member must not exceed.

    Attributes:
        size_bytes: of its file.
        speedup: times faster than the whole network, at each of `BATCHES`.
    """

    size_bytes: float | None = None
    speedup: float | None = None

    def is_met(self, costs: Costs, sizes: Mapping[str, Any]) -> bool:
        """Return whether a member is within the budget; it is measured only where needed."""
        if self.size_bytes is not None and costs.size_bytes(sizes) > self.size_bytes:
            return False
        if self.speedup is None:
            return True
        if costs.is_hopeless(sizes, self.speedup):
            return False
        return slowest(costs.speed(sizes)) >= self.speedup


def slowest(speed: Speed) -> float:
    """Return the least of the speedups."""
    return min(speed.speedups.values())


def _callable(classifier: Classifier) -> tuple[Any, dict[str, Any]]:
    """Return `apply(tree, inputs)` of a network, and random numbers in place of its arrays."""
    rng = np.random.default_rng(0)

    def apply(tree: Any, inputs: Inputs) -> Any:
        return classifier.apply(tree["params"], tree["stats"], inputs)

    def numbers(leaf: Any) -> np.ndarray:
        return rng.normal(scale=0.1, size=leaf.shape).astype(leaf.dtype)

    params, stats = (jax.tree.map(numbers, part) for part in classifier.blank())
    return apply, {"params": params, "stats": jax.tree.map(np.abs, stats)}  # of variances too
