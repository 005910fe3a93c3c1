"""Equinox: modules hold their arrays, and some layers the sizes of these."""

import copy
import dataclasses
import importlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.modules._containers import is_record, like, parts_of
from jaxcompress.trees import PyTree, named_leaves

Sizes = Callable[[Any], dict[str, Any]]
"""From a layer to the attributes that follow from its arrays."""


def rebuilt(module: Any, tree: PyTree) -> Any:
    """Return a copy of the module with the arrays of a tree, and the sizes of these.

    Of lists the first layers stay, as many as the tree has; they must be of one type. Attention has
    as many heads as before, and narrower ones: so the code computes with these arrays. A module in
    several places is one again where its arrays are equal.

    Raises:
        ValueError: an array is missing, there is one too many, or one of another rank.
    """
    equinox = importlib.import_module("equinox")
    return _Filling(equinox.is_array, _rules(equinox.nn)).filled(module, tree, "")


class _Filling:
    """Arrays of a tree in the place of those of a module.

    Args:
        is_array: of Equinox.
        rules: sizes of layers, by type.
    """

    def __init__(self, is_array: Callable[[Any], bool], rules: Mapping[type, Sizes]) -> None:
        self._is_array, self._rules = is_array, rules
        self._made: dict[int, list[tuple[Any, Any]]] = defaultdict(list)

    def filled(self, node: Any, tree: Any, path: str) -> Any:
        if not is_record(node):
            return self._filled(node, tree, path)
        earlier = self._made[id(node)]  # a module in several places
        found = next((made for given, made in earlier if _are_equal(given, tree)), None)
        if found is None:
            found = self._filled(node, tree, path)
            earlier.append((tree, found))
        return found

    def _filled(self, node: Any, tree: Any, path: str) -> Any:
        if self._is_array(node):
            return _array(node, tree, path)
        parts = _parts(node)
        if not self._holds(node):
            if self._holds(tree):
                raise ValueError(
                    f"{path}: must have no arrays, as in the module, got some; leave them out."
                )
            return node
        given = _parts(tree)
        if not parts:
            raise ValueError(
                f"{path}: must be a module, a dict, a list or a tuple to be filled, got "
                f"{type(node).__name__}; put the arrays into fields of the module."
            )
        if isinstance(node, (list, tuple)):
            parts = self._shortened(node, given, path)
        unknown = [key for key in given if key not in parts and given[key] is not None]
        if unknown:
            raise ValueError(
                f"{_join(path, unknown[0])}: must be in the module, got none there; build the "
                "module that the tree is of."
            )
        made = {k: self.filled(part, given.get(k), _join(path, k)) for k, part in parts.items()}
        return self._like(node, made)

    def _shortened(
        self, node: Sequence[Any], given: Mapping[Any, Any], path: str
    ) -> dict[int, Any]:
        """Return the entries that stay: without arrays all, of the others as many as are given."""
        own = [n for n, each in enumerate(node) if self._holds(each)]
        count = sum(map(self._holds, given.values()))
        dropped = set(own[count:]) if count else set()
        if dropped and len({type(node[n]) for n in own}) > 1:
            raise ValueError(
                f"{path}: must have all layers, as they are of several types, got {count} of "
                f"{len(own)}; build the module that the tree is of."
            )
        return {n: each for n, each in enumerate(node) if n not in dropped}

    def _holds(self, node: Any) -> bool:
        return any(map(self._is_array, jax.tree.leaves(node)))

    def _like(self, node: Any, made: dict[Any, Any]) -> Any:
        if isinstance(node, (Mapping, list, tuple)):
            return like(node, made)
        new = copy.copy(node)
        for name, value in made.items():
            object.__setattr__(new, name, value)
        for kind, sizes in self._rules.items():
            if isinstance(node, kind):
                for name, value in sizes(new).items():
                    object.__setattr__(new, name, value)
        return new


def _are_equal(one: Any, other: Any) -> bool:
    mine, its = named_leaves(one), named_leaves(other)
    pairs = zip(mine.leaves, its.leaves, strict=False)
    return mine.paths == its.paths and all(a is b or np.array_equal(a, b) for a, b in pairs)


def _array(node: Any, given: Any, path: str) -> Any:
    if not hasattr(given, "shape"):
        raise ValueError(f"{path}: must be an array, got none in the tree; add it.")
    if len(given.shape) != len(node.shape):
        raise ValueError(
            f"{path}: must have {len(node.shape)} axes, got {list(given.shape)}; build the module "
            "that the tree is of."
        )
    return given


def _parts(value: Any) -> dict[Any, Any]:
    if is_record(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    return parts_of(value)


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)


def _rules(nn: Any) -> dict[type, Sizes]:
    """Return the attributes of layers that follow from their arrays, by type."""
    return {
        nn.Linear: _linear,
        nn.Embedding: lambda x: dict(
            zip(("num_embeddings", "embedding_size"), x.weight.shape, strict=True)
        ),
        nn.Conv: _conv,
        nn.ConvTranspose: _conv,
        nn.BatchNorm: lambda x: {} if x.weight is None else {"input_size": x.weight.shape[0]},
        nn.LayerNorm: _normed,
        nn.RMSNorm: _normed,
        nn.GroupNorm: lambda x: {} if x.weight is None else {"channels": x.weight.shape[0]},
        nn.MultiheadAttention: _attention,
        nn.GRUCell: _recurrent,
        nn.LSTMCell: _recurrent,
        nn.MLP: _mlp,
    }


def _linear(layer: Any) -> dict[str, Any]:
    outputs, inputs = layer.weight.shape
    sizes = {"in_features": inputs, "out_features": outputs}
    return {name: n for name, n in sizes.items() if getattr(layer, name) != "scalar"}


def _conv(layer: Any) -> dict[str, Any]:
    outputs, inputs = layer.weight.shape[:2]
    groups = layer.groups
    if groups > 1 and inputs == 1:  # a channel each: as many outputs of each as before
        groups = outputs * groups // layer.out_channels
    return {"groups": groups, "in_channels": inputs * groups, "out_channels": outputs}


def _normed(layer: Any) -> dict[str, Any]:
    arrays = [each for each in (layer.weight, layer.bias) if each is not None]
    return {"shape": tuple(arrays[0].shape)} if arrays else {}


def _attention(layer: Any) -> dict[str, Any]:
    query, value, output = layer.query_proj, layer.value_proj, layer.output_proj
    return {
        "qk_size": query.out_features // layer.num_heads,
        "vo_size": value.out_features // layer.num_heads,
        "query_size": query.in_features,
        "key_size": layer.key_proj.in_features,
        "value_size": value.in_features,
        "output_size": output.out_features,
    }


def _recurrent(layer: Any) -> dict[str, Any]:
    return {"input_size": layer.weight_ih.shape[1], "hidden_size": layer.weight_hh.shape[1]}


def _mlp(layer: Any) -> dict[str, Any]:
    first, last = layer.layers[0], layer.layers[-1]
    sizes = {"in_size": first.in_features, "out_size": last.out_features}
    if len(layer.layers) > 1:
        sizes["width_size"] = first.out_features
    return sizes | {"depth": len(layer.layers) - 1}
