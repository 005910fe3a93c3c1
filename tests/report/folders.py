"""A folder as `run.py` leaves it, made by hand: every form of leaf, and hostile names."""

import json
import shutil

import jax.numpy as jnp
import numpy as np

import jaxcompress as jc

EVIL = '<script>alert("x")</script>'
RNG = np.random.default_rng(0)


def baseline():
    def normal(*shape):
        return RNG.standard_normal(shape).astype("f")

    return {
        "params": {
            "conv1": {"kernel": normal(3, 3, 4, 16), "bias": normal(16)},
            "dense1": {"kernel": normal(64, 40)},
            "dense2": {"kernel": normal(40, 30)},
            "dense3": {"kernel": normal(30, 24)},
            "gone": {"kernel": normal(5, 6)},
            EVIL: {"kernel": normal(24, 10)},
        }
    }


def compressed(tree):
    params = {name: dict(layer) for name, layer in tree["params"].items() if name != "gone"}
    mask = {"kernel": jnp.asarray(np.abs(params["dense1"]["kernel"]) > 1)}
    params["conv1"]["kernel"] = params["conv1"]["kernel"][..., :12]
    params["conv1"]["bias"] = jc.leaves.Half(
        values=jnp.float16(params["conv1"]["bias"][:12]), dtype=np.dtype("float32")
    )
    only = {"kernel": params["dense1"]["kernel"]}
    params["dense1"] = jc.kmeans(only, 7, mask=mask)
    params["dense2"] = jc.quantize(params["dense2"], 4)
    params["dense3"] = jc.leaves.sparse(
        {"kernel": np.where(params["dense3"]["kernel"] > 0.5, params["dense3"]["kernel"], 0)}
    )
    return {"params": params}


def stage(name, size, accuracy, **facts):
    return {
        "name": name,
        "arithmetic": "float",
        "accuracy": accuracy,
        "loss": 0.5,
        "validation_accuracy": accuracy,
        "sparsity": 0.25,
        "distinct_weights": 99,
        "size_bytes": size,
        "sha256": "0" * 64,
        "flops": 2000 if size > 9999 else 1000,
        "latency_ms": 0.5 if size > 9999 else 0.25,
        "latency_quartiles_ms": [0.45, 0.75] if size > 9999 else [0.125, 0.375],
        "peak_bytes": 12345,
        "seconds": 1.5,
        "facts": facts,
    }


def results(before, after):
    stages = [stage("baseline", before, 0.9), stage(f"cut {EVIL}", 9000, 0.7)]
    stages[-1]["facts"] = {"units": {"params/conv1": [16, 12]}}
    stages += [stage("reloaded", after, 0.88, exact=True), stage("control", before, 0.91)]
    return {
        "schema_version": 1,
        "data": EVIL,
        "data_source": f"a folder {EVIL}",
        "data_notice": f"these are NOT CIFAR-10 results {EVIL}",
        "train_images": 1000,
        "test_images": 400,
        "classes": 3,
        "skipped_images": 2,
        "model": "cifar",
        "recipe": "auto",
        "seed": 7,
        "command": f"python run.py --model cifar --data-dir /{EVIL}",
        "options": {"model": "cifar", "size": 12000, "control": True, "data_dir": f"/{EVIL}"},
        "stages": stages,
        "baseline_accuracy": 0.9,
        "baseline_bytes": before,
        "compressed_bytes": after,
        "ratio": before / after,
        "shipped_bytes": None,
        "reloaded_accuracy": 0.88,
        "reload_exact": True,
        "control_accuracy": 0.91,
        "tickets": rounds(),
        "checks": [
            {"name": "bytes", "budget": 100, "predicted": 90, "measured": after, "met": False},
            {
                "name": "points lost",
                "budget": None,
                "predicted": None,
                "measured": 2.0,
                "met": True,
            },
        ],
        "seconds": 6.0,
        "versions": {"jax": EVIL},
        "device": {"kind": "cpu", "platform": "cpu", "processor": f"a {EVIL}", "threads": 1},
    }


def rounds():
    """Two rounds of a lottery, of which the second one has no dense network trained on."""
    ways = ("ticket", "new_weights", "random_mask", "fine_tuned", "dense")
    return [
        {"sparsity": 0.5, **dict(zip(ways, (0.9, 0.85, 0.8, 0.875, 0.9), strict=True))},
        {"sparsity": 0.75, **dict(zip(ways, (0.875, 0.75, 0.5, 1.0, 0.9), strict=True))},
    ]


def member(size, milliseconds, accuracy, **sizes):
    return {
        "sizes": sizes,
        "size_bytes": size,
        "milliseconds": milliseconds,
        "speedups": {"1": 2.0, "64": 8 / milliseconds},
        "accuracy": accuracy,
        "loss": None if accuracy is None else 1 - accuracy,
        "epochs": 4,
    }


def front():
    """What a search tried: two on the front, one beaten, one diverged."""
    best = [member(2000, 1.0, 0.75, widths=[4, 8]), member(9000, 2.0, 0.9, name=EVIL)]
    others = [member(9500, 2.5, 0.5, widths=[8, 8]), member(4000, 1.5, None, widths=[2, 2])]
    return {
        "trials": 4,
        "diverged": ['{"widths": [2, 2]}'],
        "images_trained_on": 12345,
        "validation_images": 200,
        "chosen": {"name": EVIL},
        "front": best,
        "tried": [others[0], *best, others[1]],
    }


def alone():
    """The damage of two layers alone."""
    rows = [("dense2", 0.25, 1.5), (EVIL, 0.5, -0.5)]
    layers = [
        {"layer": name, "tensors": [f"params/{name}/kernel"], "kl": kl, "points_lost": lost}
        for name, kl, lost in rows
    ]
    return {"version": 1, "why_not": None, "images": 64, "layers": layers}


def choice(size, damage, **settings):
    return {"settings": settings, "size_bytes": size, "error": 0.1, "damage": damage}


def profile():
    tensors = [
        {
            "path": f"params/{name}/kernel",
            "shape": [40, 30],
            "choices": [choice(300, damage, step_size=1.0), choice(4800, 0.0, keep=True)],
        }
        for name, damage in (("dense2", 0.01), (EVIL, 0.5))
    ]
    anchors = [
        {"added_bytes": size, "size_bytes": size, "damage": damage, "lost": lost}
        for size, damage, lost in ((900, 0.9, 40.0), (2000, 0.2, 5.0), (2500, 0.3, 6.0))
    ]
    network = {"name": "units 0.75", "tensors": tensors, "anchors": anchors, "flops": 1000}
    return {
        "kind": "profile",
        "version": 1,
        "metric": "kl_divergence",
        "networks": [network],
        "kept": {"outside of the scope": ["params/conv1/bias"]},
        "limits": [f"no {EVIL}"],
    }


def plan():
    return {
        "kind": "plan",
        "version": 1,
        "name": "units 0.75",
        "cut": {"units": {"params/conv1": 12}},
        "settings": {"params/dense2/kernel": {"step_size": 0.5}, EVIL: {"keep": True}},
        "budget": {"size_bytes": 100.0, "speedup": None, "drop": None},
        "size_bytes": 90.5,
        "why": [f"because {EVIL}"],
    }


def answers(folder):
    labels = RNG.integers(0, 3, 400)
    before, after = labels.copy(), labels.copy()
    before[:40], after[20:68] = (labels[:40] + 1) % 3, (labels[20:68] + 2) % 3
    np.savez(
        folder / "answers.npz",
        labels=labels.astype(np.uint16),
        before=before.astype(np.uint16),
        after=after.astype(np.uint16),
        names=np.frombuffer(json.dumps([EVIL, "b&b", "c"]).encode(), np.uint8),
        numbers=np.array([0, 30]),
        pictures=RNG.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8),
    )


def make(folder, *, layout="csr"):
    """Write a whole folder and return it."""
    folder.mkdir(exist_ok=True)
    tree = baseline()
    flat = {
        f"params/{a}/{b}": array
        for a, layer in tree["params"].items()
        for b, array in layer.items()
    }
    np.savez(folder / "baseline.npz", allow_pickle=False, **flat)
    jc.save(folder / "compressed.npz", compressed(tree), layout=layout, metadata={"x": EVIL})
    sizes = [(folder / name).stat().st_size for name in ("baseline.npz", "compressed.npz")]
    told = {"results": results(*sizes), "profile": profile(), "plan": plan()}
    told |= {"front": front(), "alone": alone()}
    for name, value in told.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    answers(folder)
    return folder


def with_seed(first, folder, seed, change=None):
    """A copy of a run, with another seed, other accuracies and times."""
    shutil.copytree(first, folder)
    told = json.loads((folder / "results.json").read_text())
    told |= {"seed": seed, "options": told["options"] | {"seed": seed}} | (change or {})
    told["reloaded_accuracy"] = 0.88 - 0.01 * seed
    for row in told["stages"]:
        row["latency_ms"] *= 1 + seed / 8
        if row["name"] == "reloaded":
            row["accuracy"] = told["reloaded_accuracy"]
    for row in told["tickets"]:
        row["ticket"] -= 0.01 * seed
    (folder / "results.json").write_text(json.dumps(told))
    return folder
