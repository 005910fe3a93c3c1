"""The part of benchmarks.coders for NNCodec; the interpreter has NNCodec and not JAX.

    PYTHON nncodec_integers.py arrays.npz

NNCodec is the reference software of ISO/IEC 15938-17. The arrays hold integers as float32; with QP
0 the step size is 1, so they are coded without loss. The program answers with JSON: bytes of the
stream, CPU-seconds to encode and to decode.
"""

import argparse
import json
import time

import numpy as np
from nncodec import nnc  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Read the command line, code and decode, and check that nothing is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", help="integers as float32, output channels first, as .npz")
    with np.load(parser.parse_args().arrays) as archive:
        arrays = {name: archive[name] for name in archive.files}
    start = time.process_time()
    stream = nnc.compress(
        dict(arrays),
        bitstream_path=None,
        qp=0,
        use_dq=False,
        lambda_scale=0.0,
        row_skipping=True,
        param_opt=True,
        return_bitstream=True,
    )
    encoded = time.process_time()
    found = nnc.decompress(stream)
    decoded = time.process_time()
    for name, array in arrays.items():
        if not np.array_equal(np.asarray(found[name]), array):
            raise SystemExit(f"{name}: NNCodec gives other integers")
    seconds = {"encode_s": encoded - start, "decode_s": decoded - encoded}
    print(json.dumps({"bytes": len(stream)} | seconds))


if __name__ == "__main__":
    main()
