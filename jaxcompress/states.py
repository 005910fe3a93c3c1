"""Optimizer states in a tree, which are not weights: recognized by names and by mirrored shapes.

A checkpoint of a training run holds moments and averages of gradients beside the network, in the
shapes of its weights. Pruning them does damage that shows only when training continues. Averages of
the weights themselves (EMA) beside the weights are a second network: whoever compresses one of the
two must know which.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence

from jaxcompress.trees import PyTree, Scope, check_scope, kernels, named_leaves

Shape = tuple[int, ...]

_MOST_PARTS = 64  # parts of a path that are read: a name may be as long as a file

_CONTAINER = re.compile(
    r"(?:^|_)(?:optimi[sz]ers?|optim|(?:opt|optim|optimi[sz]er|param)_?states?)(?:_|$)"
)
"""Names of containers: opt_state, opt_states_0, optimizer, optimizer_d, inner_opt_state."""

_AVERAGE = re.compile(r"(?:^|_)(?:ema|swa|shadow|polyak|averaged?)(?:_|$)")
"""Names of containers of averages: ema, ema_params, model_ema, swa_state, shadow_params."""

_MOMENTS = frozenset(
    "mu nu nu_max trace sum_of_squares e_g e_x v_row v_col m v ema "
    "exp_avg exp_avg_sq max_exp_avg_sq momentum_buffer square_avg grad_avg acc_delta exp_inf "
    "acc_grads preconditioner preconditioners hessian hessian_diag prev_grads prev_updates".split()
)
"""Fields of states that mirror the weights, in optax and similar libraries."""

_ALONE_ANYTHING = frozenset("mu m v ema".split())
"""These are moments only beside another field or as `m` and `v`: attention has a `v`, an
autoencoder a `mu`."""

_COUNTERS = frozenset(
    "count step steps mini_step gradient_step skip_state hyperparams hyperparams_states key "
    "inner_state inner_states inner_opt_state".split()
)
"""Fields beside moments in states."""

_OF_A_TENSOR = frozenset(
    "exp_avg exp_avg_sq max_exp_avg_sq momentum_buffer square_avg acc_delta exp_inf".split()
)
"""Names of states that belong to single tensors; no layer of a network has such a name."""

_SLOTS = frozenset("adam adam_1 momentum momentum_1 rmsprop rmsprop_1 adagrad adadelta".split())
"""Names of states that follow the path of a tensor of the same shape."""


def optimizer_states(paths: Sequence[str], shapes: Iterable[Sequence[int]]) -> list[bool]:
    """Return for each tensor whether it belongs to the state of an optimizer.

    It does if a part of its path says so (`opt_state`, `optimizer`), or if it is called `mu`, `nu`,
    `trace`, ... with only other fields of a state beside it, and mirrors the same paths and shapes
    elsewhere in the tree.

    Args:
        paths: of all leaves of a tree, their parts joined by slashes or dots.
        shapes: of these leaves.

    Example:
        >>> optimizer_states(["params/w", "0/mu/w", "0/nu/w"], [(2, 3), (2, 3), (2, 3)])
        [False, True, True]
        >>> optimizer_states(["mu/w", "logvar/w"], [(2, 3), (2, 3)])  # of an autoencoder
        [False, False]
    """
    parts = [tuple(re.split(r"[/.]", path, maxsplit=_MOST_PARTS)) for path in paths]
    sizes = dict(zip(parts, map(tuple, shapes), strict=True))
    fields = _fields(sizes)
    return [
        any(_CONTAINER.search(part.lower()) for part in path)
        or path[-1].lower() in _OF_A_TENSOR
        or (path[-1].lower() in _SLOTS and sizes.get(path[:-1]) == sizes[path])
        or any(path[:depth] in fields for depth in range(len(path)))
        for path in parts
    ]


def averages(paths: Sequence[str], shapes: Iterable[Sequence[int]]) -> list[bool]:
    """Return for each tensor whether it is an average of weights that lie beside it in the tree.

    It is if a part of its path says so (`ema`, `ema_params`, `model_ema`, `swa`, `shadow`), and if
    all tensors below that part mirror paths and shapes of another one. A checkpoint that has
    nothing but averages has weights.

    Args:
        paths: of all leaves of a tree, their parts joined by slashes or dots.
        shapes: of these leaves.

    Example:
        >>> averages(["ema/w", "params/w"], [(2, 3), (2, 3)]), averages(["ema/w"], [(2, 3)])
        ([True, False], [False])
    """
    parts = [tuple(re.split(r"[/.]", path, maxsplit=_MOST_PARTS)) for path in paths]
    below: dict[tuple[str, ...], set[tuple[tuple[str, ...], Shape]]] = defaultdict(set)
    for path, shape in zip(parts, shapes, strict=True):
        for depth in range(len(path)):
            below[path[:depth]].add((path[depth:], tuple(shape)))
    named = {path for path in below if path and _AVERAGE.search(path[-1].lower())}
    others = [leaves for path, leaves in below.items() if not _are_inside(path, named)]
    mirrors = {path for path in named if any(below[path] == leaves for leaves in others)}
    return [_are_inside(path, mirrors) for path in parts]


def _are_inside(path: tuple[str, ...], containers: set[tuple[str, ...]]) -> bool:
    return any(path[:depth] in containers for depth in range(len(path) + 1))


def outside_states(tree: PyTree, scope: Scope = kernels) -> Scope:
    """Return the scope of the leaves in `scope` that do not belong to the state of an optimizer.

    Args:
        tree: the whole tree, such as a checkpoint: a state is recognized by the weights it mirrors.
        scope: of the leaves outside of states.

    Example:
        >>> import numpy as np
        >>> tree = {"params": {"w": np.ones((2, 2))}, "opt_state": {"mu": {"w": np.ones((2, 2))}}}
        >>> scope = outside_states(tree)
        >>> scope("params/w", tree["params"]["w"]), scope("opt_state/mu/w", tree["params"]["w"])
        (True, False)
    """
    named = named_leaves(tree)
    states = optimizer_states(named.paths, [leaf.shape for leaf in named.leaves])
    return without(
        {path for path, is_state in zip(named.paths, states, strict=True) if is_state}, scope
    )


def without(paths: Container[str], scope: Scope) -> Scope:
    """Return the scope of the leaves in `scope` whose paths are not among these."""
    check_scope(scope)
    return lambda path, leaf: path not in paths and scope(path, leaf)


def _fields(sizes: dict[tuple[str, ...], Shape]) -> set[tuple[str, ...]]:
    """Return the paths of containers that are states by their contents."""
    children: dict[tuple[str, ...], set[str]] = defaultdict(set)
    below: dict[tuple[str, ...], dict[tuple[str, ...], Shape]] = defaultdict(dict)
    for path, shape in sizes.items():
        for depth in range(len(path) + 1):
            below[path[:depth]][path[depth:]] = shape
            if depth < len(path):
                children[path[:depth]].add(path[depth].lower())
    named = {path for path, names in children.items() if _are_fields(names)}
    trees = {
        frozenset(leaves.items())
        for path, leaves in below.items()
        if not any(path[:depth] in named for depth in range(len(path) + 1))
    }
    shapeless = {frozenset(path for path, _ in tree) for tree in trees}
    return {path for path in named if _mirrors(below[path], trees, shapeless)}


def _are_fields(names: set[str]) -> bool:
    """Return whether containers of these names are the state of an optimizer, by their names."""
    is_certain = names & _MOMENTS - _ALONE_ANYTHING or {"m", "v"} <= names or "count" in names
    return bool(is_certain and names & _MOMENTS) and names <= _MOMENTS | _COUNTERS


def _mirrors(
    leaves: dict[tuple[str, ...], Shape],
    trees: set[frozenset[tuple[tuple[str, ...], Shape]]],
    shapeless: set[frozenset[tuple[str, ...]]],
) -> bool:
    """Return whether a field has the leaves of another part of the tree."""
    by_field: dict[str, dict[tuple[str, ...], Shape]] = defaultdict(dict)
    for path, shape in leaves.items():
        if path and path[0].lower() in _MOMENTS:
            by_field[path[0].lower()][path[1:]] = shape
    return any(
        frozenset(inner) in shapeless
        if field in ("v_row", "v_col")  # a row or a column of each weight
        else frozenset(inner.items()) in trees
        for field, inner in by_field.items()
        if () not in inner or len(by_field) > 1  # one array called so may be anything
    )
