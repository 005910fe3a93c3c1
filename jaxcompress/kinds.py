"""The kinds of dtypes, and the kinds that techniques handle: the one table of both."""

import enum
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray


class Kind(enum.Enum):
    """A kind of dtype."""

    FLOAT = enum.auto()
    SMALL_FLOAT = enum.auto()
    COMPLEX = enum.auto()
    INTEGER = enum.auto()
    BOOLEAN = enum.auto()
    KEY = enum.auto()
    OTHER = enum.auto()


class Kinds(NamedTuple):
    """The kinds that a technique handles; it refuses others, naming the path.

    Attributes:
        words: a name of the kinds, for errors.
        members: the kinds.
    """

    words: str
    members: tuple[Kind, ...]


FLOATS = Kinds("floating-point numbers of 16 bits or more", (Kind.FLOAT,))
REALS = Kinds("floating-point numbers", (*FLOATS.members, Kind.SMALL_FLOAT))
WEIGHTS = Kinds("floating-point or complex numbers", (*REALS.members, Kind.COMPLEX))
NUMBERS = Kinds("numbers", (*WEIGHTS.members, Kind.INTEGER, Kind.BOOLEAN))

_KIND_OF = {
    jnp.floating: Kind.FLOAT,
    jnp.complexfloating: Kind.COMPLEX,
    jnp.integer: Kind.INTEGER,
    jnp.bool_: Kind.BOOLEAN,
    jax.dtypes.prng_key: Kind.KEY,
}

KEYS_REMEDY = (
    "leave random keys out of the tree, as nnx.split(net, nnx.Param, ...) does, or take "
    "jax.random.key_data of them"
)
"""The remedy for keys, which numpy and files cannot treat as numbers."""


def kind_of(leaf: Any) -> Kind:
    """Return the kind of the dtype of a leaf.

    Example:
        >>> kind_of(np.ones(2, np.int8)).name, kind_of(jnp.ones(2, jnp.float8_e5m2)).name
        ('INTEGER', 'SMALL_FLOAT')
    """
    matches = (kind for dtype, kind in _KIND_OF.items() if jnp.issubdtype(leaf.dtype, dtype))
    kind = next(matches, Kind.OTHER)
    if leaf.dtype == jnp.float8_e8m0fnu:  # exponents only, never zero: for scales, not for weights
        return Kind.OTHER
    if kind is Kind.FLOAT and jnp.finfo(leaf.dtype).bits < 16:
        return Kind.SMALL_FLOAT
    return kind


def check_kind(
    path: str, leaf: Any, kinds: Kinds, remedy: str = "leave it out of the scope"
) -> None:
    """Refuse a leaf that a technique does not handle.

    Raises:
        TypeError: naming the leaf, what it may hold and its dtype.
    """
    kind = kind_of(leaf)
    if kind not in kinds.members:
        raise TypeError(
            f"{path}: leaves in the scope must be of {kinds.words}, got {leaf.dtype}; "
            f"{KEYS_REMEDY if kind is Kind.KEY else remedy}."
        )


def is_array(leaf: Any) -> bool:
    """Return whether `leaf` has a shape, and a dtype of numpy or JAX.

    Example:
        >>> [is_array(leaf) for leaf in (np.ones(2), jnp.ones(2), 1.0, [1.0])]
        [True, True, False, False]
    """
    is_known = isinstance(getattr(leaf, "dtype", None), np.dtype) or is_shape(leaf)
    return hasattr(leaf, "shape") and (is_known or isinstance(leaf, jax.Array))


def check_array(path: str, leaf: Any) -> None:
    """Refuse leaves that are no arrays of numpy or JAX, such as tensors of another library.

    Raises:
        TypeError: naming the leaf, and what to pass instead of it.
    """
    if not is_array(leaf):
        remedy = next(words for looks_so, words in _REMEDIES if looks_so(leaf))
        raise TypeError(f"{path}: leaves must be arrays, got {type(leaf).__name__}; {remedy}.")
    if is_unnamed(leaf.dtype):
        raise TypeError(f"{path}: leaves must have a dtype, got {leaf.dtype.str}, {UNNAMED}.")
    refuse_masked(path, leaf)


def _has(name: str) -> Callable[[Any], bool]:
    return lambda leaf: hasattr(leaf, name)


_REMEDIES: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_has("state_dict"), "pass {name: t.numpy() for name, t in net.state_dict().items()}"),
    (_has("detach"), "pass leaf.detach().cpu().numpy()"),
    (_has("get_tensor"), "pass {name: file.get_tensor(name) for name in file.keys()}"),
    (_has("numpy"), "pass leaf.numpy()"),
    (lambda leaf: isinstance(leaf, Mapping), "pass dict(it)"),
    (_has("shape"), "pass numpy.asarray(leaf)"),
    (
        lambda leaf: isinstance(leaf, int | float | complex),
        "pass numpy.asarray of it, or of the list of numbers that it is in",
    ),
    (lambda leaf: True, "filter the tree to its arrays first"),
)
"""What to pass instead of a leaf; the first that it looks like counts."""


UNNAMED = (
    "as numpy writes and reads bfloat16, float8 and int4 without their names; read it with "
    "array.view(ml_dtypes.bfloat16), say, and save it with safetensors instead of numpy"
)
"""What is wrong with dtypes without a name, and what to do."""


def is_unnamed(dtype: np.dtype) -> bool:
    """Return whether a dtype is bytes of which `.npy` does not say what they are.

    Example:
        >>> is_unnamed(np.dtype("V2")), is_unnamed(np.dtype(jnp.bfloat16))
        (True, False)
    """
    return dtype.type is np.void and dtype.fields is None


def refuse_masked(path: str, leaf: Any) -> None:
    """Refuse arrays of `numpy.ma`, whose masks would be lost.

    Raises:
        TypeError: naming the leaf.
    """
    if isinstance(leaf, np.ma.MaskedArray):
        raise TypeError(
            f"{path}: leaves must be arrays without masks of numpy, got {type(leaf).__name__}; "
            "pass leaf.filled(0), and the mask to apply_mask."
        )


def is_shape(leaf: Any) -> bool:
    """Return whether `leaf` has a shape and a dtype but no values, as from `jax.eval_shape`."""
    return isinstance(leaf, jax.ShapeDtypeStruct | ShapedArray)


def check_values(path: str, leaf: Any) -> None:
    """Refuse shapes where values are needed.

    Raises:
        TypeError: naming the leaf.
    """
    if is_shape(leaf):
        raise TypeError(
            f"{path}: leaves must be arrays with values, got a shape, {type(leaf).__name__}; "
            "pass the weights themselves."
        )


def refuse_key(path: str, leaf: Any, purpose: str) -> None:
    """Refuse random keys where numbers are needed.

    Raises:
        TypeError: naming the leaf and what it cannot be.
    """
    if is_key(leaf):
        raise TypeError(
            f"{path}: must be numbers to be {purpose}, got {leaf.dtype}; {KEYS_REMEDY}."
        )


def is_key(leaf: Any) -> bool:
    """Return whether `leaf` holds keys of `jax.random.key`, which numpy does not know."""
    return kind_of(leaf) is Kind.KEY


def native(leaf: Any) -> Any:
    """Return an array of numpy in the byte order of this machine, other leaves unchanged.

    JAX supports no other order. A subclass, such as a memory map, becomes a plain view.

    Raises:
        TypeError: it is one of `numpy.ma`.

    Example:
        >>> native(np.ones(2, ">f4")).dtype.isnative
        True
    """
    if not isinstance(leaf, np.ndarray):
        return leaf
    refuse_masked("(a leaf)", leaf)
    order = leaf.dtype if leaf.dtype.isnative else leaf.dtype.newbyteorder("=")
    return np.asarray(leaf, order)


def codes_dtype(k: int) -> type[np.unsignedinteger]:
    """Return the smallest dtype of codes from 0 to `k`."""
    return np.uint8 if k < 256 else np.uint16
