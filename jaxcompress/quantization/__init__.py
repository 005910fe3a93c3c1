"""Quantization: numbers of few bits, by range, by data, by training and by measured damage.

From the bottom up: `grids` (the arithmetic), `_granularity` (how many grids a tensor has),
`ranges` (what a grid covers), `_quantize` (weights on grids); `_histogram` and `calibration`
(activations on data), `_fake_quantized` (simulated integers), `_learned` and `_aware` (training);
`_rounding`, `_bias_correction` (less damage), `_sensitivity`, `_mixed_bits`, `_step_sizes` (bits
where they matter).
"""

from jaxcompress.quantization._aware import QuantizationAware, quantization_aware
from jaxcompress.quantization._bias_correction import correct_biases
from jaxcompress.quantization._fake_quantized import Bits, fake_quantized
from jaxcompress.quantization._granularity import Granularity, per_block, per_channel, per_tensor
from jaxcompress.quantization._histogram import Histogram
from jaxcompress.quantization._mixed_bits import mixed_bits
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization._rounding import fit_rounding
from jaxcompress.quantization._sensitivity import (
    Damage,
    Price,
    Sensitivity,
    relative_error,
    sensitivity,
)
from jaxcompress.quantization._step_sizes import (
    Probe,
    round_to_steps,
    step_sensitivity,
    steps_for_damage,
)
from jaxcompress.quantization.calibration import Ranges, calibrate
from jaxcompress.quantization.grids import Grid, Steps, make_grid
from jaxcompress.quantization.ranges import (
    Estimator,
    Range,
    Samples,
    kl_optimal,
    min_max,
    mse_optimal,
    percentile,
)

__all__ = [
    "Bits",
    "Damage",
    "Estimator",
    "Granularity",
    "Grid",
    "Histogram",
    "Price",
    "Probe",
    "QuantizationAware",
    "Range",
    "Ranges",
    "Samples",
    "Sensitivity",
    "Steps",
    "calibrate",
    "correct_biases",
    "fake_quantized",
    "fit_rounding",
    "kl_optimal",
    "make_grid",
    "min_max",
    "mixed_bits",
    "mse_optimal",
    "per_block",
    "per_channel",
    "per_tensor",
    "percentile",
    "quantization_aware",
    "quantize",
    "relative_error",
    "round_to_steps",
    "sensitivity",
    "step_sensitivity",
    "steps_for_damage",
]
