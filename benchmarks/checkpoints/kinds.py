"""A network that tells what kind of file bytes are: Magika."""

import json
import sysconfig
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np

from benchmarks.checkpoints.graphs import graph, runner
from benchmarks.checkpoints.judge import unequal
from benchmarks.checkpoints.network import Checkpoint, Network, Wheel

KINDS: Mapping[str, str] = {
    "py": "python",
    "h": "c",
    "rst": "rst",
    "csv": "csv",
    "gz": "gzip",
    "ttf": "ttf",
    "png": "png",
    "svg": "svg",
    "pdf": "pdf",
    "json": "json",
    "so": "elf",
    "html": "html",
    "css": "css",
    "js": "javascript",
}
"""What files are, by their endings."""


def kinds(wheel: Wheel) -> Network:
    """Return Magika: what kind of file bytes are."""
    labels = json.loads(wheel.read("magika/models/standard_v3_3/config.min.json"))
    labels = labels["target_labels_space"]
    packages = ("sklearn", "matplotlib", "numpy")
    folders = [Path(str(files(package))) for package in packages]
    folders.append(Path(sysconfig.get_path("stdlib")) / "pydoc_data")
    feeds, true = [], []
    for ending, label in KINDS.items():
        found = sorted(path for folder in folders for path in folder.rglob(f"*.{ending}"))
        large = [path for path in found if 1000 < path.stat().st_size < 10_000_000]
        for path in large[:: max(1, len(large) // 6)][:6]:
            feeds.append({"bytes": _ends(path.read_bytes())[None]})
            true.append(labels.index(label))
    model = graph(wheel.read(KIND.member))

    def score(found: np.ndarray, _: np.ndarray) -> float:
        return unequal(found.argmax(1), np.array(true))

    return Network(model.weights(), runner(model, feeds), score)


def _ends(data: bytes) -> np.ndarray:
    """Return the first and the last 1,024 bytes, white space aside."""
    found = np.full(2048, 256, np.int32)
    first, last = data[:4096].lstrip()[:1024], data[-4096:].rstrip()[-1024:]
    found[: len(first)] = np.frombuffer(first, np.uint8)
    found[2048 - len(last) :] = np.frombuffer(last, np.uint8)
    return found


KIND = Checkpoint(
    "Magika (convolutions of bytes)",
    "magika",
    "Apache-2.0",
    "magika/models/standard_v3_3/model.onnx",
    "files taken for another kind, %",
    kinds,
    "as it is",
)
CHECKPOINTS = (KIND,)
