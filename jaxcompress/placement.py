"""Placement of arrays: results are on the devices of the arrays that they were made from.

Functions of the host take whole arrays one at a time, `on_host`, and put what they make of them
back where these lie, `like` and `beside`. Where arrays span processes, all processes call them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental import multihost_utils
from jax.sharding import (
    AxisType,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)

from jaxcompress.trees import PyTree


def spans_processes(array: Any) -> bool:
    """Return whether parts of an array are on devices of other processes."""
    is_concrete = isinstance(array, jax.Array) and not isinstance(array, Tracer)
    return is_concrete and not array.is_fully_addressable


def is_divided(array: Any) -> bool:
    """Return whether this process lacks parts of an array, so that others must help to read it."""
    return spans_processes(array) and not array.is_fully_replicated


def is_split(array: Any) -> bool:
    """Return whether an array is on several devices."""
    is_concrete = isinstance(array, jax.Array) and not isinstance(array, Tracer)
    return is_concrete and len(array.sharding.device_set) > 1


def on_host(array: Any) -> np.ndarray:
    """Return a whole array in numpy; JAX keeps no copy of it.

    `numpy.asarray` of a split array stays in memory as long as the array, so that a tree whose
    leaves were read one by one would be on the host in the end.

    Args:
        array: of any kind. If it is divided among processes, all must call this, in one order.

    Example:
        >>> on_host(jax.numpy.ones(2, bool))
        array([ True,  True])
    """
    if not is_split(array):
        return np.asarray(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    if not array.is_fully_addressable:
        return _gathered(array)
    return _assembled(array)


def _gathered(array: jax.Array) -> np.ndarray:
    """Return a whole array that spans processes; for a moment each device holds it too."""
    return multihost_utils.process_allgather(array, tiled=True)


def _assembled(array: jax.Array) -> np.ndarray:
    whole = np.empty(array.shape, array.dtype)
    for shard in array.addressable_shards:
        if not shard.replica_id:
            whole[shard.index] = np.asarray(shard.data)
    return whole


def fetched(tree: PyTree) -> PyTree:
    """Return a tree in numpy; if arrays are divided among processes, all must call this."""
    return jax.device_get(jax.tree.map(unsplit, tree))


def unsplit(array: Any) -> Any:
    """Return an array that is split over devices as a whole one in numpy, others unchanged."""
    is_numbers = is_split(array) and not jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return on_host(array) if is_numbers else array


def exchanged(data: bytes) -> list[bytes]:
    """Return what each process gives, by its number; all processes must call this.

    Example:
        >>> exchanged(b"ours")
        [b'ours']
    """
    if jax.process_count() == 1:
        return [data]
    sizes = multihost_utils.process_allgather(np.array([len(data)], np.int32))[:, 0]
    padded = np.zeros(max(sizes.max(), 1), np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    rows = multihost_utils.process_allgather(padded)
    return [row[:size].tobytes() for row, size in zip(rows, sizes, strict=True)]


def _put(array: Any, sharding: Sharding) -> jax.Array:
    """Return an array on devices, those of other processes included, which call this too."""
    if sharding.is_fully_addressable or spans_processes(array):
        return jax.device_put(array, sharding)
    whole = np.asarray(array)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def along(array: Any, other: Any, axes: Sequence[int | None]) -> Any:
    """Return an array on the devices of another, each axis split as one of the other.

    An array that cannot be split so is replicated there.

    Args:
        array: concrete, of JAX; another one is returned unchanged.
        other: an array on one device has no effect.
        axes: for each axis of the array that of the other, None for one that is not split.
    """
    if not is_split(other) or not isinstance(other.sharding, NamedSharding):
        return array
    if not isinstance(array, jax.Array) or isinstance(array, Tracer):
        return array
    mesh, spec = other.sharding.mesh, tuple(other.sharding.spec)
    spec += (None,) * (other.ndim - len(spec))
    wanted = NamedSharding(mesh, PartitionSpec(*(None if k is None else spec[k] for k in axes)))
    return _put(array, wanted if _can_split(wanted, array.shape) else _whole(mesh))


def beside(array: Any, other: Any) -> Any:
    """Return an array, such as a codebook, whole on each of the devices of another."""
    return along(array, other, (None,) * getattr(array, "ndim", 0))


def _whole(mesh: Any) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def _can_split(sharding: Sharding, shape: tuple[int, ...]) -> bool:
    try:
        sharding.shard_shape(shape)
    except ValueError:
        return False
    return True


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
    if isinstance(wanted, NamedSharding) and not _can_split(wanted, array.shape):
        wanted = _whole(wanted.mesh)
    return _put(array, wanted)


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
