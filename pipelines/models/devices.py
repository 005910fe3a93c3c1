"""The devices that divide each batch among them: data parallelism through one mesh."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

_AXIS = "batch"


@dataclass(frozen=True)
class Devices:
    """The devices of a run.

    With one device there is no mesh: every method gives back what it got, and JAX computes as it
    would without this class. With several, rows of a batch are divided among them, and each has all
    parameters.

    Attributes:
        mesh: of one axis; None for one device.
    """

    mesh: Mesh | None = None

    @property
    def count(self) -> int:
        """How many they are, of all processes."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def processes(self) -> int:
        """How many processes they belong to."""
        return 1 if self.mesh is None else len({d.process_index for d in self.mesh.devices.flat})

    def rows(self, tree: Any) -> Any:
        """Return arrays of the host with their rows divided among the devices, a multiple of them.

        Each process feeds the rows of its own devices.
        """
        return self._placed(tree, PartitionSpec(_AXIS))

    def near_rows(self, tree: Any) -> Any:
        """Return `rows` of one process; several compute all rows, and have the same result each."""
        return self.rows(tree) if self.processes == 1 else tree

    def whole(self, tree: Any) -> Any:
        """Return the tree with every array whole on every device."""
        return self._placed(tree, PartitionSpec())

    def pinned(self, tree: Any) -> Any:
        """Return the tree, every array whole on every device; for traced functions."""
        if self.mesh is None:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.mesh, PartitionSpec()))

    def home(self, tree: Any) -> Any:
        """Return arrays of `whole` on the device where JAX puts arrays by itself."""
        if self.mesh is None:
            return tree
        return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)

    def fetched(self, rows: Any) -> np.ndarray:
        """Return an array that is divided by rows, on the host."""
        if self.processes == 1:
            return np.asarray(rows)
        return np.asarray(multihost_utils.process_allgather(rows, tiled=True))

    def padded(self, size: int) -> int:
        """Return the smallest multiple of the number of devices from `size` on.

        Example:
            >>> Devices().padded(7)
            7
        """
        return -(-size // self.count) * self.count

    def _placed(self, tree: Any, spec: PartitionSpec) -> Any:
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, spec)

        def placed(leaf: Any) -> jax.Array:
            host = np.asarray(leaf)
            return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

        return jax.tree.map(placed, tree)


ALONE = Devices()
"""One device, or rather none that this program chooses."""


@dataclass(frozen=True, kw_only=True)
class Division:
    """How a batch is divided.

    Attributes:
        images: in a batch.
        processes: how many take part.
        devices: how many take part, of all processes.
        idle: devices that do not, because the batch does not divide by all of them.
    """

    images: int
    processes: int = 1
    devices: int = 1
    idle: int = 0

    def as_json(self) -> dict[str, int]:
        """Return the field `batch` of `results.json`."""
        return {
            "images": self.images,
            "processes": self.processes,
            "devices": self.devices,
            "images_a_device": self.images // self.devices,
            "idle_devices": self.idle,
        }

    def sentence(self) -> str:
        """Return it in words.

        Example:
            >>> print(Division(images=64, devices=2, idle=1).sentence())
            batches of 64 images on 2 devices, 32 images each; 1 more is idle, as 64 images do not \
divide by 3: pass --batch-size 63 to use all
        """
        each = self.images // self.devices
        on = f"{self.devices} device{'' if self.devices == 1 else 's'}"
        of = f" of {self.processes} processes" if self.processes > 1 else ""
        text = f"batches of {self.images} images on {on}{of}, {each} images each"
        if not self.idle:
            return text
        found = self.devices + self.idle
        is_idle = "1 more is idle" if self.idle == 1 else f"{self.idle} more are idle"
        fit = max(self.images // found, 1) * found
        return (
            f"{text}; {is_idle}, as {self.images} images do not divide by {found}: pass "
            f"--batch-size {fit} to use all"
        )


def divided(found: Sequence[Any], images: int) -> tuple[Devices, Division]:
    """Return the devices that a batch divides by, as many of each process, and how.

    Args:
        found: of all processes, as many of each.
        images: in a batch, a multiple of the number of processes.
    """
    by_process: dict[int, list[Any]] = {}
    for device in found:
        by_process.setdefault(device.process_index, []).append(device)
    processes, most = len(by_process), min(map(len, by_process.values()))
    each = next(n for n in range(most, 0, -1) if images % (n * processes) == 0)
    chosen = [device for devices in by_process.values() for device in devices[:each]]
    division = Division(
        images=images,
        processes=processes,
        devices=len(chosen),
        idle=processes * most - len(chosen),
    )
    if len(chosen) == 1:
        return ALONE, division
    mesh = Mesh(np.array(chosen), (_AXIS,), axis_types=(AxisType.Auto,))
    return Devices(mesh), division
