"""Times of the core as ratios to named peers: clustering, rounding, masks, steps, import.

taskset -c 0 python -m benchmarks.core        # needs the extra `dev`, for kmeans1d
"""

import statistics
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import kmeans1d
import numpy as np

import jaxcompress as jc
from benchmarks.core.table import CORE
from benchmarks.lib.record import write
from benchmarks.lib.steps import BATCH, training_steps
from benchmarks.lib.timing import interleaved, ratio

MILLIONS = 10


def inertia(values: np.ndarray, codebook: Any) -> float:
    """Return the squared error of taking the nearest entry of a codebook, in double precision."""
    wide = np.sort(np.asarray(codebook, np.float64))
    nearest = wide[np.searchsorted((wide[1:] + wide[:-1]) / 2, values)]
    return float(np.sum((values - nearest) ** 2))


def clustering() -> list[dict[str, Any]]:
    """Time `kmeans` against a sort of the same array; compare its error with the exact one."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(MILLIONS * 1_000_000).astype(np.float32)
    params = {"w": weights.reshape(-1, 1000)}
    rows = []
    for k in (16, 255):
        seconds = interleaved(
            {"kmeans": lambda k=k: jc.kmeans(params, k), "np.sort": lambda: np.sort(weights)}, 7
        )
        rows.append({"k": k, "times_np_sort": ratio(seconds, "kmeans", "np.sort")})
        for name, draw in {
            "normal": rng.standard_normal,
            "Laplace": lambda n: rng.laplace(size=n),
            "Student t, 2": lambda n: rng.standard_t(2, n),
        }.items():
            values = draw(100_000).astype(np.float32)
            ours = jc.kmeans({"w": values[None]}, k)["w"].codebook
            exact = kmeans1d.cluster(values.astype(np.float64), k)[1]
            excess = inertia(values, ours) / inertia(values, exact) - 1
            rows[-1][f"inertia_above_exact_{name}"] = max(round(excess, 9), 0.0)
    return rows


def rounding() -> list[dict[str, Any]]:
    """Time rounding to grids, and to one step size, against a sort of the same array."""
    weights = np.random.default_rng(3).standard_normal(MILLIONS * 1_000_000).astype(np.float32)
    params = {"w": weights.reshape(-1, 1000)}
    calls = {
        "quantize, 4 bits": lambda: jc.quantize(params, 4),
        "quantize, 4 bits, affine": lambda: jc.quantize(params, 4, symmetric=False),
        "quantize, 8 bits": lambda: jc.quantize(params, 8),
        "uniform, step size 0.5": lambda: jc.uniform(params, 0.5),
    }
    seconds = interleaved(calls | {"np.sort": lambda: np.sort(weights)}, 7)
    return [{"what": what, "times_np_sort": ratio(seconds, what, "np.sort")} for what in calls]


def masks() -> dict[str, float]:
    """Time `magnitude_mask` against a partition of the magnitudes alone."""
    weights = np.random.default_rng(1).standard_normal(MILLIONS * 1_000_000).astype(np.float32)
    params = {"w": jnp.asarray(weights.reshape(-1, 1000))}
    magnitudes = np.abs(weights)
    place = int(0.9 * weights.size)
    seconds = interleaved(
        {
            "mask": lambda: jax.block_until_ready(jc.magnitude_mask(params, 0.9)),
            "np.partition": lambda: np.partition(magnitudes, place),
        },
        9,
    )
    return {"times_np_partition": ratio(seconds, "mask", "np.partition")}


def steps() -> list[dict[str, Any]]:
    """Time a masked and a centroid-shared training step against the plain one."""
    rows = []
    for name in ("cifar", "cifar-wide", "lenet-300-100"):
        seconds = interleaved(training_steps(name, seed=2).calls, 60)
        rows.append(
            {
                "net": name,
                "batch_size": BATCH,
                "plain_images_per_second": round(BATCH / statistics.median(seconds["plain"])),
                "masked_times_plain": ratio(seconds, "hold_mask", "plain"),
                "shared_times_plain": ratio(seconds, "share_centroids", "plain"),
            }
        )
    return rows


def import_time() -> dict[str, float]:
    """Time what the import, and then the first use, add to `import jax, optax`, in new processes.

    Names are imported when they are first used: pruning, sharing and a file need most of the rest.
    """

    def run(program: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return time.perf_counter() - started

    alone, imported = "import jax, optax", "import jax, optax, jaxcompress as jc"
    used = f"{imported}; jc.magnitude_mask, jc.hold_mask, jc.kmeans, jc.save"
    rounds = [[run(program) for program in (alone, imported, used)] for _ in range(10)][1:]
    return {
        "added_seconds": round(statistics.median(b - a for a, b, _ in rounds), 3),
        "first_use_seconds": round(statistics.median(c - a for a, _, c in rounds), 3),
    }


def main() -> None:
    """Measure everything and write it down."""
    figures = {
        "kmeans": clustering(),
        "rounding": rounding(),
        "magnitude_mask": masks(),
        "training_step": steps(),
        "import": import_time(),
    }
    print(write(CORE, seeds=[0, 1, 2, 3], figures=figures).read_text())
