"""Networks that read text in pictures: PP-OCRv4 and ddddocr."""

import ast
from collections.abc import Sequence

import numpy as np

from benchmarks.checkpoints import pictures
from benchmarks.checkpoints.graphs import graph, runner
from benchmarks.checkpoints.judge import errors
from benchmarks.checkpoints.network import Checkpoint, Network, Weights, Wheel
from benchmarks.minilm.sentences import EVERYDAY

_RAPID = "rapidocr_onnxruntime/models"
_WORDS = sorted({word for text in EVERYDAY for word in text.lower().split() if word.isalpha()})
_COLUMNS = 40  # of the answers about one word, at most


def _spoken(best: np.ndarray, characters: Sequence[str]) -> str:
    """Return the text of the best class of each column: repeats and class 0 are no characters."""
    last = np.concatenate([[0], best[:-1]])
    return "".join(characters[int(k)] for k in best[(best != last) & (best != 0)])


def _scaled(picture: np.ndarray) -> np.ndarray:
    """Return `[1, 3, height, width]` in [-1, 1]."""
    return np.repeat(picture[None, None] / np.float32(127.5) - 1, 3, axis=1).astype(np.float32)


def recognition(wheel: Wheel) -> Network:
    """Return the recogniser: lines of 48 pixels to classes a column."""
    model = graph(wheel.read(RECOGNITION.member))
    listed = {each.key: each.value for each in model.model.metadata_props}["character"]
    characters = ["", *listed.split("\n"), " "]
    feeds = [{"x": _scaled(pictures.line(text, 48, 800))} for text in EVERYDAY]

    def score(found: np.ndarray, _: np.ndarray) -> float:
        return errors([_spoken(row.argmax(-1), characters) for row in found], EVERYDAY)

    return Network(model.weights(), runner(model, feeds), score)


def direction(wheel: Wheel) -> Network:
    """Return the classifier of lines that stand on their heads."""
    model = graph(wheel.read(DIRECTION.member))
    lines = [pictures.line(text[:14], 48, 192) for text in EVERYDAY]
    feeds = [{"x": _scaled(line)} for line in (*lines, *(line[::-1, ::-1] for line in lines))]
    true = np.repeat([0, 1], len(lines))

    def score(found: np.ndarray, _: np.ndarray) -> float:
        return 100 * float(np.mean(found.argmax(-1) != true))

    return Network(model.weights(), runner(model, feeds), score)


def detection(wheel: Wheel) -> Network:
    """Return the detector of text on a page."""
    model = graph(wheel.read(DETECTION.member))
    pages = [pictures.page(EVERYDAY[start:], 320, 20) for start in (0, 8, 16, 24)]
    feeds = [{"x": _scaled(page)} for page in pages]

    def score(found: np.ndarray, original: np.ndarray) -> float:
        ours, true = found > 0.3, original > 0.3
        return 100 - 100 * float(np.sum(ours & true) / np.sum(ours | true))

    return Network(model.weights(), runner(model, feeds), score)


def captcha(wheel: Wheel) -> Network:
    """Return ddddocr's reader of single words, convolutions and an LSTM."""
    model = graph(wheel.read(CAPTCHA.member))
    body = ast.parse(wheel.read("ddddocr/charsets.py").decode()).body
    lists = {ast.unparse(n.targets[0]): n.value for n in body if isinstance(n, ast.Assign)}
    characters = ast.literal_eval(lists["CHARSET_BETA"])
    words = [word for word in _WORDS if 4 <= len(word) <= 7][:40]
    random = np.random.default_rng(0)
    feeds = []
    for word in words:
        picture = pictures.tight(word, 64) / 255
        noisy = 0.3 + 0.5 * picture + 0.2 * random.standard_normal(picture.shape)
        feeds.append({"input1": np.clip(noisy, 0, 1).astype(np.float32)[None, None]})

    def outputs(weights: Weights) -> np.ndarray:
        session = model.session(weights)
        found = np.zeros((len(feeds), _COLUMNS, len(characters)), np.float32)
        for row, feed in zip(found, feeds, strict=True):
            columns = np.asarray(session.run(None, feed)[0])[:, 0]
            row[: len(columns)] = columns
        return found

    def score(found: np.ndarray, _: np.ndarray) -> float:
        return errors([_spoken(row.argmax(-1), characters) for row in found], words)

    return Network(model.weights(), outputs, score)


RECOGNITION = Checkpoint(
    "PP-OCRv4 recogniser (convolutions, attention)",
    "rapidocr_onnxruntime",
    "Apache-2.0",
    f"{_RAPID}/ch_PP-OCRv4_rec_infer.onnx",
    "characters wrong, %",
    recognition,
    "as it is",
)
DIRECTION = Checkpoint(
    "PP-OCR direction (MobileNetV3)",
    "rapidocr_onnxruntime",
    "Apache-2.0",
    f"{_RAPID}/ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "lines wrong, %",
    direction,
    "as it is",
)
DETECTION = Checkpoint(
    "PP-OCRv4 detector (convolutions)",
    "rapidocr_onnxruntime",
    "Apache-2.0",
    f"{_RAPID}/ch_PP-OCRv4_det_infer.onnx",
    "area unlike the original's, %",
    detection,
    "as it is",
)
CAPTCHA = Checkpoint(
    "ddddocr (CRNN)",
    "ddddocr",
    "MIT",
    "ddddocr/common.onnx",
    "characters wrong, %",
    captcha,
    "as it is",
)
CHECKPOINTS = (RECOGNITION, DIRECTION, DETECTION, CAPTCHA)
