"""Quantization: numbers of few bits, by range, by data, by training and by measured damage.

From the bottom up: `grids` (the arithmetic), `_granularity` (how many grids a tensor has), `_axes`,
`ranges`, `_relative`, `_rows`, `_least_error` (what a grid covers), `_quantize` (weights on grids);
`_histogram` and `calibration` (activations on data), `_fake_quantized` (simulated integers),
`_learned` and `_aware` (training), `_density` and `_rate` (training for few bits); `_levels`,
`_rounding`, `_balance`, `_bias_correction` (less damage at the same bits); `damages` (of changed
parameters to the outputs), `_sensitivity`, `_mixed_bits`, `_step_sizes` (more bits for the tensors
that need them); `_tables` (second derivatives of damage), `_fitted_levels` (all together),
`_rate_gaps` (bits beside their limit).

    balance_rounding       rounding whose errors cancel in each output, without data
    best_axis              the axis along which grids of their own pay most
    Bits                   of an integer, for all layers or by name
    calibrate              histograms of the inputs of each product, on data
    calibrate_weights      what data says about weights, for `fit_levels`
    channel_axes           the axes of each weight along which its output channels lie
    correct_biases         correct the mean of each channel for the rounding of weights
    Damage                 from outputs and exact outputs to a number
    equalize               make ranges of weights equal across layers
    Estimator              decides from samples which range a grid covers
    fake_quantized         simulate integers in the products of a function
    few_digits             round scales up to 8 binary digits
    fit_levels             levels of few bits that change the outputs little, by data
    fit_rounding           round weights so that the outputs of layers change little
    fold_norms             fold norms into the weights before them
    folded_layers          the layers that `fold_norms` folds
    FoldedLayer            a product whose norm is folded
    free_numbers           what an optimizer may change while levels are frozen
    Granularity            decides by path and leaf how many grids there are
    Grid                   the integers that numbers are rounded to
    Histogram              how often numbers occurred
    histogram              what a reading says
    input_moments          second moments of the inputs of weights
    kl_optimal             clip where most of the information is kept
    Layer                  weights with the same inputs, and the moments of those inputs
    level_bits             the bits that levels take under a density
    LevelDensity           a mixture of logistics, with widths of rows and columns
    make_grid              the grid of so many bits
    min_max                cover everything
    mixed_bits             bits for each tensor with the least damage within a budget
    Moments                second moments of the inputs of a network's weights
    MOST_BITS              the most bits of a grid
    mse_optimal            search for the range of least squared error
    per_best_axis          one grid for each index of the axis that the weights ask for
    per_block              one grid for each block of entries along an axis
    per_channel            one grid for each index of an axis, or of several
    per_tensor             one grid for all entries
    percentile             cover a fraction of the numbers that are not zero
    Price                  damage and bytes of what is changed
    Probe                  the damage of one tensor's rounding at a step size
    QParams                scale and zero point: `number = scale * (integer - zero_point)`
    quantization_aware     train a function with rounded weights and activations
    QuantizationAware      a function with simulated integers in its products
    quantize               round the leaves in the scope to grids of integers, as `Quantized` leaves
    Quantizer              from a tree and a number of bits to the tree with `Quantized` leaves
    Range                  what a grid covers; the rest is clipped
    Ranges                 histograms of the inputs of each product, by name
    rate_aware             train a function for accuracy and for few bits of its weights
    RateAware              a function with rounded weights, and the price of their levels
    rate_gaps              bits of levels above the limit of rate-distortion theory
    RateGap                bits of a tensor's levels, and their limit
    read                   the reading of an array
    Reading                counts of the numbers of an array
    relative_error         `sum((outputs - exact)^2) / sum(exact^2)`
    relative_step          steps that are a fraction of the weights of their grid
    round_to_step_sizes    round tensors to multiples of their step sizes
    row_step_sizes         step sizes of the rows of a table, by how often each is read
    Samples                numbers to be rounded, one row for each grid
    Sensitivity            the price of each tensor at each number of bits, as a table
    sensitivity            the damage by each tensor alone, all others exact
    step_size_sensitivity  the damage of each tensor at a step size of its own
    step_sizes_for_damage  the step sizes that take the fewest bits for a damage
    usual_estimator        the default range of activations
    usual_range            the default range of weights
    WeightCalibration      what data says about the weights of a network
    with_numbers           put numbers back that an optimizer has changed
"""

from jaxcompress.products.moments import Layer, Moments, input_moments
from jaxcompress.products.weights import channel_axes
from jaxcompress.quantization._aware import QuantizationAware, quantization_aware
from jaxcompress.quantization._axes import best_axis, per_best_axis
from jaxcompress.quantization._balance import balance_rounding
from jaxcompress.quantization._bias_correction import correct_biases
from jaxcompress.quantization._density import LevelDensity, level_bits
from jaxcompress.quantization._fake_quantized import Bits, fake_quantized
from jaxcompress.quantization._fitted_levels import (
    WeightCalibration,
    calibrate_weights,
    fit_levels,
)
from jaxcompress.quantization._granularity import Granularity, per_block, per_channel, per_tensor
from jaxcompress.quantization._histogram import Histogram, Reading, histogram, read
from jaxcompress.quantization._least_error import mse_optimal
from jaxcompress.quantization._mixed_bits import mixed_bits
from jaxcompress.quantization._quantize import quantize, usual_range
from jaxcompress.quantization._rate import RateAware, free_numbers, rate_aware, with_numbers
from jaxcompress.quantization._rate_gaps import RateGap, rate_gaps
from jaxcompress.quantization._relative import few_digits, relative_step
from jaxcompress.quantization._rounding import fit_rounding
from jaxcompress.quantization._sensitivity import (
    Quantizer,
    Sensitivity,
    sensitivity,
)
from jaxcompress.quantization._step_sizes import (
    Probe,
    round_to_step_sizes,
    row_step_sizes,
    step_size_sensitivity,
    step_sizes_for_damage,
)
from jaxcompress.quantization.calibration import Ranges, calibrate, usual_estimator
from jaxcompress.quantization.damages import Damage, Price, relative_error
from jaxcompress.quantization.grids import MOST_BITS, Grid, QParams, make_grid
from jaxcompress.quantization.ranges import (
    Estimator,
    Range,
    Samples,
    kl_optimal,
    min_max,
    percentile,
)
from jaxcompress.rewrite import FoldedLayer, equalize, fold_norms, folded_layers

__all__ = [
    "Bits",
    "Damage",
    "Estimator",
    "FoldedLayer",
    "Granularity",
    "Grid",
    "Histogram",
    "Layer",
    "LevelDensity",
    "MOST_BITS",
    "Moments",
    "Price",
    "Probe",
    "QParams",
    "QuantizationAware",
    "Quantizer",
    "Range",
    "Ranges",
    "RateAware",
    "RateGap",
    "Reading",
    "Samples",
    "Sensitivity",
    "WeightCalibration",
    "balance_rounding",
    "best_axis",
    "calibrate",
    "calibrate_weights",
    "channel_axes",
    "correct_biases",
    "equalize",
    "fake_quantized",
    "few_digits",
    "fit_levels",
    "fit_rounding",
    "fold_norms",
    "folded_layers",
    "free_numbers",
    "histogram",
    "input_moments",
    "kl_optimal",
    "level_bits",
    "make_grid",
    "min_max",
    "mixed_bits",
    "mse_optimal",
    "per_best_axis",
    "per_block",
    "per_channel",
    "per_tensor",
    "percentile",
    "quantization_aware",
    "quantize",
    "rate_aware",
    "rate_gaps",
    "read",
    "relative_error",
    "relative_step",
    "round_to_step_sizes",
    "row_step_sizes",
    "sensitivity",
    "step_size_sensitivity",
    "step_sizes_for_damage",
    "usual_estimator",
    "usual_range",
    "with_numbers",
]
