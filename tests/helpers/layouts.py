"""A net, and how its arrays lie on devices."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

DEVICES = (1, 2, 8)


class Net(NamedTuple):
    """Weights and a batch."""

    params: Any
    x: Any


class Layout(NamedTuple):
    """How weights lie, by path, and how a batch does; whole where nothing is said.

    Sizes are those of inputs, width, blocks, outputs and samples.
    """

    says: str
    specs: dict[str, tuple[str | None, ...]]
    batch: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (16, 16, 8, 8, 16)


_LAST = {"in/kernel": (None, "x"), "in/bias": ("x",), "blocks/kernel": (None, None, "x")}
_ROWS = {"in/kernel": ("y",), "blocks/kernel": (None, "y"), "out/kernel": ("y",)}
_FIRST = ("in/kernel", "in/bias", "blocks/kernel", "blocks/bias", "out/kernel")
LAYOUTS = {
    "replicated": Layout("all arrays whole on each device", {}),
    "data": Layout("batches split", {}, ("x",)),
    "tensor": Layout(
        "weights split by outputs, those of the last layer by inputs",
        _LAST | {"blocks/bias": (None, "x"), "out/kernel": ("x",)},
    ),
    "FSDP": Layout(
        "batches, and each weight along its first axis", dict.fromkeys(_FIRST, ("x",)), ("x",)
    ),
    "uneven": Layout(
        "batches and weights over one axis of a mesh of two, sizes that few numbers divide",
        _ROWS | {"blocks/bias": (None, "y")},
        ("y",),
        (10, 14, 3, 5, 6),
    ),
}


def net_of(layout: Layout) -> Net:
    """Return a net in numpy; many of its weights are equal, so that there are ties."""
    inputs, width, depth, outputs, samples = layout.sizes
    rng = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return (np.round(rng.normal(size=shape), 1) / 4).astype("f")

    params = {
        "in": {"kernel": array(inputs, width), "bias": array(width)},
        "blocks": {"kernel": array(depth, width, width), "bias": array(depth, width)},
        "out": {"kernel": array(width, outputs)},
    }
    return Net(params, rng.normal(size=(samples, inputs)).astype("f"))


def places_of(net: Net, layout: Layout, devices: int) -> Net:
    """Return where the arrays of a net are on some devices."""
    shape = (devices,) if layout is not LAYOUTS["uneven"] else (-(-devices // 2), min(devices, 2))
    kinds = (AxisType.Auto,) * len(shape)
    chosen = jax.devices()[:devices]
    mesh = jax.make_mesh(shape, ("x", "y")[: len(shape)], axis_types=kinds, devices=chosen)

    def place(path: Any, leaf: Any) -> NamedSharding:
        del leaf
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return NamedSharding(mesh, PartitionSpec(*layout.specs.get(name, ())))

    params = jax.tree_util.tree_map_with_path(place, net.params)
    return Net(params, NamedSharding(mesh, PartitionSpec(*layout.batch)))


def apply(params: Any, x: jax.Array) -> jax.Array:
    """Return the outputs of a residual net whose blocks are stacked."""

    def block(h: jax.Array, own: Any) -> tuple[jax.Array, None]:
        return h + jax.nn.relu(h @ own["kernel"] + own["bias"]), None

    h, _ = jax.lax.scan(block, x @ params["in"]["kernel"] + params["in"]["bias"], params["blocks"])
    return h @ params["out"]["kernel"]
