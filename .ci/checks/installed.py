"""Run what README and docs promise with the wheel alone; called by `.ci/wheel`.

`installed.py WHEEL` installs the wheel into the environment of this interpreter, extras only when
the programs without them have run, and runs each program in a process and a folder of its own.
`installed.py --program NAME` runs one there.
"""

import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pages


def main(arguments: list[str]) -> None:
    """Run all programs, or the one that is named."""
    if arguments[0] == "--program":
        _run_here(next(p for p in pages.all_programs() if p.name == arguments[1]))
        return
    promised = itertools.groupby(pages.all_programs(), key=lambda program: program.extras)
    for extras, programs in promised:
        wanted = f"{arguments[0]}[{','.join(extras)}]" if extras else arguments[0]
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", wanted], check=True)
        print(f"installed, extras: {', '.join(extras) or 'none'} ({_since(start)})", flush=True)
        for program in programs:
            start = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, "--program", program.name]
                if subprocess.run(command, cwd=folder).returncode:
                    sys.exit(f"{program.name}: does not do with the wheel what it promises")
            print(f"  {program.name}: {len(program.blocks)} ({_since(start)})", flush=True)


def _run_here(program: pages.Program) -> None:
    import jaxcompress

    home = Path(jaxcompress.__file__).parent
    if pages.ROOT in home.parents or not (home / "py.typed").is_file():
        raise AssertionError(f"jaxcompress must come from the wheel, whole, got {home}")
    if program.blocks[0].where.startswith("README.md"):
        _prepare()
    pages.run(program.blocks)


def _prepare() -> None:
    """Write the weights that the commands of the README compress."""
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    kernels = {name: rng.normal(size=(64, 64)).astype("f") for name in ("first", "last")}
    save_file(kernels, "model.safetensors")


def _since(start: float) -> str:
    return f"{time.monotonic() - start:.0f} s"


if __name__ == "__main__":
    main(sys.argv[1:])
