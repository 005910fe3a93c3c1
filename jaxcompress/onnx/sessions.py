"""Sessions of ONNX Runtime, on the CPU, exact in integers and without a word on the terminal."""

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_FOLDER = "session.model_external_initializers_file_folder_path"


def session(
    runtime: Any,
    model: bytes | Path,
    *,
    threads: int | None = None,
    optimized: Path | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
) -> Any:
    """Return a session; its errors have no common class.

    Args:
        runtime: the module `onnxruntime`.
        model: serialized, or its file if numbers lie in others beside it.
        threads: the most that it may use; None for all cores.
        optimized: where to write the optimized graph.
        weights: constants that the model names and does not hold.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, not printed as well
    # Else x86 without VNNI adds pairs of 8-bit products in 16 bits, which clips. Weights that lie
    # within 7 bits, and CPUs with VNNI, run as without it.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads = threads or 0
    if threads is not None:
        options.inter_op_num_threads = 1
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    source = model if isinstance(model, bytes) else str(model)
    with contextlib.ExitStack() as held:
        if weights is not None:
            empty = held.enter_context(tempfile.TemporaryDirectory())
            values = [runtime.OrtValue.ortvalue_from_numpy(each) for each in weights.values()]
            options.add_external_initializers(list(weights), values)
            # What is not among them must not come from files of this machine.
            options.add_session_config_entry(_FOLDER, empty)
        return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
