"""Trees by the paths of their leaves."""

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.prune._unit_slices import scored_slices
from jaxcompress.states import outside_states
from jaxcompress.trees import in_scope, named_leaves, nested


def test_paths_become_the_tree_that_they_are_of():
    tree = {"a": {"b": np.ones(1), "c": {"d": np.zeros(2)}}, "e": np.ones(3)}
    named = named_leaves(tree)
    assert named.paths == ["a/b", "a/c/d", "e"]
    again = nested(zip(named.paths, named.leaves, strict=True))
    assert again.keys() == tree.keys() and again["a"]["c"]["d"] is tree["a"]["c"]["d"]
    assert nested([]) == {} and nested([("", 1), ("a//b", 2)]) == {"": 1, "a": {"": {"b": 2}}}


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a", "a/b"], "'a/b' lies below a leaf"),
        (["a/b", "a/b/c/d"], "'a/b/c/d' lies below a leaf"),
        (["a/b", "a"], "'a' is there twice, or a leaf and more"),
        (["a/b", "c", "a/b"], "'a/b' is there twice, or a leaf and more"),
    ],
)
def test_paths_of_no_tree_are_refused(paths, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        nested((path, 0) for path in paths)


SCOPED = {
    "in_scope": lambda scope: in_scope(named_leaves({"dense": np.ones((2, 2))}), scope),
    "matching": lambda scope: jc.scopes.matching("dense", scope=scope),
    "masks": lambda scope: jc.magnitude_mask({"dense": np.ones((2, 2))}, 0.5, scope=scope),
    "compress": lambda scope: jc.compress({"dense": np.ones((2, 2))}, scope=scope),
    "states": lambda scope: outside_states({"dense": np.ones((2, 2))}, scope),
    "scores": lambda scope: list(scored_slices({}, [], scope=scope)),
}


@pytest.mark.parametrize("name", SCOPED)
def test_a_scope_is_a_function(name):
    with pytest.raises(TypeError, match="scope: must be a function .* got 'dense/'; pass scopes"):
        SCOPED[name]("dense/")
