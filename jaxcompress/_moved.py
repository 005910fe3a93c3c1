"""Where flat names of earlier versions are now; of this version only."""

_BY_SUBJECT = {
    "costs": "Flops Latency peak_bytes",
    "distill": """
        attention_transfer_loss cached_logits feature_matching_loss relational_angle_loss
        relational_distance_loss
    """,
    "leaves": "half sparse update_codebooks",
    "lowrank": """
        RankPlan across_space by_budget by_energy by_ratio cp exact_svd last_axis
        low_rank_convolutions plan_ranks randomized_svd summed_axes truncated_svd tucker2
    """,
    "metrics": "count_distinct entropy_bound_bytes",
    "onnx": "OnnxFile",
    "optim": "add_penalty cubic_sparsity current_mask",
    "prune": """
        FrozenAxis Slice UnitGroup UnitGroups across_groups activation_score block_importance
        by_flops by_parameters by_units count_blocks divide_by_max divide_by_mean erk_sparsities
        first_blocks fit_mask geometric_median_score group_lasso important_blocks l1_score l2_score
        magnitude mean_magnitude nm_mask norm_scale_score outer_blocks random_blocks random_mask
        random_score random_unit_score recalibrate spread_out summed taylor_score unit_slices
        unnormalized within_groups
    """,
    "quantization": """
        Ranges channel_axes correct_biases equalize fake_quantized folded_layers input_moments
        kl_optimal min_max mixed_bits mse_optimal per_block per_channel per_tensor percentile
        sensitivity
    """,
    "scopes": "everything in_products kernels matching",
    "sharing": "high_rate_weight rate_weight_for size_importance",
}

MOVED = {
    name: f"jc.{subject}.{name}" for subject, names in _BY_SUBJECT.items() for name in names.split()
} | {
    "nonzero_share": "jc.prune.nonzero_fraction",
    "round_to_steps": "jc.quantization.round_to_step_sizes",
    "step_sensitivity": "jc.quantization.step_size_sensitivity",
    "steps_for_damage": "jc.quantization.step_sizes_for_damage",
    "cluster": "jc.sharing",
    "codec": "jc.artifact",
    "export": "jc.onnx",
    "schedules": "jc.optim",
}
"""By flat name the name that took its place."""
