"""A graph network of crystals: CHGNet, whose own code builds the graphs."""

import warnings

import numpy as np
from chgnet.model.model import CHGNet  # pyright: ignore[reportMissingImports]
from pymatgen.core import Lattice, Structure  # pyright: ignore[reportMissingImports]

from benchmarks.checkpoints.network import Checkpoint, Network, Weights, Wheel
from benchmarks.checkpoints.states import arrays, state, tensors

_ROCK_SALT, _ZINC_BLENDE = "Fm-3m", "F-43m"
CRYSTALS = (
    (_ROCK_SALT, "Na", "Cl", 5.64),
    (_ROCK_SALT, "Mg", "O", 4.21),
    (_ROCK_SALT, "Li", "F", 4.03),
    (_ROCK_SALT, "K", "Br", 6.60),
    (_ROCK_SALT, "Ti", "N", 4.24),
    (_ROCK_SALT, "Fe", "O", 4.33),
    (_ZINC_BLENDE, "Si", "Si", 5.43),
    (_ZINC_BLENDE, "Ga", "As", 5.65),
    (_ZINC_BLENDE, "Zn", "S", 5.41),
    (_ZINC_BLENDE, "Si", "C", 4.36),
    (_ZINC_BLENDE, "Cu", "I", 6.05),
    (_ZINC_BLENDE, "B", "N", 3.62),
)
"""Kind, elements, and edge of the cell in angstrom; 8 atoms each."""


def crystals(wheel: Wheel) -> Network:
    """Return CHGNet: energy in eV an atom, and forces in eV an angstrom, of shaken crystals."""
    saved = state(wheel.read(CRYSTAL.member))["model"]
    random = np.random.default_rng(0)
    shaken = [_shaken(random, *crystal) for crystal in CRYSTALS]
    net = CHGNet(**saved["model_args"], verbose=False).eval()
    graphs = [net.graph_converter(structure) for structure in shaken]
    whole = saved["state_dict"]

    def outputs(weights: Weights) -> np.ndarray:
        net.load_state_dict(whole | tensors(weights))
        found = [net.predict_graph(graph, task="ef") for graph in graphs]
        return np.stack([np.append(each["e"], each["f"]) for each in found])

    def score(found: np.ndarray, original: np.ndarray) -> float:
        return 1000 * float(np.mean(np.abs(found[:, 0] - original[:, 0])))

    return Network(arrays(whole), outputs, score)


def _shaken(
    random: np.random.Generator, kind: str, first: str, second: str, edge: float
) -> Structure:
    """Return a crystal whose atoms are up to a twentieth of an angstrom away from their places."""
    other = 0.5 if kind == _ROCK_SALT else 0.25
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Structure.from_spacegroup(
            kind, Lattice.cubic(edge), [first, second], [[0, 0, 0], [other] * 3]
        )
    moves = random.uniform(-0.05, 0.05, (len(found), 3))
    places = found.cart_coords + moves
    return Structure(found.lattice, found.species, places, coords_are_cartesian=True)


CRYSTAL = Checkpoint(
    "CHGNet (graph network)",
    "chgnet",
    "BSD-3-Clause",
    "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "error of the energy, meV an atom",
    crystals,
    "pt",
)
CHECKPOINTS = (CRYSTAL,)
