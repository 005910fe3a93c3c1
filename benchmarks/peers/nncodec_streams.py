"""The part of benchmarks.lib.nncodec for NNCodec; the interpreter has NNCodec and not JAX.

    echo '-16 dq 0.5' | PYTHON nncodec_streams.py arrays.npz decoded.npz stream.nnc

NNCodec is the reference software of ISO/IEC 15938-17. Each line of the input names a QP, whether
quantization is dependent (`dq`) or not (`scalar`), and the weight of bits against squared error
(`lambda_scale`). The program codes all arrays of the first file in this way, writes the decoded
arrays to the second file and the stream to the third, and answers with a line `coded RANK1`: the
size of a stream of the arrays of rank 1 alone. All other options have the defaults of its `encode`
functions: row skipping and the optimisation of context parameters are on, and arrays of rank 1 have
QP -75.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from nncodec import nnc  # pyright: ignore[reportMissingImports]


def coded(arrays: dict[str, np.ndarray], qp: int, kind: str, scale: float) -> bytearray:
    """Return the bitstream of arrays."""
    return nnc.compress(
        dict(arrays),
        bitstream_path=None,
        qp=qp,
        use_dq=kind == "dq",
        lambda_scale=scale,
        row_skipping=True,
        param_opt=True,
        return_bitstream=True,
    )


def main() -> None:
    """Read the command line, then code and decode line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", help="float32 arrays, output channels first, as .npz")
    parser.add_argument("decoded", help="file to write the arrays to")
    parser.add_argument("stream", type=Path, help="file to write the stream to")
    arguments = parser.parse_args()
    with np.load(arguments.arrays) as archive:
        arrays = {name: archive[name] for name in archive.files}
    rank1 = {name: array for name, array in arrays.items() if array.ndim < 2}
    for line in sys.stdin:
        qp, kind, scale = line.split()
        stream = coded(arrays, int(qp), kind, float(scale))
        alone = coded(rank1, int(qp), kind, float(scale)) if rank1 else b""
        found: dict[str, np.ndarray] = nnc.decompress(stream)
        np.savez(arguments.decoded, **found)  # pyright: ignore[reportArgumentType]
        arguments.stream.write_bytes(stream)
        print(f"coded {len(alone)}", flush=True)


if __name__ == "__main__":
    main()
