"""How far outputs are from those of the original, for models of ONNX, which can be run."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact import open_file
from jaxcompress.artifact.reading import reading
from jaxcompress.cli.artifacts import described
from jaxcompress.cli.comparison import Error, compare
from jaxcompress.cli.formats.onnx import write_onnx
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.extras import library
from jaxcompress.onnx.sessions import session


class OutputError(NamedTuple):
    """Distance of an output from the original's.

    Attributes:
        name: of the output.
        error: of its numbers.
    """

    name: str
    error: Error


Outputs = dict[str, np.ndarray]
"""By name."""


def outputs_of(model: Path, inputs: Path) -> Outputs:
    """Run a model of ONNX.

    Args:
        model: to run.
        inputs: `.npz` with an array for each input of the model.

    Raises:
        Refused: naming what is wrong.
        MissingLibraryError: ONNX Runtime is missing.
    """
    if model.suffix != ".onnx":
        raise Refused(
            f"--calibrate: the model must be .onnx, which ONNX Runtime can run, got {model}; of "
            "others compare outputs in Python, by jaxcompress.oneshot.output_error."
        )
    given = arrays_of(inputs)
    started = _started(model)
    wanted = {each.name for each in started.get_inputs()}
    if wanted != given.keys():
        raise Refused(
            f"{inputs}: must hold the inputs of the model, {', '.join(sorted(wanted))}, got "
            f"{', '.join(sorted(given)) or 'none'}; save them with numpy.savez."
        )
    try:
        found = started.run(None, given)
    except Exception as error:  # its errors have no common class
        raise _not_run(inputs, error) from None
    if not any(np.size(array) for array in found):
        raise Refused(f"{inputs}: must give outputs, got none of any size; pass a batch of inputs.")
    names = [each.name for each in started.get_outputs()]
    pairs = zip(names, found, strict=True)
    return {name: array for name, array in pairs if isinstance(array, np.ndarray)}


def arrays_of(inputs: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file by name, in its order.

    Raises:
        ArtifactError: it is none.
    """
    with reading(inputs):
        file = np.load(inputs, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ArtifactError("not an archive of arrays")
        with file:
            return {name: file[name] for name in file.files}


def output_errors(
    model: Path, compressed: Path, inputs: Path, expected: Outputs
) -> list[OutputError]:
    """Run a model with the compressed weights.

    Args:
        model: of ONNX.
        compressed: file that `pack` wrote from it.
        inputs: as for `outputs_of`.
        expected: outputs of the model with its own weights.
    """
    with tempfile.TemporaryDirectory() as folder, open_file(compressed) as file:
        other = Path(folder, "model.onnx")
        specs = described(compressed, file.manifest).tensors
        write_onnx(other, model, specs, lambda name: np.asarray(file[name]))
        found = outputs_of(other, inputs)
    return [
        OutputError(name, compare(name, expected[name], found[name]).error) for name in expected
    ]


def _started(model: Path) -> Any:
    runtime = library("onnxruntime", "--calibrate", extra="onnx")
    try:
        return session(runtime, model)
    except Exception as error:  # its errors have no common class
        raise _not_run(model, error) from None


def _not_run(path: Path, error: Exception) -> Refused:
    said = " ".join(str(error).split())[:200]
    return Refused(f"{path}: ONNX Runtime must run the model, got {said}; correct the inputs.")
