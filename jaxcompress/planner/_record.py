"""A profile as data: networks, their tensors, what may become of each, and what that costs."""

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.costs import LayerTime
from jaxcompress.planner._prediction import isotonic
from jaxcompress.planner._text import write
from jaxcompress.planner._words import number
from jaxcompress.text import as_html, shape_text, table_lines

Settings = dict[str, Any]
"""What becomes of a tensor, in the words of `rules` of `compress`: `{"step_size": 0.1}`."""

LEAVE = "leave"
"""A word that a person may write instead of settings: the tensor stays exactly as it is."""


OF_WEIGHTS = "weights"
"""The metric of damages that are errors of weights, as nothing can be run."""


class Choice(NamedTuple):
    """One thing that may become of a tensor.

    Attributes:
        settings: which.
        size_bytes: of its part of the file.
        error: `||a - b|| / ||a||` of its weights.
        damage: to the network, as the profile measures it.
    """

    settings: Settings
    size_bytes: float
    error: float
    damage: float = 0.0


class Tensor(NamedTuple):
    """A tensor and what may become of it.

    Attributes:
        path: of the tensor.
        shape: of the tensor.
        choices: from the coarsest to the exact one; none that takes more bytes for more damage.
        beaten: choices that one of another technique beats in bytes and damage, but none of their
            own: what each technique reaches by itself.
    """

    path: str
    shape: tuple[int, ...]
    choices: list[Choice]
    beaten: Sequence[Choice] = ()


class Speed(NamedTuple):
    """The time of one call.

    Attributes:
        batch_size: rows of the inputs.
        ms: milliseconds.
        speedup: how many times faster than the whole network.
    """

    batch_size: int
    ms: float
    speedup: float


class Anchor(NamedTuple):
    """A whole plan, as it adds up and as it is: predictions lie between such plans.

    Attributes:
        added_bytes: of its parts, each out of a file in which all tensors have the same settings;
            tensors of different settings share less.
        size_bytes: of its file.
        damage: of its parts together.
        lost: of quality; None without `evaluate`.
    """

    added_bytes: float
    size_bytes: float
    damage: float
    lost: float | None


WHOLE, TIMING = "whole", "timing"
"""Names of parts of a profile: the network from which nothing is cut, and the last part."""

CUT_ONLY = "the whole network was not measured: every plan cuts it"


class Network(NamedTuple):
    """The whole network, or a smaller one that is cut out of it.

    Attributes:
        name: "whole", "units 0.50" (kept of the units), "blocks 6".
        cut: what is removed: nothing, `{"units": {group: kept}}` or `{"blocks": kept}`.
        parameters: numbers in all tensors.
        flops: of one call of the example; None if it cannot be run.
        memory_bytes: of one call at the largest batch size; None if unknown.
        latency: by batch size; empty if it cannot be run.
        beside_bytes: of a file, beside the tensors with choices.
        damage: of the cut to the outputs, after a short training where there is one.
        trained_steps: of that training.
        tensors: that have a choice, in the order of the tree.
        anchors: whole plans that were made, the smallest first.
    """

    name: str
    cut: dict[str, Any]
    parameters: int
    flops: int | None
    memory_bytes: int | None
    latency: list[Speed]
    beside_bytes: float
    damage: float
    trained_steps: int
    tensors: list[Tensor]
    anchors: list[Anchor]

    @property
    def reachable(self) -> tuple[float, float]:
        """Bytes of the smallest and of the largest file."""
        sizes = [[choice.size_bytes for choice in tensor.choices] for tensor in self.tensors]
        least, most = sum(map(min, sizes)), sum(map(max, sizes))
        return self.file_bytes(self.beside_bytes + least), self.file_bytes(self.beside_bytes + most)

    def with_more(self, more: float) -> "Network":
        """Return it with so many more bytes in each file."""
        anchors = [
            each._replace(added_bytes=each.added_bytes + more, size_bytes=each.size_bytes + more)
            for each in self.anchors
        ]
        return self._replace(beside_bytes=self.beside_bytes + more, anchors=anchors)

    @property
    def losses(self) -> list[tuple[float, float]]:
        """Damage and loss of quality of plans that were evaluated."""
        return [(each.damage, each.lost) for each in self.anchors if each.lost is not None]

    def file_bytes(self, added: float) -> float:
        """Return the bytes of a file whose parts add up to that, between those of files made."""
        return _along(self._files, added, of=0)

    def added_bytes(self, size: float) -> float:
        """Return what the parts of a file of that size add up to; `file_bytes` gives the size."""
        return _along(self._files, size, of=1)

    @property
    def _files(self) -> list[tuple[float, float]]:
        """Bytes as they add up and of files, both rising: an outlier moves none but itself."""
        if not self.anchors:
            return []
        anchors = sorted(self.anchors)
        sizes = isotonic(np.array([each.size_bytes for each in anchors], np.float64))
        found: dict[float, list[float]] = {}
        for each, size in zip(anchors, sizes.tolist(), strict=True):
            found.setdefault(size, []).append(each.added_bytes)
        return [(sum(added) / len(added), size) for size, added in found.items()]


def _along(pairs: Sequence[tuple[float, float]], value: float, *, of: int) -> float:
    """Return what stands with a value of one side of pairs on the other; beyond them as far off."""
    if not pairs or not math.isfinite(value):
        return value
    known = np.array(pairs)
    nearest = float(np.clip(value, known[0, of], known[-1, of]))
    return float(np.interp(nearest, known[:, of], known[:, 1 - of])) + value - nearest


class Parts(NamedTuple):
    """Which tensors a cut changes, by path.

    Attributes:
        units: by group, the tensors in which its units have entries.
        blocks: those in blocks that may be dropped.
    """

    units: dict[str, list[str]]
    blocks: list[str]


class Quality(NamedTuple):
    """What `evaluate` says of the network.

    Attributes:
        value: mean of two calls.
        noise: standard deviation of one call.
    """

    value: float
    noise: float


class Profile(NamedTuple):
    """The costs and damages of all choices; `print` shows what can be reached.

    Attributes:
        network: digest of paths, shapes and weights.
        architecture: as the trace shows it: convolutional, transformer, recurrent or dense.
        parameters: numbers in all tensors.
        dense_bytes: of all tensors without compression.
        metric: what damages are: `relative_error` or `kl_divergence` of the outputs, the name of
            yours, or `weights`, where they are errors of these.
        is_trained: whether a plan may fine-tune.
        learning_rate: of fine-tuning; None without.
        quality: None without `evaluate`.
        networks: the whole one first.
        kept: paths by the reason for which tensors have no choice.
        limits: what cannot be planned, and why.
        leave: patterns of paths of tensors that no plan may change; yours to edit.
        unfinished: what is still to be measured: name and cut of networks, and the timing.
        parts: which tensors the cuts change.
        layers: times of the products of the whole network, each measured by itself.
    """

    network: str
    architecture: str
    parameters: int
    dense_bytes: int
    metric: str
    is_trained: bool
    learning_rate: float | None
    quality: Quality | None
    networks: list[Network]
    kept: dict[str, list[str]]
    limits: list[str]
    leave: list[str]
    unfinished: dict[str, dict[str, Any]]
    parts: Parts
    layers: list[LayerTime]

    @property
    def is_measured(self) -> bool:
        """Whether damages are those of outputs; else they are those of weights."""
        return self.metric != OF_WEIGHTS

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a text file that may be edited."""
        write(path, "profile", self)

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        """Return what can be reached, and a line a layer."""
        head = f"{self.architecture}, {self.parameters:,} parameters, {self.dense_bytes:,} bytes"
        if self.quality is not None:
            head += f", quality {number(self.quality.value)} (noise {number(self.quality.noise)})"
        head += f", damages are {self.metric}"
        batches = [t.batch_size for t in self.networks[0].latency] if self.networks else []
        rows = [["network", "parameters", "bytes from", "to", "quality lost", "to"]]
        rows[0] += [f"ms, batch {batch}" for batch in batches] + ["times faster"] * bool(batches)
        for network in self.networks:
            lost = [each for _, each in network.losses]
            rows.append(
                [
                    network.name,
                    f"{network.parameters:,}",
                    *map(number, network.reachable),
                    *(number(end(lost)) if lost else "?" for end in (min, max)),
                    *(f"{t.ms:.3g}" for t in network.latency),
                    *[" ".join(f"{t.speedup:.2f}" for t in network.latency)] * bool(batches),
                ]
            )
        lines = [head, *table_lines(rows)]
        if self.networks:
            lines += table_lines(_by_tensor(self.networks[0].tensors, self.layers), left=2)
        lines += [f"{why}: {', '.join(paths)}" for why, paths in self.kept.items()]
        return "\n".join([*lines, *self.limits])


_HEAD = ["tensor", "shape", "choices", "bytes from", "to", "damage from", "to"]


def _by_tensor(tensors: Sequence[Tensor], layers: Sequence[LayerTime]) -> list[list[str]]:
    """Return a line a tensor: its choices, and the time of its products in the whole network."""
    batches = sorted({layer.batch_size for layer in layers})
    rows = [[*_HEAD, *(f"ms, batch {batch}" for batch in batches)]]
    times: dict[tuple[str, int], float] = defaultdict(float)
    for layer in layers:
        times[layer.path, layer.batch_size] += layer.ms
    for tensor in tensors:
        sizes = [choice.size_bytes for choice in tensor.choices]
        damages = [choice.damage for choice in tensor.choices if choice.damage] or [0.0]
        ends = map(number, (min(sizes), max(sizes), min(damages), max(damages)))
        own = [f"{times[tensor.path, batch]:.3g}" for batch in batches]
        rows.append([tensor.path, shape_text(tensor.shape), str(len(sizes)), *ends, *own])
    return rows
