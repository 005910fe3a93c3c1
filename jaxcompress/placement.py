"""Placement of arrays: results are on the devices of the arrays that they were made from."""

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxcompress.trees import PyTree


def like(array: Any, other: Any) -> Any:
    """Return an array on the devices of another, split in the same way.

    An array that cannot be split so, such as 7 rows over 2 devices, is replicated there.

    Under `jit` only explicit axes can be read and requested; the compiler decides the rest.

    Args:
        array: of JAX, or traced.
        other: of any kind; an array of numpy, or on one device, has no effect.
    """
    if not isinstance(other, jax.Array) or isinstance(array, Tracer) != isinstance(other, Tracer):
        return array
    if isinstance(other, Tracer):
        wanted = explicit_sharding(other)
        return array if wanted is None else jax.sharding.reshard(array, wanted)
    if isinstance(other.sharding, SingleDeviceSharding) and not other.committed:
        return array
    wanted = other.sharding
    if array.shape != other.shape and isinstance(wanted, NamedSharding):
        try:
            wanted.shard_shape(array.shape)
        except ValueError:
            wanted = NamedSharding(wanted.mesh, PartitionSpec())
    return jax.device_put(array, wanted)


def explicit_sharding(array: Any) -> NamedSharding | None:
    """Return the sharding of an array on a mesh with explicit axes, where its type has it."""
    if not isinstance(array, jax.Array):
        return None
    sharding = jax.typeof(array).sharding
    return sharding if AxisType.Explicit in getattr(sharding.mesh, "axis_types", ()) else None


def by_compiler(function: Callable[..., PyTree], *arrays: Any, like: Any = None) -> PyTree:
    """Call a function with all axes left to the compiler if any array has explicit axes.

    The shardings of operands do not determine those of gathers, scatters and reshapes.

    Args:
        function: of the arrays; returns one array.
        *arrays: the operands.
        like: an array of the shape of the result, which is split like it; else it is replicated.
    """
    found = [sharding for array in arrays if (sharding := explicit_sharding(array)) is not None]
    if not found:
        return function(*arrays)
    own = explicit_sharding(like)
    out = NamedSharding(found[0].mesh, PartitionSpec()) if own is None else own
    return jax.sharding.auto_axes(function, out_sharding=out)(*arrays)
