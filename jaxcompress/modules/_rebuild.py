"""A module from the same code at other sizes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves import dense
from jaxcompress.modules import _equinox, _linen
from jaxcompress.modules._example import Example
from jaxcompress.modules._nnx import called
from jaxcompress.nnx import with_arrays
from jaxcompress.scopes import nested
from jaxcompress.trace.inputs import first_line
from jaxcompress.trees import PyTree
from jaxcompress.units.find import Rebuild

Call = Callable[..., PyTree]
_SHAPE = jax.ShapeDtypeStruct


class Made(NamedTuple):
    """A module at other sizes.

    Attributes:
        module: the new one.
        call: runs it.
        whole: runs the one that it was made from.
    """

    module: Any
    call: Call
    whole: Call


def rebuild(module: Any, tree: PyTree, *inputs: Any, **keywords: Any) -> Any:
    """Return a module from the same code at the sizes of a tree, once it was traced.

    After units or blocks were cut, arrays are smaller than the module that they came from. Modules
    of Flax NNX and of Equinox get the arrays, and their layers the attributes that follow from
    these; lists of layers may become shorter. Modules of Flax Linen hold no arrays: their integer
    fields are solved for, so that `init` gives the shapes of the tree; what no shape shows stays as
    it is. A module that stands in several places is one again: its arrays are given once, as NNX
    and Linen keep them, or at each place, as Equinox does, where different ones stay apart. A
    function is returned as it is. The result is traced with the inputs and gives outputs of the
    same shapes as the module. That is no comparison of numbers: compare those yourself.

    Args:
        module: the module at its own sizes, of `flax.nnx`, `flax.linen` or `equinox`, or
            `apply(tree, *inputs)`.
        tree: its arrays, dense or compressed: nested dicts of the module's names, as `load` returns
            them, or a tree like the module. Of Linen the variables or the parameters alone, also
            as shapes.
        *inputs: of one example call; what is no array (a flag, say) is passed as it is.
        **keywords: of the same call: `train=False`, say.

    Raises:
        TypeError: the module is of none of these libraries.
        ValueError: the tree is of another module, no fields or several are found at which the
            shapes agree, or the module does not run with these sizes.

    Example:
        >>> from flax import linen
        >>> class Net(linen.Module):
        ...     width: int
        ...     @linen.compact
        ...     def __call__(self, x):
        ...         return linen.Dense(3)(linen.relu(linen.Dense(self.width)(x)))
        >>> x = np.ones((1, 4), np.float32)
        >>> small = Net(5).init(jax.random.key(0), x)
        >>> rebuild(Net(8), small, x).width
        5
    """
    library, weights, example = _library_of(module), dense(tree), Example(inputs, keywords)
    if library == "function":
        _prove(partial(module, weights), example, None)
        return module
    made, call, whole = _MAKERS[library](module, weights, example)
    _prove(call, example, whole)
    return made


def at_sizes(module: Any, *inputs: Any, **keywords: Any) -> Rebuild:
    """Return what `unit_groups` and `check_shrink` take as `rebuild`, of a module of Flax Linen.

    Args:
        module: at its own sizes.
        *inputs: of one example call.
        **keywords: of the same call.

    Returns:
        From the new shape of every variable, by path, to `apply` of the module with the fields at
        which its variables have these shapes, as `rebuild` finds them. Where the paths are those
        of the parameters alone, it takes these alone.

    Raises:
        TypeError: a module of another library; these follow their arrays.

    Example:
        >>> from flax import linen
        >>> x, net = np.ones((1, 4), np.float32), linen.Dense(3)
        >>> small = at_sizes(net, x)({"params/kernel": (4, 2), "params/bias": (2,)})
        >>> small(linen.Dense(2).init(jax.random.key(0), x), x).shape
        (1, 2)
    """
    if (library := _library_of(module)) != "linen":
        raise TypeError(
            f"module: must be of flax.linen, got one of {library}, which follows its arrays; leave "
            "rebuild out."
        )

    fields = _linen.Fields(module, Example(inputs, keywords))

    def apply(sizes: Mapping[str, tuple[int, ...]]) -> Call:
        shapes = ((path, _SHAPE(tuple(size), np.float32)) for path, size in sizes.items())
        tree = nested(shapes)
        made = fields.rebuilt(tree).apply
        if "params" in tree:
            return made
        return lambda params, *inputs, **more: made({"params": params}, *inputs, **more)

    return apply


def _nnx(module: Any, tree: PyTree, example: Example) -> Made:
    del example
    made = with_arrays(module, tree)
    return Made(made, called(made), called(module))


def _of_equinox(module: Any, tree: PyTree, example: Example) -> Made:
    del example
    made = _equinox.rebuilt(module, tree)
    return Made(made, made, module)


def _of_linen(module: Any, tree: PyTree, example: Example) -> Made:
    fields = _linen.Fields(module, example)
    made = fields.rebuilt(tree)
    return Made(
        made,
        partial(made.apply, _filled(_linen.as_variables(tree))),
        partial(module.apply, _filled(fields.initial)),
    )


def _filled(tree: PyTree) -> PyTree:
    """Return zeros in place of shapes; for code that is traced."""

    def filled(leaf: Any) -> Any:
        return jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, _SHAPE) else leaf

    return jax.tree.map(filled, tree)


_MAKERS = {"nnx": _nnx, "equinox": _of_equinox, "linen": _of_linen}


def _library_of(module: Any) -> str:
    for kind in type(module).__mro__:
        for library, (place, name) in _BASES.items():
            if kind.__name__ == name and f"{kind.__module__}.".startswith(place):
                return library
    if callable(module) and not hasattr(module, "__dataclass_fields__"):
        return "function"
    raise TypeError(
        f"module: must be of flax.nnx, flax.linen or equinox, or a function, got "
        f"{type(module).__name__}; for others write a function of the tree."
    )


_BASES = {
    "nnx": ("flax.nnx.", "Module"),
    "linen": ("flax.linen.", "Module"),
    "equinox": ("equinox.", "Module"),
}


def _outputs(call: Call, example: Example) -> PyTree:
    """Return the shapes of the outputs; inputs that are no arrays are not traced."""
    leaves, form = jax.tree.flatten((list(example.inputs), dict(example.keywords)))
    is_traced = [hasattr(leaf, "dtype") for leaf in leaves]

    def run(arrays: list[Any]) -> PyTree:
        coming = iter(arrays)
        pairs = zip(is_traced, leaves, strict=True)
        inputs, keywords = form.unflatten([next(coming) if traced else x for traced, x in pairs])
        return call(*inputs, **keywords)

    return jax.eval_shape(run, [x for x, traced in zip(leaves, is_traced, strict=True) if traced])


def _prove(call: Call, example: Example, whole: Call | None) -> None:
    """Run what was rebuilt, and compare its outputs with those of the whole module.

    Raises:
        ValueError: it does not run, or has other outputs.
    """
    wanted = None
    if whole is not None:
        try:
            wanted = _outputs(whole, example)
        except Exception as error:  # whatever the code raises
            raise ValueError(
                f"inputs: must be those of one call of the module, got {first_line(error)}"
            ) from error
    try:
        found = _outputs(call, example)
    except Exception as error:  # whatever the code raises at sizes that do not fit
        raise ValueError(
            f"module: must run at the sizes of the tree, got {first_line(error)}; take sizes from "
            "arrays in the code, or build the module by hand."
        ) from error
    if wanted is not None and jax.tree.map(_form, found) != jax.tree.map(_form, wanted):
        raise ValueError(
            f"tree: must give outputs as wide as the module's, got {_said(found)} in place of "
            f"{_said(wanted)}; pass the module that it is of."
        )


def _form(leaf: Any) -> tuple[tuple[int, ...], str]:
    return tuple(leaf.shape), str(leaf.dtype)


def _said(outputs: PyTree) -> str:
    return ", ".join(str(list(leaf.shape)) for leaf in jax.tree.leaves(outputs)) or "nothing"
