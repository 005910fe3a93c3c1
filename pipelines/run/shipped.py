"""The network of a run and its function in one file, which runs without this repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxcompress as jc
from jaxcompress.typing import PyTree
from pipelines.models.classifier import Classifier
from pipelines.stages.files import COMPRESSED

SHIPPED = "shipped.npz"


def write_shipped(folder: Path, *, layout: str, made: Mapping[str, Any]) -> int:
    """Write the leaves of `compressed.npz` once more, with the program; return the size in bytes.

    Networks of pictures take float32 `[batch, size, size, 3]` of 0 to 255, and the file says how to
    make these: as `--predict` does, in one step of resizing. Those of features take arrays by the
    name of the branch.

    Args:
        folder: of the finished run.
        layout: of the file.
        made: how the network was made, as JSON.
    """
    file = folder / COMPRESSED
    classifier = Classifier.from_metadata(jc.inspect(file)["metadata"])

    def logits(tree: PyTree, inputs: Any) -> jax.Array:
        return classifier.apply(tree["params"], tree.get("stats", {}), inputs)

    side = classifier.picture_size
    inputs: Any = classifier.inputs(np.zeros((1, side, side, 3), np.uint8))
    is_picture = not classifier.branches
    inputs = np.float32(inputs) if is_picture else {n: inputs[n] for n in classifier.branches}
    size = [classifier.image_size] * 2
    return jc.ship(
        folder / SHIPPED,
        logits,
        jc.load_compressed(file),
        inputs,
        outputs=["logits"],
        classes=classifier.classes,
        preprocessing={"size": size, "fit": "pad", "colour": "rgb"} if is_picture else None,
        layout=layout,
        metadata=classifier.as_metadata(),
        made=made,
    )
