"""NNCodec beside ours: the reference software of ISO/IEC 15938-17, in an interpreter of its own."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import NamedTuple

import numpy as np

PROGRAM = Path(__file__).parent.parent / "peers" / "nncodec_streams.py"


class Coded(NamedTuple):
    """What NNCodec makes of arrays.

    Attributes:
        stream: the bytes.
        rank1_bytes: of a stream of the arrays of rank 1 alone.
        arrays: as they are decoded from it.
    """

    stream: bytes
    rank1_bytes: int
    arrays: dict[str, np.ndarray]


@contextmanager
def nncodec(python: Path, arrays: Mapping[str, np.ndarray]) -> Iterator[Callable[[str], Coded]]:
    """Give what codes arrays at a setting, `QP dq|scalar LAMBDA_SCALE`.

    Args:
        python: an interpreter that has NNCodec.
        arrays: with output channels first, as NNCodec is used to from PyTorch.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, decoded = Path(folder) / "arrays.npz", Path(folder) / "decoded.npz"
        stream = Path(folder) / "stream.nnc"
        np.savez(plain, **arrays)  # pyright: ignore[reportArgumentType]
        command = [*map(str, (python, PROGRAM, plain, decoded, stream))]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as peer:
            assert peer.stdin and peer.stdout

            def code(setting: str) -> Coded:
                assert peer.stdin and peer.stdout
                peer.stdin.write(f"{setting}\n")
                peer.stdin.flush()
                answer = next(line for line in peer.stdout if line.startswith("coded "))
                with np.load(decoded) as archive:
                    found = {name: archive[name] for name in arrays}
                return Coded(stream.read_bytes(), int(answer.split()[1]), found)

            yield code
            peer.stdin.close()
