"""How long a file takes to open, and tensors to read. `run` starts it, and looks at its memory.

python -m benchmarks.large.reading FILE one    # the largest tensor
python -m benchmarks.large.reading FILE all    # each in turn, none kept
"""

import json
import math
import sys
import time

import jax

import jaxcompress as jc


def main() -> None:
    """Read, and print the seconds as JSON."""
    _, path, which = sys.argv
    jax.numpy.zeros(1).block_until_ready()  # the time that JAX takes to start is not ours
    marks = [time.perf_counter()]
    with jc.open_file(path) as file:
        marks.append(time.perf_counter())
        largest = max(file.manifest["tensors"], key=lambda entry: math.prod(entry["shape"]))
        count = 0
        for name in file.paths if which == "all" else [largest["path"]]:
            count += file[name].nbytes
        marks.append(time.perf_counter())
    opened, read = (round(b - a, 2) for a, b in zip(marks, marks[1:], strict=False))
    print(json.dumps({"open_seconds": opened, "read_seconds": read, "read_bytes": count}))


if __name__ == "__main__":
    main()
