"""A transformer of molecules: chython-rxnmap."""

import numpy as np

from benchmarks.checkpoints.graphs import graph
from benchmarks.checkpoints.judge import unequal
from benchmarks.checkpoints.network import Checkpoint, Network, Weights, Wheel


def molecules(wheel: Wheel) -> Network:
    """Return a transformer that says which atom of a product was which before the reaction.

    The reactions are chains with a ring, of which one bond breaks.
    """
    model = graph(wheel.read(MOLECULES.member))
    random = np.random.default_rng(0)
    feeds = [_reaction(random, size) for size in (8, 12, 16, 20)]

    def outputs(weights: Weights) -> np.ndarray:
        session = model.session(weights)
        found = np.zeros((len(feeds), 44, 44), np.float32)
        for rows, feed in zip(found, feeds, strict=True):
            attention = np.asarray(session.run(None, feed)[0])
            rows[: len(attention), : len(attention)] = attention
        return found

    def score(found: np.ndarray, original: np.ndarray) -> float:
        pairs = zip(found, original, (8, 12, 16, 20), strict=True)
        best = [
            [rows[3 + size : 3 + 2 * size, 2 : 2 + size].argmax(1) for rows in each]
            for *each, size in pairs
        ]
        return unequal(*(np.concatenate(each) for each in zip(*best, strict=True)))

    return Network(model.weights(), outputs, score)


def _reaction(random: np.random.Generator, size: int) -> dict[str, np.ndarray]:
    """Return one molecule before and after: its atoms, their neighbours, distances in bonds."""
    elements = random.choice([6, 6, 6, 6, 7, 8], size)
    before = {(k, k + 1) for k in range(size - 1)} | {(0, 5)}
    after = before - {(size - 2, size - 1)} | {(6, size - 1)}
    length = 1 + 2 * (1 + size)
    atoms, neighbours, roles = (np.zeros(length, np.int64) for _ in range(3))
    distances = np.zeros((length, length), np.int64)
    atoms[0], roles[0], distances[0, 0] = 2, 1, 1
    for start, bonds, role in ((1, before, 2), (2 + size, after, 3)):
        steps = np.full((size, size), 10)
        np.fill_diagonal(steps, 0)
        for a, b in bonds:
            steps[a, b] = steps[b, a] = 1
        for middle in range(size):
            steps = np.minimum(steps, steps[:, [middle]] + steps[[middle]])
        here = slice(start + 1, start + 1 + size)
        atoms[start], roles[start : start + 1 + size] = 1, role
        atoms[here], neighbours[here] = elements + 2, 2 + (steps == 1).sum(1)
        distances[start : start + 1 + size, start : start + 1 + size] = 1
        distances[here, here] = steps + 2
    return {"atoms": atoms[None], "neighbors": neighbours[None], "roles": roles[None]} | {
        "distances": distances[None]
    }


MOLECULES = Checkpoint(
    "chython-rxnmap (transformer)",
    "chython_rxnmap",
    "LGPL-3.0",
    "chython_rxnmap/rxnmap.onnx",
    "atoms unlike the original's, %",
    molecules,
    "as it is",
)
CHECKPOINTS = (MOLECULES,)
