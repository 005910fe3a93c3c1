"""The fields of `results.json`, version 1: a row each, in words."""

FIELDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("schema_version",), "1."),
    (
        ("data", "data_source", "data_notice"),
        "the dataset used, where it was read, and the notice if it is a stand-in for another.",
    ),
    (("train_images", "test_images", "classes"), "how many."),
    (("skipped_images",), "how many files could not be read and were skipped."),
    (("model", "recipe", "seed"), "what was run."),
    (
        ("command",),
        "a command line that repeats the run; of folders of this machine it has the names.",
    ),
    (
        ("options",),
        "every option that the run used, under the name of its flag. An option that was not used "
        "is absent. After `--start`, `epochs` is of the controls.",
    ),
    (
        ("settings",),
        "the same under the keys that version 1 began with. An option that was not used has a "
        "value that says so.",
    ),
    (("stages",), "one object a stage."),
    (("baseline_accuracy", "baseline_bytes"), "of the dense network and its float32 file."),
    (("compressed_bytes", "ratio"), "of `compressed.npz`, and how many times smaller it is."),
    (
        ("shipped_bytes",),
        "of `shipped.npz`, which holds the program too; null with `--no-program`.",
    ),
    (("reloaded_accuracy",), "of `compressed.npz`, loaded into a blank network."),
    (("reload_exact",), "whether its logits equal those before saving to the bit."),
    (
        ("control_accuracy",),
        "of the dense network, trained for as many extra steps; null without `--control`, and in "
        "recipes that distil, whose controls are stages.",
    ),
    (
        ("checks",),
        "of a budget: `name`, `budget`, `predicted`, `measured` and `met`. `budget` is null where "
        "none was asked for. Points lost are those of the test images against the control, and "
        "predicted before fine-tuning. Empty in other recipes than `auto` and `search`.",
    ),
    (
        ("tickets",),
        "of recipe `lottery`, one object a round: `sparsity`, and accuracies on the test images of "
        "`ticket`, `new_weights`, `random_mask`, `fine_tuned`, `dense` and `dense_trained_on`. "
        "Empty in other recipes.",
    ),
    (("seconds",), "of all stages."),
    (("versions", "device"), "what it ran on, with how many threads."),
    (
        ("batch",),
        "how a batch was divided when the run ended: `images`, `processes`, `devices` of all "
        "processes, `images_a_device`, and `idle_devices` by which it does not divide.",
    ),
)

OF_STAGES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("name",), "of the stage."),
    (("accuracy", "loss"), "on the test images."),
    (("validation_accuracy",), "on the validation images."),
    (("arithmetic",), "what computed these: float, simulated (integers) or integers."),
    (("sparsity",), "the fraction of zeros among the kernels' weights."),
    (("distinct_weights",), "distinct non-zero values, summed over the kernels."),
    (("size_bytes", "sha256"), "of the file on disk; `--resume` checks the digest."),
    (
        ("flops", "latency_ms", "latency_quartiles_ms", "peak_bytes"),
        "of one picture through a dense network of these sizes: operations, the median and the "
        "first and third quartile of milliseconds, and memory as XLA plans it, null if XLA does "
        "not say. In rows of ONNX Runtime times are those of ONNX Runtime and `peak_bytes` null.",
    ),
    (("seconds",), "with compilation and, in the first stage, with computing features."),
    (("facts",), "what else the stage found."),
)
"""The fields of an object of `stages`."""
