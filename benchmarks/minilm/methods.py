"""Ways to make MiniLM smaller after training; `run` compares them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from jaxcompress.quantization import Moments, Probe, WeightCalibration
from jaxcompress.typing import PyTree

WEIGHTS = jc.scopes.matching(r"(^|/)(kernel|embedding)$")
"""Kernels and embeddings; biases of attention are of rank 2 too."""

MANY, FEW = 1024, 32
"""Texts of which moments are taken, and of which damage is measured, dozens of times."""

LEVELS = ((MANY, 0.0035), (MANY, 0.0107), (FEW, 0.0035), (FEW, 0.0107))
"""Texts and damages of `fit_levels`."""

TABLE = "words/embedding"

ALONE, DAMAGES = 0.0025, (0.0012, 0.0025, 0.006, 0.018)
"""Distances that the step sizes of all tensors shall add up to, with one for all words and by how
often each is read."""


class Given:
    """What ways may use: the network and sentences for calibration, none that it is judged by.

    Args:
        apply: of the network.
        params: of it.
        batches: of tokens of some sentences.
        counts: of each token, in more of them.
        first: batches of the first `FEW` of these sentences.
    """

    def __init__(
        self,
        apply: Callable[..., Any],
        params: PyTree,
        batches: list[np.ndarray],
        counts: np.ndarray,
        first: list[np.ndarray],
    ) -> None:
        self.apply, self.params, self.batches, self.first = apply, params, batches, first
        self.by_row = {TABLE: jc.quantization.row_step_sizes(counts)}
        self.compiled = jc.jit_for_inference(apply)
        self.few = batches[len(batches) // 2][:FEW]

    @functools.cached_property
    def channels(self) -> Callable[[str, Any], tuple[int, ...]]:
        """A grid for each output of a layer, and for each word."""
        axes = jc.quantization.channel_axes(self.apply, self.params, self.few)
        return jc.quantization.per_channel(
            {"words/embedding": (0,), "positions/embedding": (0,)} | axes
        )

    @functools.cached_property
    def moments(self) -> Moments:
        """Of what the layers are fed."""
        return jc.quantization.input_moments(self.apply, self.params, self.batches)

    @functools.cache  # noqa: B019
    def probes(self, *, by_row: bool) -> dict[str, Probe]:
        """Damage by the rounding of each tensor, fitted."""
        return jc.quantization.step_size_sensitivity(
            self.apply,
            self.params,
            [self.few],
            damage=distance,
            moments=self.moments,
            relative=self.by_row if by_row else None,
            scope=WEIGHTS,
        )

    @functools.cache  # noqa: B019
    def calibration(self, texts: int) -> WeightCalibration:
        """What so many texts say, of all lengths."""
        order = np.random.default_rng(0).permutation(len(self.batches))
        batches = self.first if texts == FEW else [self.batches[i] for i in order]
        return jc.quantization.calibrate_weights(
            self.apply, self.params, batches, damage=distance, relative=self.by_row, scope=WEIGHTS
        )

    def loss(self, params: PyTree) -> float:
        """Return the distance of the embeddings from those of the whole network."""
        return float(distance(*(self.compiled(p, self.few) for p in (params, self.params))))


def distance(outputs: jax.Array, exact: jax.Array) -> jax.Array:
    """Return 1 less the mean cosine."""
    return 1 - jnp.mean(jnp.sum(unit(outputs) * unit(exact), axis=-1))


def unit(vectors: jax.Array | np.ndarray) -> jax.Array:
    """Return vectors of length 1."""
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)


def _integers(bits: int | Mapping[str, int]) -> Callable[[Given], PyTree]:
    return lambda given: jc.quantize(given.params, bits, granularity=given.channels, scope=WEIGHTS)


def _fitted(bits: int) -> Callable[[Given], PyTree]:
    return lambda given: jc.fit_rounding(given.params, _integers(bits)(given), given.moments)


def _mixed(bits: float) -> Callable[[Given], PyTree]:
    """3, 4 or 6 bits a weight, so many on average, by what each tensor's rounding damages."""

    def compress(given: Given) -> PyTree:
        table = jc.quantization.sensitivity(
            given.apply,
            given.params,
            [given.few],
            bits=(6, 4, 3),
            damage=distance,
            quantizer=lambda params, bits: _integers(bits)(given),
        )
        weights = sum(leaf.size for leaf in jax.tree.leaves(given.params) if leaf.ndim > 1)
        chosen = jc.quantization.mixed_bits(table, budget_bytes=bits / 8 * weights)
        return jc.fit_rounding(given.params, _integers(chosen)(given), given.moments)

    return compress


def _step_sizes(
    damage: float, *, by_row: bool = False, rate_weight: float = 0.0
) -> Callable[[Given], PyTree]:
    """Return step sizes of equal damage; those of words by how often each is read, if so asked."""

    def compress(given: Given) -> PyTree:
        probes = given.probes(by_row=by_row)
        steps: dict[str, Any] = {**jc.quantization.step_sizes_for_damage(probes, damage=damage)}
        if by_row:
            steps[TABLE] = steps[TABLE] * given.by_row[TABLE]
        rounded = jc.quantization.round_to_step_sizes(given.params, steps)
        return jc.fit_rounding(
            given.params, rounded, given.moments, descents=0, rate_weight=rate_weight
        )

    return compress


def _levels(texts: int, damage: float) -> Callable[[Given], PyTree]:
    return lambda given: jc.quantization.fit_levels(
        given.params, given.calibration(texts), damage=damage
    )


def _blocks(count: int) -> Callable[[Given], PyTree]:
    """Keep so many blocks: each round removes the one whose loss changes the embeddings least."""

    def compress(given: Given) -> PyTree:
        params = given.params
        for left in range(jc.prune.count_blocks(params, "blocks") - 1, count - 1, -1):
            importance = jc.prune.block_importance(given.loss, params, "blocks")
            rule = jc.prune.important_blocks(importance)
            keep = jc.choose_blocks(params, "blocks", keep=left, rule=rule)
            params = jc.drop_blocks(params, "blocks", keep=keep)
        return jc.quantize(params, granularity=given.channels, scope=WEIGHTS)

    return compress


def _units(fraction: float, axis: str) -> Callable[[Given], PyTree]:
    """Remove a fraction of the units of each layer; `axis` ends the names of their groups."""

    def compress(given: Given) -> PyTree:
        groups = jc.unit_groups(given.apply, given.params, given.few)
        removed = {group.name: fraction for group in groups.groups if group.name.endswith(axis)}
        score = jc.prune.activation_score(given.apply, given.few)
        keep = jc.choose_units(given.params, groups, remove=removed, score=score)
        small = jc.shrink(given.params, groups, keep)
        return jc.quantize(small, granularity=given.channels, scope=WEIGHTS)

    return compress


def _factors(ratio: float, *, aware: bool) -> Callable[[Given], PyTree]:
    def compress(given: Given) -> PyTree:
        thin = jc.low_rank(
            given.params,
            keep=ratio,
            split=jc.lowrank.summed_axes(given.apply, given.params, given.few),
            moments=given.moments if aware else None,
            scope=jc.scopes.matching(r"/kernel$"),
        )
        return jc.quantize(thin)

    return compress


class Method(NamedTuple):
    """A row of the table.

    Attributes:
        name: what is done.
        compress: does it.
        layout: of the file.
    """

    name: str
    compress: Callable[[Given], PyTree]
    layout: str = "packed"


METHODS = [
    Method("INT8", _integers(8)),
    Method("INT4", _integers(4)),
    Method("INT4, fitted rounding", _fitted(4)),
    Method("3, 4 or 6 bits, 4.5 on average, fitted rounding", _mixed(4.5)),
    *(Method(f"{count} of 6 blocks, INT8", _blocks(count)) for count in (5, 4, 3)),
    Method("10 of 12 heads, INT8", _units(1 / 6, "query/kernel:1")),
    Method("3/4 of the MLPs, INT8", _units(1 / 4, "dense1")),
    Method("SVD, 3/4 of the kernels, INT8", _factors(0.75, aware=False)),
    Method("SVD weighed by inputs, 3/4 of the kernels, INT8", _factors(0.75, aware=True)),
    Method(f"measured step sizes, damage {ALONE}", _step_sizes(ALONE), "entropy"),
    Method(
        f"measured step sizes, a price of bits, damage {ALONE}",
        _step_sizes(ALONE, rate_weight=0.5),
        "entropy",
    ),
    *(
        Method(
            f"measured step sizes, a price of bits, words by frequency, damage {damage}",
            _step_sizes(damage, by_row=True, rate_weight=0.5),
            "entropy",
        )
        for damage in DAMAGES
    ),
    *(
        Method(
            f"levels by data, {texts:,} sentences, damage {damage}",
            _levels(texts, damage),
            "entropy",
        )
        for texts, damage in LEVELS
    ),
]
