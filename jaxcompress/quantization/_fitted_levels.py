"""Levels chosen by data for files of layout `entropy`: what data says, once, and any size of it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from jaxcompress.bounds import is_integer
from jaxcompress.leaves import dense
from jaxcompress.products.moments import Moments, input_moments
from jaxcompress.products.shrinkage import cross_validated, halves
from jaxcompress.quantization._rounding import fit_rounding
from jaxcompress.quantization._step_sizes import (
    Probe,
    round_to_step_sizes,
    step_size_sensitivity,
    step_sizes_for_damage,
)
from jaxcompress.quantization._tables import measure_tables
from jaxcompress.quantization.damages import Damage, relative_error
from jaxcompress.trees import Array, PyTree, Scope, kernels


class WeightCalibration(NamedTuple):
    """What data says about the weights of a network; good for any damage.

    Attributes:
        moments: of the inputs of its weights, those of few samples shrunk; of tables the second
            derivatives of the damage, as if the entries of a row were inputs.
        probes: the damage of each tensor's rounding, by path.
        relative: arrays that the step sizes of tensors are multiplied by, by path.
        no_curvature: why tables have no such moments; empty if they have, or there are none.
    """

    moments: Moments
    probes: dict[str, Probe]
    relative: dict[str, Array]
    no_curvature: str = ""

    def of(self, paths: Iterable[str]) -> "WeightCalibration":
        """Return the part that is about some tensors."""
        chosen = set(paths)

        def part(found: Mapping[str, Any]) -> dict[str, Any]:
            return {path: value for path, value in found.items() if path in chosen}

        moments = self.moments._replace(layers=part(self.moments.layers))
        return self._replace(
            moments=moments, probes=part(self.probes), relative=part(self.relative)
        )


def calibrate_weights(
    apply: Callable[..., PyTree],
    params: PyTree,
    batches: Iterable[PyTree],
    *,
    damage: Damage = relative_error,
    probe_batches: int = 1,
    relative: Mapping[str, Array] | None = None,
    scope: Scope = kernels,
) -> WeightCalibration:
    """Measure what `fit_levels` needs: moments of inputs, and the damage by each tensor.

    Every other batch, or row of the only one, is kept apart at first. Few samples do not show all
    inputs that will come: so a part of the moments of each layer is spread over all inputs alike,
    the part at which the batches that are kept apart are likeliest. Then each tensor is rounded
    alone, to 0.35 of its root mean square, as `fit_levels` rounds with the moments of the other
    batches, and the network runs for each tensor and probe batch. So damage is that on data by
    which levels are not chosen. In the end the moments are those of all batches, with half of the
    odds of that part.

    Tables, which are read row by row, have no inputs. Two gradients for each batch tell how the
    damage bends with their rows: so errors of a row's entries can make up for each other, and rows
    that matter more have finer steps. Damage counts the rows that were not read, as much as steps
    say that they matter. Where JAX cannot differentiate the function twice, as one with a while
    loop, tables are rounded to the nearest, and `no_curvature` says why.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of concrete arrays; compressed leaves are made dense.
        batches: of training data, each an input or a tuple of inputs; a thousand samples of all
            kinds that will come. They are held in memory.
        damage: from the outputs of a batch and those of `params` to a number; less is better. Of
            a classifier the divergence of its probabilities says more than the default.
        probe_batches: the first so many of the batches that are kept apart are those on which
            damage is measured.
        relative: arrays by path that the step sizes of a tensor are multiplied by, such as
            `row_step_sizes` for the table of words, by more text than is worth running.
        scope: which tensors; those that are all zero are left out.

    Raises:
        ValueError: no batches, or one of one sample, as `input_moments` and
            `step_size_sensitivity`, fewer than 1 probe batch.
        TypeError: as `input_moments` and `step_size_sensitivity`.

    Example:
        >>> import numpy as np
        >>> apply, params = lambda p, x: x @ p["w"], {"w": np.array([[2.0], [1.0]])}
        >>> found = calibrate_weights(apply, params, [np.array([[1.0, 1.0]]), np.array([[1, 0.9]])])
        >>> found.moments.layers["w"][0].gram.round(2).tolist(), found.probes["w"].weights
        ([[[2.0, 1.89], [1.89, 1.81]]], 2)
    """
    if not is_integer(probe_batches) or probe_batches < 1:
        raise ValueError(
            f"probe_batches: must be an integer of at least 1, got {probe_batches}; 1 is usual."
        )
    params, given = dense(params), dict(relative or {})
    parts = halves(batches)
    one, two = (input_moments(apply, params, some) for some in parts)
    tables = measure_tables(apply, params, parts, (one, two), damage=damage, scope=scope)
    few, moments = cross_validated(*tables.moments)
    relative = tables.relative | given
    probes = step_size_sensitivity(
        apply,
        params,
        parts[1][:probe_batches],
        damage=damage,
        moments=few,
        relative=relative,
        scope=scope,
        descents=0,
    )
    probes = {
        path: _seen(probe._replace(damage=probe.damage * tables.of_all(path, relative.get(path))))
        for path, probe in probes.items()
    }
    return WeightCalibration(moments, probes, relative, tables.no_curvature)


def _seen(probe: Probe) -> Probe:
    """Return a probe whose step is no coarser than the one tried where that did no damage.

    The samples that a tensor matters for may not be among those on which damage is measured.
    """
    if probe.damage > 0:
        return probe
    return probe._replace(damage=0.0, largest=min(probe.largest, probe.step_size))


def fit_levels(
    params: PyTree,
    calibration: WeightCalibration,
    *,
    damage: float,
    rate_weight: float = 0.25,
    descents: int = 0,
) -> PyTree:
    """Round weights so that outputs change little and the codes take few bits.

    Each tensor gets the step size at which all weights do equal damage, `step_sizes_for_damage`:
    the fewest bits for the sum. Then `fit_rounding` chooses the levels one input after the other,
    so that each makes up for the errors of those before it, at a price of bits. So the levels have
    short codes in layout `entropy`, which `save` chooses by default.

    At equal accuracy nets pruned by half take 0.5 to 0.7 of the bytes of `entropy_constrained`,
    which sees no data, and nets pruned by 90 % 0.7 to 0.9 (docs/results/sizes.md).

    Gathered to the host: one leaf of the calibration at a time, 5 bytes for each weight of float32.

    Args:
        params: those of the calibration, or with more zeros; weights that are 0 stay so.
        calibration: from `calibrate_weights`.
        damage: of all tensors together, above 0, as the calibration measured it. That damages add
            up is roughly true: measure what comes out. `compress` finds the one of a size.
        rate_weight: the price of bits, as in `fit_rounding`.
        descents: as in `fit_rounding`; at a price of bits they gained nothing where measured.

    Returns:
        `params` with `Quantized` leaves of 8 bits where the calibration has probes.

    Raises:
        ValueError: a damage that is not above 0, paths that the tree has not, and as
            `fit_rounding`.
        TypeError: a damage that is not a number; called under `jit`.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.quantization import Layer
        >>> layer = Layer(np.array([[[0], [1]]]), np.array([[[1.0, 0.9], [0.9, 1.0]]]))
        >>> found = WeightCalibration(
        ...     Moments({"w": [layer]}, {}), {"w": Probe(1.0, 0.1, weights=2, largest=9.0)}, {}
        ... )
        >>> params = {"w": np.array([[0.4], [0.4]])}
        >>> fit_levels(params, found, damage=0.1, rate_weight=0)["w"].values.tolist()
        [[1], [0]]

    Source: step sizes by Huang and Schultheiss 1963, doi:10.1109/TCOM.1963.1088759; levels by
    Frantar et al. 2022 (GPTQ), arXiv:2210.17323, and the price of bits in them by Conzelmann et
    al. 2025 (CERWU), arXiv:2505.18758.
    """
    steps: dict[str, float | Array] = {**step_sizes_for_damage(calibration.probes, damage=damage)}
    for path in calibration.relative.keys() & steps:
        steps[path] = steps[path] * calibration.relative[path]
    rounded = round_to_step_sizes(params, steps)
    if steps.keys().isdisjoint(calibration.moments.layers):
        return rounded
    return fit_rounding(
        params, rounded, calibration.moments, descents=descents, rate_weight=rate_weight
    )
