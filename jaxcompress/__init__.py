"""Compress neural networks in JAX: prune, share weights, pack into one small `.npz`.

Everything is a pure function over pytrees or an optax transform; `import jaxcompress as jc`.
"""

from jaxcompress.artifact.errors import ArtifactError
from jaxcompress.cluster import (
    entropy_constrained,
    high_rate_weight,
    kmeans,
    rate_weight_for,
    size_importance,
    uniform,
)
from jaxcompress.codec import inspect, load, load_compressed, load_into, save
from jaxcompress.compiled import jit_for_inference
from jaxcompress.costs import Flops, Latency, flops, latency_ms, peak_bytes
from jaxcompress.distill.cache import cached_logits
from jaxcompress.distill.features import attention_transfer_loss, feature_matching_loss
from jaxcompress.distill.logits import distillation_loss
from jaxcompress.distill.relations import relational_angle_loss, relational_distance_loss
from jaxcompress.execution.functions import execute
from jaxcompress.export.file import OnnxFile, export_onnx
from jaxcompress.export.runtime import onnx_function
from jaxcompress.leaves import (
    Clustered,
    Half,
    Quantized,
    Sparse,
    dense,
    half,
    sparse,
    update_codebooks,
)
from jaxcompress.metrics import count_distinct, entropy_bound_bytes, measure_sparsity
from jaxcompress.oneshot import compress
from jaxcompress.optim import add_penalty, current_mask, gradual_pruning, hold_mask, share_centroids
from jaxcompress.prune import (
    FrozenAxis,
    Slice,
    UnitGroup,
    UnitGroups,
    across_groups,
    activation_score,
    apply_mask,
    block_importance,
    by_flops,
    by_parameters,
    by_units,
    check_shrink,
    choose_blocks,
    choose_units,
    count_blocks,
    divide_by_max,
    divide_by_mean,
    drop_blocks,
    erk_sparsities,
    first_blocks,
    geometric_median_score,
    global_mask,
    group_lasso,
    important_blocks,
    l1_score,
    l2_score,
    layerwise_mask,
    magnitude,
    magnitude_mask,
    mean_magnitude,
    nm_mask,
    nonzero_share,
    norm_scale_score,
    outer_blocks,
    random_blocks,
    random_mask,
    random_score,
    random_unit_score,
    recalibrate,
    shrink,
    spread_out,
    summed,
    taylor_score,
    unit_groups,
    unit_slices,
    unnormalized,
    within_groups,
)
from jaxcompress.quantization.budget import mixed_bits
from jaxcompress.quantization.calibration import Ranges, calibrate
from jaxcompress.quantization.corrections import correct_biases
from jaxcompress.quantization.equalization import equalize
from jaxcompress.quantization.granularity import per_block, per_channel, per_tensor
from jaxcompress.quantization.moments import input_moments
from jaxcompress.quantization.norms import fold_norms, folded_layers
from jaxcompress.quantization.ranges import kl_optimal, min_max, mse_optimal, percentile
from jaxcompress.quantization.rounding import fit_rounding
from jaxcompress.quantization.sensitivity import sensitivity
from jaxcompress.quantization.simulation import channel_axes, fake_quantized
from jaxcompress.quantization.training import quantization_aware
from jaxcompress.quantization.weights import quantize
from jaxcompress.schedules import cubic_sparsity
from jaxcompress.trees import everything, kernels, matching

__version__ = "0.1.0"

__all__ = [
    "ArtifactError",
    "Clustered",
    "Flops",
    "FrozenAxis",
    "Half",
    "Latency",
    "OnnxFile",
    "Quantized",
    "Ranges",
    "Slice",
    "Sparse",
    "UnitGroup",
    "UnitGroups",
    "across_groups",
    "activation_score",
    "add_penalty",
    "apply_mask",
    "block_importance",
    "attention_transfer_loss",
    "by_flops",
    "by_parameters",
    "by_units",
    "cached_logits",
    "calibrate",
    "channel_axes",
    "check_shrink",
    "choose_blocks",
    "choose_units",
    "compress",
    "correct_biases",
    "count_blocks",
    "count_distinct",
    "cubic_sparsity",
    "current_mask",
    "dense",
    "distillation_loss",
    "divide_by_max",
    "divide_by_mean",
    "drop_blocks",
    "entropy_bound_bytes",
    "entropy_constrained",
    "equalize",
    "erk_sparsities",
    "everything",
    "execute",
    "export_onnx",
    "fake_quantized",
    "first_blocks",
    "fit_rounding",
    "feature_matching_loss",
    "flops",
    "fold_norms",
    "folded_layers",
    "geometric_median_score",
    "global_mask",
    "gradual_pruning",
    "group_lasso",
    "half",
    "high_rate_weight",
    "hold_mask",
    "important_blocks",
    "input_moments",
    "inspect",
    "jit_for_inference",
    "kernels",
    "kl_optimal",
    "kmeans",
    "l1_score",
    "l2_score",
    "latency_ms",
    "layerwise_mask",
    "load",
    "load_compressed",
    "load_into",
    "magnitude",
    "magnitude_mask",
    "matching",
    "mean_magnitude",
    "measure_sparsity",
    "min_max",
    "mixed_bits",
    "mse_optimal",
    "nm_mask",
    "nonzero_share",
    "norm_scale_score",
    "onnx_function",
    "outer_blocks",
    "peak_bytes",
    "per_block",
    "per_channel",
    "per_tensor",
    "percentile",
    "quantization_aware",
    "quantize",
    "random_blocks",
    "random_mask",
    "random_score",
    "random_unit_score",
    "rate_weight_for",
    "recalibrate",
    "relational_angle_loss",
    "relational_distance_loss",
    "save",
    "sensitivity",
    "share_centroids",
    "shrink",
    "size_importance",
    "sparse",
    "spread_out",
    "summed",
    "taylor_score",
    "uniform",
    "unit_groups",
    "unit_slices",
    "unnormalized",
    "update_codebooks",
    "within_groups",
]
