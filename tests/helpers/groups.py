"""Groups as text, and random choices of their units."""

import numpy as np


def described(group):
    parts = [
        f"{part.path}:{part.axis}"
        + (f"x{part.indices.shape[1]}" if part.indices.shape[1] > 1 else "")
        for part in group.slices
    ]
    return group.size, sorted(parts + (["*"] if group.changes_function else []))


def random_keep(groups, seed, remove=0.5):
    rng = np.random.default_rng(seed)
    keep = {}
    for group in groups:
        stay = rng.random(group.size) >= remove
        stay[rng.integers(group.size)] = True
        keep[group.name] = stay
    return keep
