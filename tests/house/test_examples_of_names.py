"""Every public name that users call has an example; doctest runs them."""

import inspect
import types

import pytest

import jaxcompress as jc


def _called(module, dotted):
    """Yield the functions of a namespace, and those of its public modules."""
    own = [name for name, value in vars(module).items() if _defined_in(module, value)]
    for name in getattr(module, "__all__", own):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            yield from _called(value, f"{dotted}.{name}")
        elif isinstance(value, types.FunctionType) or value in jc.leaves.COMPRESSED:
            yield f"{dotted}.{name}", value


def _defined_in(module, value):
    name = getattr(value, "__name__", "_")
    return getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")


NAMES = dict(_called(jc, "jc"))


def test_names_are_found():
    assert {"jc.save", "jc.prune.l1_score", "jc.packing.csr.encode", "jc.Sparse"} <= set(NAMES)
    assert "jc.prune.Candidate" not in NAMES and "jc.errors.ArtifactError" not in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_users_call_has_an_example(name):
    """Types of arguments and results, and exceptions, need none."""
    assert ">>> " in inspect.getdoc(NAMES[name])


@pytest.mark.parametrize("name", NAMES)
def test_examples_import_public_names(name):
    for line in inspect.getdoc(NAMES[name]).splitlines():
        if line.lstrip().startswith((">>> from jaxcompress", ">>> import jaxcompress")):
            assert "._" not in line and line.split()[2].count(".") <= 1, line
