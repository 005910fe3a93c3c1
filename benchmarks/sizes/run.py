"""How close each layout is to the entropy bound, and how fast it is written and read.

    python -m benchmarks.sizes                     # networks trained here, on Fashion-MNIST
    python -m benchmarks.sizes --weights FOLDER    # any trees of float arrays, as .npz

Every layer shares 16 values by K-Means; the bound is `entropy_bound_bytes`: entropy of the
codes, codebooks, and all other leaves as they are. Sizes are bytes on disk, manifest and digests
included.
"""

import argparse
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from benchmarks.lib.networks import TRAININGS, networks, plain_arrays
from benchmarks.lib.record import write
from benchmarks.lib.timing import interleaved, ratio
from benchmarks.sizes.table import SIZES
from jaxcompress.artifact import LAYOUTS, encode
from jaxcompress.packing import digits, positions

SPARSITIES = [0.5, 0.9]


def size_row(name: str, sparsity: float, params: Any) -> dict[str, Any]:
    """Return the sizes of one network, its layers sharing 16 values each."""
    shared = jc.kmeans(params, 16)
    bound = jc.metrics.entropy_bound_bytes(shared)
    above = {}
    for layout in LAYOUTS:
        above[layout] = round(100 * (len(encode(shared, layout=layout)) / bound - 1), 2)
    return {
        "net": name,
        "sparsity": sparsity,
        "float32_bytes": sum(a.nbytes for a in plain_arrays(params).values()),
        "bound_bytes": round(bound),
        "percent_above_bound": above,
    }


def speed_row(name: str, sparsity: float, params: Any) -> dict[str, Any]:
    """Time layout packed against numpy's compressed file of the same float32 arrays."""
    arrays: dict[str, Any] = plain_arrays(params)
    shared = jc.kmeans(params, 16)  # the speed of choosing values is that of benchmarks.core
    # Into memory: flushing to the disk, which `save` does and numpy does not, is not our speed.
    calls = {
        "encode": lambda: encode(shared, layout="packed"),
        "np.savez_compressed": lambda: np.savez_compressed(io.BytesIO(), **arrays),
    }
    writing = interleaved(calls, 9)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.npz", Path(folder) / "theirs.npz"
        jc.save(ours, shared, layout="packed")
        np.savez_compressed(theirs, **arrays)
        reading = interleaved(
            {
                "load": lambda: jc.load(ours),
                "np.load": lambda: {n: a[:] for n, a in np.load(theirs).items()},
                "trusting": lambda: trusting_load(ours),
            },
            25,
        )
    return {
        "net": name,
        "sparsity": sparsity,
        "write_times_savez_compressed": ratio(writing, "encode", "np.savez_compressed"),
        "load_times_np_load": ratio(reading, "load", "np.load"),
        "load_times_trusting_load": ratio(reading, "load", "trusting"),
    }


def trusting_load(path: Path) -> dict[str, Any]:
    """Load a file of layout packed as somebody would who believes everything in it.

    The members come from `np.load`; no digest, no limit, no check of the manifest or of codes.
    """
    with np.load(path) as archive:
        streams = {name: archive[name] for name in archive.files}
    manifest = json.loads(streams.pop("manifest").tobytes())
    if "float32_planes" in streams:
        planes = streams.pop("float32_planes").reshape(4, -1)
        streams["float32"] = np.ascontiguousarray(planes.T).view("<f4").ravel()

    def take(name: str, count: int) -> np.ndarray:
        part, streams[name] = streams[name][:count], streams[name][count:]
        return part

    tensors = {}
    for entry in manifest["tensors"]:
        shape, packing = entry["shape"], entry.get("packing")
        size = int(np.prod(shape))
        if packing is None:
            tensors[entry["path"]] = jnp.asarray(take("float32", size).reshape(shape))
            continue
        k = entry["k"]
        table = np.append(np.float32(0), take("float32", k))
        if packing == "plain":
            codes = digits.unpack(take("digits", digits.count_bytes(size, k + 1)), size, k + 1)
        else:
            count = entry["entries"]
            if packing == "bits":
                kept = np.unpackbits(take("bits", -(-size // 8)))[:size].view(bool)
            else:
                kept = positions.kept_from_gaps(take("gaps", entry["gaps"]), size, count)
            codes = np.zeros(size, np.uint8)
            codes[kept] = digits.unpack(take("digits", digits.count_bytes(count, k)), count, k) + 1
        tensors[entry["path"]] = jnp.asarray(table[codes].reshape(shape))
    return tensors


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="folder of .npz files instead of training")
    parser.add_argument("--networks", type=Path, default=Path("runs/networks"), metavar="DIR")
    arguments = parser.parse_args()
    trees: dict[tuple[str, float], Any] = {}
    if arguments.weights:
        for path in sorted(arguments.weights.glob("*.npz")):
            with np.load(path) as arrays:
                tree = {name: arrays[name] for name in arrays.files}
            trees[path.stem, round(jc.measure_sparsity(tree), 2)] = tree
    else:
        for name in TRAININGS:
            for sparsity, tree in networks(name, SPARSITIES, arguments.networks).pruned.items():
                trees[name, sparsity] = tree
    figures = {
        "sizes": [size_row(*key, tree) for key, tree in trees.items()],
        "speed": [speed_row(*key, tree) for key, tree in trees.items() if key[1] in (0.5, 0.9)],
    }
    record = SIZES
    if arguments.weights is not None:
        record = SIZES._replace(name=f"sizes_{arguments.weights.name}")
    print(write(record, seeds=[0], figures=figures).read_text())
