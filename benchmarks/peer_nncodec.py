"""The peer's half of benchmarks.quantizers, run by an interpreter that has NNCodec and not JAX.

    PYTHON peer_nncodec.py arrays.npz coded.npz --qps -16 -17 -18

NNCodec is the reference software of ISO/IEC 15938-17. Every array of the first file is quantized
and coded; for each QP, with dependent quantization (`dq`) and without (`scalar`), and for each
weight of bits against squared error (`lambda_scale`), the second file holds `SETTING/bytes`,
`SETTING/bytes_rank1` (what the arrays of rank 1 take when coded alone, the header of the stream
included) and the decoded `SETTING/array/NAME`, where SETTING is like `-16 dq 0.5`. Everything else
has the default of its `encode` functions: row skipping and the optimisation of context parameters
on, arrays of rank 1 at QP -75.
"""

import argparse
from importlib.metadata import version
from itertools import product

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
    """Read the command line, code and decode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", help="float32 arrays, output channels first, as .npz")
    parser.add_argument("coded", help="file to write")
    parser.add_argument("--qps", type=int, nargs="+", required=True)
    parser.add_argument("--lambda-scales", type=float, nargs="+", default=[0.0])
    arguments = parser.parse_args()
    with np.load(arguments.arrays) as archive:
        arrays = {name: archive[name] for name in archive.files}
    rank1 = {name: array for name, array in arrays.items() if array.ndim < 2}
    found: dict[str, np.ndarray] = {"version": np.array(version("nncodec"))}
    for qp in arguments.qps:
        for kind, scale in product(("dq", "scalar"), arguments.lambda_scales):
            setting = f"{qp} {kind} {scale:g}"
            stream = coded(arrays, qp, kind, scale)
            alone = coded(rank1, qp, kind, scale) if rank1 else b""
            found[f"{setting}/bytes"] = np.array(len(stream))
            found[f"{setting}/bytes_rank1"] = np.array(len(alone))
            for name, array in nnc.decompress(stream).items():
                found[f"{setting}/array/{name}"] = array
    np.savez(arguments.coded, **found)  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main()
